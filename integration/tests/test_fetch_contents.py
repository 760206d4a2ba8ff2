"""fetch of all that files can be: text, zeros and noise, logs that grow, files of the kernel, and what is no file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ALPINE, BASH, FULL, REAL, WEB
from lab import Lab
from noise import noise
from program import Program, ended, finish, until

KIB, MIB = 1024, 1024 * 1024

Remote = Callable[[int], str]

TWICE = pytest.mark.ways("api", why="qm is never run twice for a call")


def text(size: int) -> bytes:
    """Lines that pack to about a third."""
    lines, length, number = [], 0, 0
    while length < size:
        number += 1
        line = b"%d: request %x took %d ms and gave %d bytes\n" % (number, number * 7919, number * 31 % 977, number * 104729)
        lines.append(line)
        length += len(line)
    return b"".join(lines)[:size]


def put_there(lab: Lab, vmid: int, path: str, content: bytes) -> None:
    lab.guest(vmid).path(path).write_bytes(content)


def fetch_back(program: Program, vmid: int, path: str, tmp_path: Path, content: bytes) -> dict[str, int]:
    """Fetch a file that has this content; tells how many commands of each kind the agent got."""
    program.lab.reset_counters()
    program.fetch(vmid, path, tmp_path / "back").succeeded()
    assert (tmp_path / "back").read_bytes() == content
    (tmp_path / "back").unlink()
    commands: dict[str, int] = program.lab.agents()["commands"]
    return commands


# ---- packed reading ----


@pytest.mark.ways("api", why="an agent on a socket reads as fast as some guests pack")
@pytest.mark.parametrize("vmid", [WEB, BASH, ALPINE], ids=["dash", "bash", "busybox"])
def test_text_is_packed(program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int) -> None:
    content = text(12 * MIB)
    put_there(lab, vmid, f"{remote(vmid)}/file", content)
    commands = fetch_back(program, vmid, f"{remote(vmid)}/file", tmp_path, content)
    assert commands["guest-exec"] > 3, "more than the opening, the checksum and the close"


@pytest.mark.ways("api", "qm", why="an agent on a socket reads as fast as some guests pack")
@pytest.mark.parametrize("vmid", [WEB, ALPINE], ids=["dash", "busybox"])
def test_zeros_cost_next_to_nothing(program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int) -> None:
    with lab.guest(vmid).path(f"{remote(vmid)}/file").open("wb") as file:
        file.truncate(64 * MIB)
    commands = fetch_back(program, vmid, f"{remote(vmid)}/file", tmp_path, b"\0" * 64 * MIB)
    assert commands["guest-exec"] + commands.get("guest-file-open", 0) < 40, commands


@pytest.mark.ways("api", "socket", why="qm reads files by commands")
def test_noise_is_not_packed(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    put_there(lab, WEB, f"{remote(WEB)}/file", noise(6 * MIB))
    commands = fetch_back(program, WEB, f"{remote(WEB)}/file", tmp_path, noise(6 * MIB))
    assert commands["guest-exec"] == 2, "the opening and the checksum"


@pytest.mark.parametrize("profile", ["pve9.2", "pve8"])
def test_mixtures(program: Program, lab: Lab, remote: Remote, tmp_path: Path, profile: str) -> None:
    lab.set_profile(profile)
    for content in (text(3 * MIB) + noise(3 * MIB) + b"\0" * 8 * MIB, noise(4 * MIB + 1) + text(6 * MIB + 1)):
        put_there(lab, WEB, f"{remote(WEB)}/file", content)
        fetch_back(program, WEB, f"{remote(WEB)}/file", tmp_path, content)


def test_text_of_a_real_guest(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    content = text(3 * MIB)
    for start in range(0, len(content), MIB):
        lab.guest(REAL).run(["sh", "-c", f"cat >>{remote(REAL)}/file"], stdin=content[start : start + MIB])
    fetch_back(program, REAL, f"{remote(REAL)}/file", tmp_path, content)


def test_no_space_for_sections(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """FULL's disk has 1 MiB: some sections fit, others do not."""
    content = text(12 * MIB)
    put_there(lab, FULL, f"{remote(FULL)}/file", content)
    program.fetch(FULL, f"{remote(FULL)}/file", tmp_path / "back", "--remote-tmp", "/full").succeeded()
    assert (tmp_path / "back").read_bytes() == content


