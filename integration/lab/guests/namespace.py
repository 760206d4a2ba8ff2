"""The socket guest: a real ``qemu-ga`` on this machine, in a mount and pid namespace of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import channel
from .base import Guest, GuestError, RunResult
from .relay import Relay

_INIT = Path(__file__).with_name("nsinit.py")
_START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class SocketOptions:
    """How a socket guest differs from a plain Debian one."""

    root: str = "debian"
    shell: str = "dash"
    tree: str = ""
    hide: list[str] = field(default_factory=list)
    block: list[str] = field(default_factory=list)
    tmpfs: list[tuple[str, str]] = field(default_factory=list)
    read_only: list[str] = field(default_factory=list)
    disk: str = ""
    late_s: float = 0.0


def can_isolate() -> bool:
    """Whether this machine lets us make namespaces and overlays, which needs root."""
    if os.geteuid() != 0:
        return False
    probe = subprocess.run(["unshare", "-m", "-p", "-f", "--mount-proc", "true"], capture_output=True)
    return probe.returncode == 0


class SocketGuest(Guest):
    """Runs ``nsinit.py`` as the guest's first process and a relay in front of its agent."""

    def __init__(self, directory: Path, options: SocketOptions, isolate: bool) -> None:
        super().__init__(directory)
        self._options = options
        self._isolate = isolate
        self._process: subprocess.Popen[bytes] | None = None
        self._relay: Relay | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._init_pid = 0

    def start(self) -> None:
        config = {
            "state_dir": str(self.directory), "mount_point": str(self.directory / "mnt"), "isolate": self._isolate,
            "root": self._options.root, "tree": self._options.tree, "shell": self._options.shell,
            "hide": self._options.hide, "block": self._options.block, "tmpfs": self._options.tmpfs,
            "read_only": self._options.read_only, "disk": self._options.disk,
        }  # fmt: skip
        init = [sys.executable, "-S", "-E", str(_INIT), json.dumps(config)]
        namespace = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"] if self._isolate else []
        self._process = subprocess.Popen([*namespace, *init], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read_answer()
        self._init_pid = self._find_init(self._process.pid)
        self._relay = Relay(self.socket_path, self.directory / "qga.sock", self.traffic)
        self._relay.start()
        if self._options.late_s:
            self._timer = threading.Timer(self._options.late_s, self._start_agent)
            self._timer.daemon = True
            self._timer.start()
        else:
            self._start_agent()
            self._await_agent()

    def _start_agent(self) -> None:
        with contextlib.suppress(GuestError):
            self._ask("start")

    def _await_agent(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(channel.ChannelError):
                channel.run(str(self.socket_path), "guest-ping", timeout_s=1.0)
                return
        raise GuestError(f"the agent in {self.directory} does not answer; see agent.log there")

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._relay is not None:
            self._relay.stop()
            self._relay = None
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

    def restart_agent(self) -> None:
        self._ask("restart")
        self._await_agent()

    def stop_agent(self) -> None:
        self._ask("stop")

    def signal_agent(self, number: int) -> None:
        self._ask("signal", number=number)

    def processes(self) -> list[dict[str, Any]]:
        return list(self._ask("processes")["processes"])

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self._init_pid}/root{path}") if self._isolate else Path(path)

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        enter = ["nsenter", "-t", str(self._init_pid), "-m", "-p", "-r", "-w", "--"] if self._isolate else []
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        try:
            done = subprocess.run([*enter, *argv], input=stdin, capture_output=True, timeout=timeout_s, env=environment)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{argv[0]} did not end within {timeout_s} s") from None
        return RunResult(done.returncode, done.stdout, done.stderr)

    def _find_init(self, pid: int) -> int:
        """The pid, as this machine sees it, of the namespace's first process."""
        if not self._isolate:
            return pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        with self._lock:
            if self._process is None or self._process.stdin is None:
                raise GuestError("the guest is stopped")
            request = json.dumps({"op": operation, **arguments}) + "\n"
            try:
                self._process.stdin.write(request.encode())
                self._process.stdin.flush()
            except OSError as error:
                raise GuestError(f"the guest's first process is gone: {error}") from None
            return self._read_answer()

    def _read_answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _START_TIMEOUT_S)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise GuestError(f"the guest's first process did not answer; it said: {self.directory}/agent.log")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise GuestError(answer["error"])
        return answer


def freeze(guest: Guest) -> None:
    """Stop the agent process where it stands, as a hung guest would."""
    guest.signal_agent(signal.SIGSTOP)


def unfreeze(guest: Guest) -> None:
    """Let a stopped agent process go on."""
    guest.signal_agent(signal.SIGCONT)
