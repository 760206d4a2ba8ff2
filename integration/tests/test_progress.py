"""The progress line on a terminal, and the progress messages of serve."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import WEB
from noise import write_noise
from program import PROGRAM, WATCHDOG_S, Program

MIB = 1024 * 1024


class Screen:
    """What a run wrote to a terminal that is its stderr."""

    def __init__(self, program: Program, *arguments: str | os.PathLike[str], columns: int = 80) -> None:
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        started = time.monotonic()
        process = subprocess.Popen(
            [PROGRAM, *arguments], env=program.environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        self.bytes = bytearray()
        reader = threading.Thread(target=self._read, args=[master])
        reader.start()
        self.stdout = process.communicate(timeout=WATCHDOG_S)[0]
        reader.join()
        os.close(master)
        self.status = process.returncode
        self.seconds = time.monotonic() - started
        self.text = self.bytes.decode()

    def _read(self, master: int) -> None:
        try:
            while piece := os.read(master, 65536):
                self.bytes += piece
        except OSError:
            pass  # how Linux tells that nobody has the other end any more

    @property
    def drawn(self) -> list[str]:
        """The lines, one after the other, in place of each other or not."""
        return [line for line in re.split("[\r\n]+", self.text) if line.strip()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source-汉语.bin"
    write_noise(path, 20)
    return path


def must_progress(screen: Screen, name: str, columns: int = 80) -> None:
    assert screen.status == 0, screen.text
    percents = [int(found[1]) for line in screen.drawn if (found := re.search(r" (\d+)% ", line))]
    assert len(percents) >= 2 and percents == sorted(percents) and percents[-1] == 100, screen.drawn
    assert all(percent < 100 for percent in percents[:-1])
    assert all(line.startswith(name) and len(line) < columns for line in screen.drawn)
    assert len(percents) <= screen.seconds * 5 + 2
    assert re.search(r"\d\.\d MiB +\d+\.\d [KM]iB/s +\d\d:\d\d( left)?$", screen.drawn[-2])
    assert screen.text.endswith("\r\n") and screen.text.count("\n") == 1


def test_put_and_fetch(program: Program, remote: Callable[[int], str], source: Path, tmp_path: Path) -> None:
    there = f"{remote(WEB)}/file"
    must_progress(Screen(program, "put", str(WEB), source, there), source.name)
    must_progress(Screen(program, "fetch", str(WEB), there, tmp_path / "back"), "file")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_trees(program: Program, remote: Callable[[int], str], source: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    source.rename(tmp_path / "tree/file")
    must_progress(Screen(program, "put", "-r", str(WEB), tmp_path / "tree/", f"{remote(WEB)}/new"), "tree")
    must_progress(Screen(program, "fetch", "-r", str(WEB), f"{remote(WEB)}/new", tmp_path / "back"), "new")


def test_narrow_terminal(program: Program, remote: Callable[[int], str], source: Path) -> None:
    screen = Screen(program, "put", str(WEB), source, f"{remote(WEB)}/file", columns=20)
    assert screen.status == 0 and len(screen.drawn) >= 2
    assert all(len(line.encode()) < 30 and len(line) < 20 for line in screen.drawn), screen.drawn
    assert screen.drawn[-1].endswith("100%")


@pytest.mark.ways("api", "socket", why="a call of qm takes so long that there is something to show")
def test_none_without_need(program: Program, remote: Callable[[int], str], source: Path, tmp_path: Path) -> None:
    """--quiet, and files that are there at once; without a terminal no test sees any."""
    assert Screen(program, "put", "--quiet", str(WEB), source, f"{remote(WEB)}/file").text == ""
    (tmp_path / "small").write_bytes(b"x")
    assert Screen(program, "put", str(WEB), tmp_path / "small", f"{remote(WEB)}/small").text == ""
    program.put(WEB, source, f"{remote(WEB)}/file").succeeded()


def test_file_to_stdout(program: Program, remote: Callable[[int], str], source: Path) -> None:
    program.put(WEB, source, f"{remote(WEB)}/file").succeeded()
    screen = Screen(program, "fetch", str(WEB), f"{remote(WEB)}/file", "-")
    must_progress(screen, "file")
    assert screen.stdout == source.read_bytes()


def test_other_lines_stand_above_it(
    program: Program, remote: Callable[[int], str], source: Path, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    source.rename(tmp_path / "tree/file")
    os.mkfifo(tmp_path / "tree/fifo")
    screen = Screen(program, "put", "-rv", str(WEB), tmp_path / "tree", f"{remote(WEB)}/new")
    lines = screen.text.split("\r\n")
    assert screen.status == 0 and any("100%" in line for line in lines)
    for line in lines[:-1]:
        shown = line.rsplit("\r", 1)[-1]
        assert shown.startswith(("pve-qga-run: ", "tree ")), line
    assert any("'fifo' is left out" in line for line in lines)


def test_failure_leaves_nothing_of_it(program: Program, source: Path) -> None:
    screen = Screen(program, "put", str(WEB), source, "/no/such/directory/file")
    assert screen.status == 255 and screen.text.count("\n") == 1
    before, error = screen.text.rsplit("\r", 2)[0], screen.drawn[-1]
    assert error.startswith("pve-qga-run: copying") and "%" not in error
    assert not before or before.endswith(" " * 79)


# ---- serve ----


def test_messages(program: Program, remote: Callable[[int], str], source: Path, tmp_path: Path) -> None:
    """Not in the first second, then once a second at most."""
    seen: list[tuple[float, int, int | None]] = []

    def note(done: int, total: int | None) -> None:
        seen.append((time.monotonic(), done, total))

    with program.serve(vm=WEB) as client:
        for put in (True, False):
            seen.clear()
            began = time.monotonic()
            if put:
                request = client.start_put(source, f"{remote(WEB)}/file", on_progress=note)
            else:
                request = client.start_fetch(f"{remote(WEB)}/file", tmp_path / "back", on_progress=note)
            request.result()
            assert seen or time.monotonic() - began < 2
            assert all(0 < done <= 20 * MIB == total for _, done, total in seen)
            assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
            times = [began, *(when for when, _, _ in seen)]
            assert all(later - earlier > 0.5 for earlier, later in zip(times, times[1:])), times
