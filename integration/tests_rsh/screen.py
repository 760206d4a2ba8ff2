"""A terminal for programs that want one: a real one (tmux), or just its line."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from program import until

ROWS, COLUMNS = 30, 100


class Line:
    """A program on a pseudo-terminal whose other end we hold: what it writes comes byte for byte."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(ROWS, COLUMNS)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={"TERM": "dumb", **environment},
        )  # fmt: skip
        self.slave = slave
        self.out = b""
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if ready:
            data = os.read(self.master, 65536)
            self.out += data
            self.seen += data
        return bool(ready)

    def until(self, text: bytes, seconds: float = 30) -> bytes:
        """Wait for this output and return what came before it; the next wait begins behind it."""
        deadline = time.monotonic() + seconds
        while text not in self.out:
            over = self.process.poll() is not None
            came = self.read(0 if over else min(0.2, deadline - time.monotonic()))
            waits = came or (not over and time.monotonic() < deadline)
            assert waits, f"no {text!r} in {self.out[-1000:]!r}; status {self.process.returncode}"
        before, _, self.out = self.out.partition(text)
        return before

    def type(self, keys: bytes) -> None:
        """All of it, while output goes on."""
        os.set_blocking(self.master, False)
        while keys:
            _, room, _ = select.select([self.master], [self.master], [], 30)
            if room:
                keys = keys[os.write(self.master, keys[:4096]) :]
            self.read(0)
        os.set_blocking(self.master, True)

    def end(self, seconds: float = 60) -> int:
        """The exit status, negative after a death by signal. The terminal must be as it was."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"does not end: {self.out[-1000:]!r}"
            self.read(0.05)
        while self.read(0):
            pass
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was not put back"
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Screen:
    """A terminal as users have it, in tmux, with a shell of this machine in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.socket = folder / "tmux"
        self.environment = {**environment, "TERM": "xterm", "SHELL": "/bin/bash"}
        (folder / "rc").write_text("PS1='here$ '\n")
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                   "-s", "test", "-c", str(folder), "bash --rcfile rc")  # fmt: skip
        self.until("here$")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], env=self.environment, capture_output=True,
                              timeout=30, check=True)  # fmt: skip
        return done.stdout.decode()

    def shown(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p", "-t", "test")

    def last(self) -> str:
        """The last line with something in it."""
        return self.shown().rstrip().rpartition("\n")[2]

    def until(self, text: str, seconds: float = 30) -> None:
        shown = ""

        def is_there() -> bool:
            nonlocal shown
            shown = self.shown()
            return text in shown

        try:
            until(is_there, f"'{text}' on the screen", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{shown}") from None

    def type(self, *keys: str) -> None:
        """Text as it is, and names of keys such as Enter and C-c."""
        self._tmux("send-keys", "-t", "test", *keys)

    def resize(self, rows: int, columns: int) -> None:
        self._tmux("resize-window", "-t", "test", "-x", str(columns), "-y", str(rows))

    def command(self, *words: object) -> None:
        self.type(shlex.join(map(str, words)), "Enter")

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], env=self.environment, check=False)
