"""What no row shows: a whole process for one command, TLS handshakes of a long session, large stdin and stdout."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import prepare
from cases import SOCKET
from contenders import our_environment
from lab import Lab
from pve_qga_client import Client

_MEASURE = Path(__file__).resolve().parents[1] / "tests" / "measure.py"


def handshakes(lab: Lab, program: Path, commands: int) -> dict[str, int]:
    """TLS handshakes of one session that runs so many commands without a pause."""
    lab.reset_counters()
    with Client([str(program), "serve"], environment=our_environment(lab)) as client:
        for _ in range(commands):
            client.exec_command("true", vm=SOCKET)
    counters = lab.counters()
    return {"calls": counters["requests_total"], "handshakes": counters["tls_handshakes"]}


def start(lab: Lab, program: Path, vmid: int, runs: int) -> dict[str, Any]:
    """``pve-qga-run exec VM -- true`` as a process of its own."""
    seconds, requests = [], {}
    for _ in range(runs):
        lab.reset_counters()
        begin = time.perf_counter()
        subprocess.run([program, "exec", str(vmid), "--", "true"], env=our_environment(lab), check=True)
        seconds.append(time.perf_counter() - begin)
        requests = lab.counters()["requests"]
    return {"vmid": vmid, "seconds": seconds, "calls": requests}


def streams(lab: Lab, program: Path, size: int, directory: Path) -> list[dict[str, Any]]:
    """Random bytes through a command's stdin and out of its stdout, on the agent on a socket."""
    noise, out, remote = prepare.content("random", size), directory / "stdout", "/root/bench-stream"
    _run(lab, program, ["put", str(SOCKET), str(noise), remote])
    found = []
    for name, command in (("stdin", ["sha256sum"]), ("stdout", ["cat", remote])):
        stdin = noise if name == "stdin" else Path("/dev/null")
        with stdin.open("rb") as source, out.open("wb") as sink:
            begin = time.perf_counter()
            peak = _run(lab, program, ["exec", str(SOCKET), "--", *command], stdin=source, stdout=sink)
            seconds = time.perf_counter() - begin
        told = out.read_text().split()[0] if name == "stdin" else prepare.digest(out)
        exact = told == prepare.digest(noise)
        found.append({"name": name, "bytes": size, "seconds": seconds, "peak_kib": peak, "exact": exact})
    lab.guest(SOCKET).run(["rm", "-f", remote])
    return found


def _run(lab: Lab, program: Path, arguments: list[str], **files: Any) -> int:
    """Run the program; returns its peak of resident memory in KiB. A small parent measures it: see ``measure.py``."""
    with tempfile.NamedTemporaryFile("r") as peak:
        command = [sys.executable, "-I", "-S", str(_MEASURE), peak.name, str(program), *arguments]
        subprocess.run(command, env=our_environment(lab), check=True, **files)
        return int(peak.read())
