"""Runs ``pve-qga-run`` against a lab, as a user would: its own process, environment and home.

PVE_QGA_TEST_BIN is the folder of the programs; without it the ``release`` preset's build is used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, Union

from lab import Lab
from pve_qga_client import Client

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("PVE_QGA_TEST_BIN", ROOT / "build/release/bin")) / "pve-qga-run"
MEASURE = Path(__file__).with_name("measure.py")

FAILURE = 255
"""The exit status of our own failures, so that no guest command's can be mistaken for one."""

MEMORY_LIMIT_KIB = 32 * 1024
"""What a process of ours may need at most, however much it moves."""

WATCHDOG_S = 150.0
"""Ends what hangs; no test depends on it otherwise."""

Argument = Union[str, bytes, "os.PathLike[str]"]
Stdin = Union[bytes, int, IO[Any], None]
T = TypeVar("T")
P = TypeVar("P", bound="Program")


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Wait for a condition to hold and return its value; ``what`` says it in the failure."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return value


@dataclass(frozen=True)
class Result:
    """How a run ended; ``status`` is negative after a death by signal."""

    status: int
    stdout: bytes
    stderr: bytes
    peak_kib: int = 0

    @property
    def complaint(self) -> str:
        """What it said on stderr, which must be one line."""
        text = self.stderr.decode()
        assert text.count("\n") == 1 and text.endswith("\n"), f"not one line: {text!r}"
        return text[:-1]

    def succeeded(self) -> Result:
        """Itself, if all went well and in silence."""
        assert (self.status, self.stderr) == (0, b""), (self.status, self.stdout[:200], self.stderr)
        return self

    def failed(self, *words: str, status: int = FAILURE) -> Result:
        """Itself, if it failed with one line on stderr that has these words."""
        assert self.status == status, (self.status, self.stdout[:200], self.stderr)
        missing = [word for word in words if word.lower() not in self.complaint.lower()]
        assert not missing, f"{missing} not in: {self.complaint}"
        return self


class Program:
    """The program with an environment that leads to a lab and nowhere else. Close it: its watchdogs end then."""

    def __init__(self, lab: Lab, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.lab = lab
        self.home = home
        self._watchdogs: list[threading.Timer] = []
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8",
            "PROXMOX_HOST": lab.host, "PROXMOX_PORT": str(lab.port), "PROXMOX_CA_FILE": lab.ca_file,
            "PROXMOX_USER": lab.token_id, "PROXMOX_TOKEN_SECRET": lab.token_secret,
            "PVE_QGA_TRACE": str(home / "trace"),
        }  # fmt: skip
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "GCOV_PREFIX"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.environment.update(environment or {})

    def having(self: P, **environment: str | None) -> P:
        """The same with other variables; None takes one away."""
        changed = type(self)(self.lab, self.home, self.environment)
        changed._watchdogs = self._watchdogs
        for name, value in environment.items():
            if value is None:
                changed.environment.pop(name, None)
            else:
                changed.environment[name] = value
        return changed

    def start(self, *arguments: Argument, stdin: Stdin = subprocess.DEVNULL, **popen: Any) -> subprocess.Popen[bytes]:
        """Start it; all three standard streams are pipes unless told otherwise."""
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **popen}
        return self._watched(subprocess.Popen([PROGRAM, *arguments], stdin=stdin, env=self.environment, **options))

    def run(
        self, *arguments: Argument, stdin: Stdin = b"", stdout: int | IO[Any] = subprocess.PIPE, **popen: Any
    ) -> Result:
        """Run it to its end. ``stdin`` is its content, or a file, or None for /dev/null."""
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        command = [PROGRAM, *arguments]
        try:
            done = subprocess.run(
                command, **given, stdout=stdout, stderr=subprocess.PIPE, env=self.environment, timeout=WATCHDOG_S, **popen
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{late}; it did last:\n{self._last_traced()}") from None
        return Result(done.returncode, done.stdout or b"", done.stderr)

    def measure(self, *arguments: Argument, stdin: Stdin = None, stdout: int | IO[Any] = subprocess.PIPE) -> Result:
        """Run it to its end and tell its peak of resident memory as well."""
        report = self.home / "peak"
        done = subprocess.run(
            [sys.executable, "-I", "-S", MEASURE, report, PROGRAM, *arguments], stdin=stdin or subprocess.DEVNULL,
            stdout=stdout, stderr=subprocess.PIPE, env=self.environment, timeout=WATCHDOG_S,
        )  # fmt: skip
        return Result(done.returncode, done.stdout or b"", done.stderr, int(report.read_text()))

    # ---- the commands ----

    def exec(self, vm: int | str, *command: Argument, **run: Any) -> Result:
        """Run a command with exactly these arguments in a guest."""
        return self.run("exec", str(vm), "--", *command, **run)

    def shell(self, vm: int | str, line: Argument, *options: Argument, **run: Any) -> Result:
        """Run a shell line in a guest."""
        return self.run("exec", *options, "--shell", line, str(vm), **run)

    def put(self, vm: int | str, local: Argument, remote: Argument, *options: Argument, **run: Any) -> Result:
        return self.run("put", *options, "--", str(vm), local, remote, **run)

    def fetch(self, vm: int | str, remote: Argument, local: Argument, *options: Argument, **run: Any) -> Result:
        return self.run("fetch", *options, "--", str(vm), remote, local, **run)

    def serve(self, vm: int | str | None = None, **client: Any) -> Client:
        """A client of ``serve``."""
        started = Client([str(PROGRAM), "serve"], vm=vm, environment=self.environment, **client)
        self._watched(started._process)
        return started

    # ---- what hangs ----

    def close(self) -> None:
        for watchdog in self._watchdogs:
            watchdog.cancel()

    def _watched(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Ends the process in time for the test to fail rather than hang."""
        watchdog = threading.Timer(WATCHDOG_S, process.kill)
        watchdog.daemon = True
        watchdog.start()
        self._watchdogs.append(watchdog)
        return process

    def _last_traced(self) -> str:
        trace = Path(self.environment.get("PVE_QGA_TRACE", os.devnull))
        return "\n".join(trace.read_text(errors="replace").splitlines()[-40:])


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever a test makes of a process, it is gone behind the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def finish(process: subprocess.Popen[bytes], number: signal.Signals | None = None) -> Result:
    """Send a signal, if given, and wait for the end with all that is still said."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=WATCHDOG_S)
    return Result(process.returncode, out or b"", err or b"")


def commands_named(processes: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """The pids of a guest's processes with that command name."""
    return [process["pid"] for process in processes if process["comm"] == name]
