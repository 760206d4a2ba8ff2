"""A node as the lab sees it: its namespaces, its SSH server, and what can be made to go wrong there."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster import VM
from ..guests.base import GuestError, RunResult
from . import etc
from .keys import make_pair

_LIBRARY = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 30.0
_HOST_KEY_KINDS = ("ed25519", "rsa")
_AWAY = ".away"


@dataclass(frozen=True)
class NodePlace:
    """Where a node is: its name, the address and port of its SSH server, and the lab's directory."""

    name: str
    address: str
    port: int
    lab_dir: Path


class Node:
    """One node. Its sockets directory is ``/run/qemu-server`` there; the links in it lead to the guests' sockets."""

    def __init__(self, place: NodePlace) -> None:
        self.place = place
        self.directory = place.lab_dir / "nodes" / place.name
        self._sockets = self.directory / "qemu-server"
        self._host_keys = self.directory / "host-keys"
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._lock = threading.Lock()

    def start(self, hashes: dict[str, str], authorized_keys: str, hosts: list[tuple[str, str]]) -> None:
        """Bring the node up with its SSH server listening."""
        self._sockets.mkdir(parents=True, exist_ok=True)
        self._make_host_keys()
        config = {
            "node": self.place.name, "address": self.place.address, "port": self.place.port,
            "mount_point": str(self.directory / "mnt"), "lab_dir": str(self.place.lab_dir),
            "sockets": str(self._sockets), "host_keys": str(self._host_keys), "library": str(_LIBRARY),
            "log": str(self.directory / "sshd.log"), "hashes": hashes, "authorized_keys": authorized_keys,
            "hosts": hosts,
        }  # fmt: skip
        init = [sys.executable, "-m", "lab.node.init", str(self.directory)]
        self._process = subprocess.Popen(
            ["unshare", "-m", "-u", "-p", "-f", "--mount-proc", "--kill-child", *init],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(_LIBRARY)},
        )  # fmt: skip
        self._tell(config)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        self._init_pid = int(children.split()[0])
        self.start_sshd()

    def stop(self) -> None:
        """End the node with everything on it."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def place_sockets(self, vms: list[VM]) -> None:
        """Show pid files and agent sockets of the VMs that run on this node, and no others."""
        running = [vm for vm in vms if vm.node == self.place.name and vm.running]
        wanted = {f"{vm.vmid}.pid": Path("/dev/null") for vm in running} | {
            f"{vm.vmid}.qga": Path("/run/lab", vm.guest.socket_path.relative_to(self.place.lab_dir))
            for vm in running
            if vm.guest is not None
        }
        with self._lock:
            known = {path.name.removesuffix(_AWAY) for path in self._sockets.iterdir()}
            for name in known - wanted.keys():
                for suffix in ("", _AWAY):
                    (self._sockets / (name + suffix)).unlink(missing_ok=True)
            for name in wanted.keys() - known:
                (self._sockets / name).symlink_to(wanted[name])

    def _make_host_keys(self) -> None:
        shutil.rmtree(self._host_keys, ignore_errors=True)
        self._host_keys.mkdir(mode=0o700)
        for kind in _HOST_KEY_KINDS:
            make_pair(self._host_keys / f"lab_host_{kind}_key", kind)

    def known_hosts(self) -> list[str]:
        """The lines of ``known_hosts`` for the keys that the server has now."""
        keys = [(self._host_keys / f"lab_host_{kind}_key.pub").read_text() for kind in _HOST_KEY_KINDS]
        return [f"[{self.place.address}]:{self.place.port} {' '.join(key.split()[:2])}" for key in keys]

    def start_sshd(self) -> None:
        self._ask("start")

    def stop_sshd(self) -> None:
        self._ask("stop")

    def change_host_keys(self) -> list[str]:
        """Become a server with other keys, as a reinstalled node; returns its lines of ``known_hosts``."""
        self._make_host_keys()
        self._ask("rekey")
        return self.known_hosts()

    def cut(self) -> None:
        """Kill every session of the SSH server at once; what they started on the node is left to itself."""
        self._ask("signal", number=signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the sessions where they stand: connected, and silent."""
        self._ask("signal", number=signal.SIGSTOP)

    def unfreeze(self) -> None:
        self._ask("signal", number=signal.SIGCONT)

    def connections(self) -> int:
        """How many clients are connected to the SSH server."""
        return int(self._ask("connections")["connections"])

    def log(self) -> str:
        """What the SSH server has logged."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def hide(self, path: str) -> None:
        """Take a file of the node away: a program, an agent socket."""
        there = self._path(path)
        with self._lock:
            there.rename(f"{there}{_AWAY}")

    def restore(self, path: str) -> None:
        """Bring back what was hidden."""
        there = self._path(path)
        with self._lock, contextlib.suppress(FileNotFoundError):
            Path(f"{there}{_AWAY}").rename(there)

    def set_sudoers(self, rules: list[str] | None) -> None:
        """Replace sudo's rules, root's aside; None brings the first ones back."""
        new = self._path("/etc/sudoers.new")
        new.write_text(etc.sudoers(rules))
        new.chmod(0o440)
        new.rename(new.with_suffix(""))

    def _path(self, path: str) -> Path:
        """Where this machine sees a path of the node."""
        return Path(f"/proc/{self._init_pid}/root{path}")

    def enter(self) -> list[str]:
        """The beginning of a command that runs on the node."""
        return ["nsenter", "-t", str(self._init_pid), "-m", "-u", "-p", "-r", "-w", "--"]

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        """Run a command as root on the node, without SSH."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        try:
            done = subprocess.run(
                [*self.enter(), *argv], input=stdin, capture_output=True, timeout=timeout_s, env=environment
            )
        except subprocess.TimeoutExpired:
            raise GuestError(f"{argv[0]} did not end within {timeout_s} s") from None
        return RunResult(done.returncode, done.stdout, done.stderr)

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        with self._lock:
            if self._process is None:
                raise GuestError(f"the node {self.place.name} is down")
            return self._tell({"op": operation, **arguments})

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a line to the node's first process and return its answer."""
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise GuestError(f"the node's first process is gone: {error}") from None
        readable, _, _ = select.select([self._process.stdout], [], [], _START_TIMEOUT_S)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise GuestError(f"the node {self.place.name} did not answer; see {self.directory}/sshd.log")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise GuestError(f"{self.place.name}: {answer['error']}")
        return answer
