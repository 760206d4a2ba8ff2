"""Planned faults of ``qm``: around the moment at which the agent acts, and in what the caller gets to see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import sys
import termios
import time
from pathlib import Path
from types import TracebackType

from .lablink import LabLink
from .qm_agent import not_running, timed_out

_SERVER_NAMES = ("sshd", "sshd-session")
_POLL_S = 0.005
# From the server's reading of the pipe to its sending, which cannot be seen from here.
_SENDING_S = 0.05


class Fault:
    """The fault that meets one call, if any. ``acted()`` follows the agent's act, ``answer()`` prints what came of it."""

    def __init__(self, link: LabLink, kind: str, vmid: int, command: str) -> None:
        self._rule = link.fault(kind, vmid) or {}
        self._vmid = vmid
        self._command = command

    @property
    def _action(self) -> str:
        return str(self._rule.get("action", ""))

    def __enter__(self) -> Fault:
        time.sleep(self._rule.get("delay_s", 0.0))
        match self._action:
            case "cut-before":
                _end_session()
            case "not-running":
                raise not_running()
            case "timeout-before":
                raise timed_out(self._vmid, self._command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def acted(self) -> None:
        """The agent has done what it was asked."""
        match self._action:
            case "cut-after":
                _end_session()
            case "timeout-after":
                raise timed_out(self._vmid, self._command)

    def answer(self, data: bytes) -> None:
        """Print the answer, or what the fault makes of it."""
        match self._action:
            case "cut-mid":
                _write(data[: len(data) // 2])
                _await_delivery()
                _end_session()
            case "garbage":
                _write(b"" if self._rule["garbage"] == "empty" else b"<html>qm</html>\n")
            case _:
                _write(data)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _await_delivery() -> None:
    """Wait until the SSH server has read what was written."""
    with contextlib.suppress(OSError):
        while struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, b"\0\0\0\0"))[0]:
            time.sleep(_POLL_S)
    time.sleep(_SENDING_S)


def _end_session() -> None:
    """Kill the SSH session that this process belongs to, not the listener, and end without a word."""
    for pid in _session_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(1)


def _session_processes() -> list[int]:
    """The server's processes above this one, nearest first, without the listener."""
    found, pid = [], os.getppid()
    while pid > 1:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        name = text[text.index("(") + 1 : text.rindex(")")]
        if name in _SERVER_NAMES and b"[listener]" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            found.append(pid)
        pid = int(text[text.rindex(")") + 2 :].split()[1])
    return found
