"""One way to a guest and back, for the command ``true`` over connections in use: a task of Ansible takes one to six.

Next to ours there are a bare exec with its exec-status, less than which no client of the API can do, and a session of
``ssh`` over its shared connection. In turn, so that all meet the same machine.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ceiling import Ceiling, Mode
from contenders import Ours
from lab import Lab

_PERSIST = "60s"


def measure(
    lab: Lab, program: Path, replay: Path, vmid: int, directory: Path, rounds: int, *, over_ssh: bool
) -> list[dict[str, Any]]:
    """The seconds of each; the first of each is not counted, as it finds no connection."""
    directory.mkdir()
    ceiling = Ceiling(lab, replay, directory)
    pair = ceiling.bare_pair(vmid)
    with contextlib.closing(Ours(lab, program)) as ours:
        ways: dict[str, Callable[[], float]] = {
            "ours": lambda: ours.exec_true(vmid),
            "pair": lambda: ceiling.replay(vmid, pair, Mode(1, False)),
        }
        if over_ssh:
            command = ssh_command(lab, vmid, directory)
            ways["ssh"] = lambda: _seconds(command)
        seconds = [{who: way() for who, way in ways.items()} for _ in range(rounds + 1)]
    return [{"who": who, "vmid": vmid, "seconds": [one[who] for one in seconds[1:]]} for who in ways]


def ssh_command(lab: Lab, vmid: int, directory: Path) -> list[str]:
    access = lab.guest(vmid).ssh
    options = {
        "UserKnownHostsFile": access.known_hosts, "ControlMaster": "auto", "ControlPersist": _PERSIST,
        "ControlPath": directory / "shared",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    where = ["-i", str(access.key), "-p", str(access.port), f"{access.user}@{access.host}"]
    return ["ssh", "-F", "none", *words, *where, "true"]


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    # Its shared connection goes on, with what it was given as stderr.
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin
