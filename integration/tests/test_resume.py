"""Transfers that were cut off go on where they stopped, and leave nothing once they are through."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ALPINE, BARE, WEB
from lab import Lab
from noise import noise
from program import Program, ended, finish, until

MIB = 1024 * 1024
# Three pieces are on their way at a time, which what was cut off sends again; over qm they are the largest.
LARGE_PIECES = os.environ.get("PVE_QGA_TEST_METHOD") == "qm"
SIZE = (32 if LARGE_PIECES else 16) * MIB
CUT_AT = (16 if LARGE_PIECES else 6) * MIB
"""Bytes on the wire, which are a third more than those of the file."""

INTERRUPTIONS = [(signal.SIGKILL, []), (signal.SIGTERM, ["--partial"]), (signal.SIGINT, ["--partial"])]
NAMES = ["killed", "SIGTERM", "SIGINT"]

Remote = Callable[[int], str]


def staged(lab: Lab, vmid: int) -> list[str]:
    """What transfers have left in a guest."""
    return [name for name in os.listdir(lab.guest(vmid).path("/tmp")) if name.startswith(".pve-qga-run-")]


def records(program: Program) -> list[str]:
    directory = program.home / ".local/state/pve-qga-run"
    return os.listdir(directory) if directory.exists() else []


def cut_off(program: Program, lab: Lab, counter: str, number: signal.Signals, *arguments: str) -> None:
    """Start a transfer and end it in the middle."""
    lab.reset_counters()
    with ended(program.start(*arguments)) as process:
        until(lambda: lab.agents()[counter] > CUT_AT, "the transfer is under way")
        finish(process, number)


def moved(lab: Lab, counter: str) -> int:
    """Bytes of the file that a counter stands for, since it was reset."""
    return int(lab.agents()[counter]) * 3 // 4


@pytest.mark.parametrize(("number", "options"), INTERRUPTIONS, ids=NAMES)
@pytest.mark.parametrize("vmid", [WEB, ALPINE], ids=["dash", "busybox"])
def test_put(
    program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int, number: signal.Signals, options: list[str]
) -> None:
    content = noise(SIZE)
    (tmp_path / "file").write_bytes(content)
    there = lab.guest(vmid).path(remote(vmid)) / "file"
    arguments = ["put", *options, str(vmid), str(tmp_path / "file"), f"{remote(vmid)}/file"]
    cut_off(program, lab, "bytes_in", number, *arguments)
    assert not there.exists()
    assert len(staged(lab, vmid)) == len(records(program)) == 1

    lab.reset_counters()
    program.run(*arguments).succeeded()
    assert there.read_bytes() == content
    assert moved(lab, "bytes_in") < SIZE - CUT_AT // 4, "the first part was sent again"
    assert staged(lab, vmid) == records(program) == []


@pytest.mark.parametrize(("number", "options"), INTERRUPTIONS, ids=NAMES)
@pytest.mark.parametrize("vmid", [WEB, ALPINE], ids=["dash", "busybox"])
def test_fetch(
    program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int, number: signal.Signals, options: list[str]
) -> None:
    content = noise(SIZE)
    (lab.guest(vmid).path(remote(vmid)) / "file").write_bytes(content)
    arguments = ["fetch", *options, str(vmid), f"{remote(vmid)}/file", str(tmp_path / "file")]
    cut_off(program, lab, "bytes_out", number, *arguments)
    assert not (tmp_path / "file").exists()
    assert len(records(program)) == 1 and len(list(tmp_path.glob(".file.*"))) == 1

    lab.reset_counters()
    program.run(*arguments).succeeded()
    assert (tmp_path / "file").read_bytes() == content
    assert moved(lab, "bytes_out") < SIZE - CUT_AT // 4, "the first part was read again"
    assert sorted(os.listdir(tmp_path)) == ["file", "home"] and records(program) == []


def test_put_of_another_content(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """Same name and size, but not what the guest has of it."""
    (tmp_path / "file").write_bytes(noise(SIZE))
    arguments = ["put", str(WEB), str(tmp_path / "file"), f"{remote(WEB)}/file"]
    cut_off(program, lab, "bytes_in", signal.SIGKILL, *arguments)
    content = b"x" + noise(SIZE)[1:]
    (tmp_path / "file").write_bytes(content)
    program.run(*arguments).succeeded()
    assert (lab.guest(WEB).path(remote(WEB)) / "file").read_bytes() == content
    assert staged(lab, WEB) == records(program) == []


def test_fetch_of_another_content(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    there = lab.guest(WEB).path(remote(WEB)) / "file"
    there.write_bytes(noise(SIZE))
    arguments = ["fetch", str(WEB), f"{remote(WEB)}/file", str(tmp_path / "file")]
    cut_off(program, lab, "bytes_out", signal.SIGKILL, *arguments)
    content = b"x" + noise(SIZE)[1:]
    there.write_bytes(content)
    program.run(*arguments).succeeded()
    assert (tmp_path / "file").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["file", "home"] and records(program) == []


def test_part_that_someone_changed(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    content = noise(SIZE)
    (lab.guest(WEB).path(remote(WEB)) / "file").write_bytes(content)
    arguments = ["fetch", str(WEB), f"{remote(WEB)}/file", str(tmp_path / "file")]
    cut_off(program, lab, "bytes_out", signal.SIGKILL, *arguments)
    (part,) = tmp_path.glob(".file.*")
    with part.open("r+b") as file:
        file.write(b"changed")
    program.run(*arguments).succeeded()
    assert (tmp_path / "file").read_bytes() == content


def test_guest_without_sha256(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """Nothing can be compared there, so all is sent again."""
    content = noise(4 * MIB)
    (tmp_path / "file").write_bytes(content)
    arguments = ["put", str(BARE), str(tmp_path / "file"), f"{remote(BARE)}/file"]
    lab.reset_counters()
    with ended(program.start(*arguments)) as process:
        until(lambda: lab.agents()["bytes_in"] > 3 * MIB, "the put is under way")
        finish(process, signal.SIGKILL)
    program.run(*arguments).succeeded()
    assert (lab.guest(BARE).path(remote(BARE)) / "file").read_bytes() == content
    lab.guest(BARE).run(["sh", "-c", "rm -rf /tmp/.pve-qga-run-*"])


def test_same_put_at_the_same_time(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """One that is under way is not taken for one that was cut off."""
    content = noise(SIZE)
    (tmp_path / "file").write_bytes(content)
    arguments = ["put", str(WEB), str(tmp_path / "file"), f"{remote(WEB)}/file"]
    lab.reset_counters()
    with ended(program.start(*arguments)) as first:
        until(lambda: lab.agents()["bytes_in"] > CUT_AT, "the first is under way")
        program.run(*arguments).succeeded()
        assert finish(first).succeeded()
    assert (lab.guest(WEB).path(remote(WEB)) / "file").read_bytes() == content
    assert staged(lab, WEB) == records(program) == []


@pytest.mark.ways("api", why="about connections to the API")
def test_server_that_goes_away(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """The connection is lost for longer than --connect-timeout."""
    content = noise(SIZE)
    (tmp_path / "file").write_bytes(content)
    arguments = ["put", "--connect-timeout=1", str(WEB), str(tmp_path / "file"), f"{remote(WEB)}/file"]
    lab.fault("exec", "cut-before", nth=20, count=1000)
    assert program.run(*arguments).status == 255
    lab.clear_faults()
    lab.reset_counters()
    program.run(*arguments).succeeded()
    assert (lab.guest(WEB).path(remote(WEB)) / "file").read_bytes() == content
    assert moved(lab, "bytes_in") < SIZE - CUT_AT // 2
    assert records(program) == []
