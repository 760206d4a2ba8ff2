"""Those who compete: our program and the peer. Each runs a command, puts and fetches a file, and tells its seconds."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from lab import Lab
from prepare import PeerFiles
from pve_qga_client import Client, Error

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ContenderError(Exception):
    """A contender could not do what it was asked."""


def _environment(lab: Lab, **more: str) -> dict[str, str]:
    """What leads both contenders to a lab."""
    where = {"PROXMOX_HOST": lab.host, "PROXMOX_PORT": str(lab.port), "PROXMOX_TOKEN_SECRET": lab.token_secret}
    return {**os.environ, **where, **more}


def our_environment(lab: Lab) -> dict[str, str]:
    user, token = lab.token_id.split("!")
    return _environment(lab, PROXMOX_USER=user, PROXMOX_TOKEN_ID=token, PROXMOX_CA_FILE=lab.ca_file)


def _peer_environment(lab: Lab) -> dict[str, str]:
    node = lab.info["vms"][0]["node"]
    return _environment(lab, PROXMOX_TOKEN_ID=lab.token_id, PROXMOX_NODE=node, REQUESTS_CA_BUNDLE=lab.ca_file)


class Contender:
    """What both have in common: a process that can be watched."""

    name: str
    pid: int

    def exec_true(self, vmid: int) -> float:
        """Run ``true``; returns the seconds, as the next two do."""
        raise NotImplementedError

    def put(self, vmid: int, local: Path, remote: str) -> float:
        raise NotImplementedError

    def fetch(self, vmid: int, remote: str, local: Path) -> float:
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def forget_peak(self) -> None:
        """Let the peak of memory begin at what is in use now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_kib(self) -> int:
        """The peak of resident memory. This one, unlike that of wait4(2), knows nothing of the parent's memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])


class Ours(Contender):
    """``pve-qga-run serve``, warm."""

    name = "ours"

    def __init__(self, lab: Lab, program: Path) -> None:
        self._client = Client([str(program), "serve"], environment=our_environment(lab))
        self.pid = self._client._process.pid

    def close(self) -> None:
        self._client.close()

    def _timed(self, method: str, *arguments: Any, vm: int) -> float:
        begin = time.perf_counter()
        try:
            result = getattr(self._client, method)(*arguments, vm=vm)
        except Error as error:
            raise ContenderError(str(error)) from None
        seconds = time.perf_counter() - begin
        if method == "exec_command" and result.exit_code != 0:
            raise ContenderError(f"exit status {result.exit_code}")
        return seconds

    def exec_true(self, vmid: int) -> float:
        return self._timed("exec_command", "true", vm=vmid)

    def put(self, vmid: int, local: Path, remote: str) -> float:
        return self._timed("put_file", local, remote, vm=vmid)

    def fetch(self, vmid: int, remote: str, local: Path) -> float:
        return self._timed("fetch_file", remote, local, vm=vmid)


class Peer(Contender):
    """The peer's connection class in a process of its own, warm; see ``peer_worker.py``."""

    name = "peer"

    def __init__(self, lab: Lab, files: PeerFiles, log: Path) -> None:
        worker = Path(__file__).with_name("peer_worker.py")
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [files.python, worker, files.collections], env=_peer_environment(lab), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=stderr, text=True, bufsize=1,
            )  # fmt: skip
        self.pid = self._process.pid

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, method: str, vmid: int, *arguments: Any) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"method": method, "vmid": vmid, "arguments": [str(argument) for argument in arguments]}
        self._process.stdin.write(json.dumps(request) + "\n")
        line = self._process.stdout.readline()
        if not line:
            raise ContenderError("the peer's worker ended; see its log")
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return float(answer["seconds"])

    def exec_true(self, vmid: int) -> float:
        return self._ask("exec_command", vmid, "true")

    def put(self, vmid: int, local: Path, remote: str) -> float:
        return self._ask("put_file", vmid, local, remote)

    def fetch(self, vmid: int, remote: str, local: Path) -> float:
        return self._ask("fetch_file", vmid, remote, local)