def test_several_fetches_at_a_time(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    contents = [text(3 * MIB + n) if n % 2 else noise(2 * MIB + n) for n in range(4)]
    with program.serve(vm=WEB) as client:
        for number, content in enumerate(contents):
            put_there(lab, WEB, f"{remote(WEB)}/{number}", content)
        requests = [client.start_fetch(f"{remote(WEB)}/{n}", tmp_path / str(n)) for n in range(len(contents))]
        for request in requests:
            request.result()
    for number, content in enumerate(contents):
        assert (tmp_path / str(number)).read_bytes() == content


@pytest.mark.ways("api", "qm", why="calls can be broken there")
@pytest.mark.parametrize("action", ["cut-after", pytest.param("twice", marks=TWICE), "timeout-after"])
def test_fault_at_each_call(
    program: Program, lab: Lab, remote: Remote, tmp_path: Path, action: str
) -> None:
    content = text(5 * MIB)
    put_there(lab, WEB, f"{remote(WEB)}/file", content)
    nth = 0
    while True:
        nth += 1
        lab.clear_faults()
        lab.fault("*", action, nth=nth)
        fetch_back(program, WEB, f"{remote(WEB)}/file", tmp_path, content)
        if not lab.faults()[0]["fired"]:
            break
    assert nth > 10


# ---- files that change ----


def test_log_that_grows(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    there = lab.guest(WEB).path(f"{remote(WEB)}/log")
    there.write_bytes(noise(8 * MIB))
    started = program.start("fetch", "-v", str(WEB), f"{remote(WEB)}/log", tmp_path / "back")
    with ended(started) as process, there.open("ab", buffering=0) as log:
        # From the first moment, or a fast guest has its checksum before it grows.
        while process.poll() is None:
            log.write(b"one line more\n")
        result = finish(process)
    assert result.status == 0 and b"has grown" in result.stderr
    size = (tmp_path / "back").stat().st_size
    assert 8 * MIB <= size < there.stat().st_size
    assert (tmp_path / "back").read_bytes() == there.read_bytes()[:size]


def test_file_that_shrinks(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    there = lab.guest(WEB).path(f"{remote(WEB)}/file")
    there.write_bytes(noise(12 * MIB))
    with ended(program.start("fetch", str(WEB), f"{remote(WEB)}/file", tmp_path / "back")) as process:
        until(lambda: lab.agents()["bytes_out"] > 2 * MIB, "the fetch is under way")
        os.truncate(there, MIB)
        finish(process).failed("changed in the guest while it was read")
    assert os.listdir(tmp_path) == ["home"]


# ---- what is no usual file ----


def test_large_file_of_the_kernel(program: Program, lab: Lab, quick_vm: int, tmp_path: Path) -> None:
    """It says that it is empty."""
    content = lab.guest(quick_vm).run(["cat", "/proc/kallsyms"]).stdout
    assert len(content) > MIB
    fetch_back(program, quick_vm, "/proc/kallsyms", tmp_path, content)


def test_no_space_for_a_copy(program: Program, tmp_path: Path) -> None:
    program.fetch(FULL, "/proc/kallsyms", tmp_path / "back", "--remote-tmp", "/full").failed("no space", "/full")
    assert os.listdir(tmp_path) == ["home"]


def test_attribute_in_sys(program: Program, quick_vm: int, tmp_path: Path) -> None:
    """It says that it has a page."""
    program.fetch(quick_vm, "/sys/kernel/mm/transparent_hugepage/enabled", tmp_path / "back").succeeded()
    assert b"never" in (tmp_path / "back").read_bytes()


def test_fifo(program: Program, lab: Lab, quick_vm: int, remote: Remote, tmp_path: Path) -> None:
    lab.guest(quick_vm).run(["mkfifo", f"{remote(quick_vm)}/file"])
    program.fetch(quick_vm, f"{remote(quick_vm)}/file", tmp_path / "back").failed("FIFO")
    assert os.listdir(tmp_path) == ["home"]


def test_device(program: Program, quick_vm: int, tmp_path: Path) -> None:
    program.fetch(quick_vm, "/dev/zero", tmp_path / "back").failed("device")


def test_socket(program: Program, lab: Lab, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.guest(WEB).path(remote(WEB)))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("file")
        program.fetch(WEB, f"{remote(WEB)}/file", tmp_path / "back").failed("socket")
