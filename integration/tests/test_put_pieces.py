"""What a put sends: few calls, packed where that helps, no long runs of zeros, and nothing of a file that changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import ALPINE, BARE, REAL, WEB
from lab import Lab
from noise import noise, write_noise
from program import Program, Result, ended, finish, until

KIB, MIB = 1024, 1024 * 1024
PEAK_KIB = 24 * 1024
"""What the project promises for files of any size and kind."""

Remote = Callable[[int], str]


def text(length: int) -> bytes:
    lines = b"".join(b"%d: %x little endians went to sea\n" % (n, n * 2654435761 % 2**32) for n in range(length // 40))
    return (lines * 2)[:length]


def put(program: Program, vmid: int, local: Path, there: str) -> None:
    program.put(vmid, local, there).succeeded()


def execs(lab: Lab, vmid: int = WEB) -> int:
    """Commands that the guest was asked to start."""
    if vmid == REAL:
        return int(lab.counters()["requests"].get("exec", 0))
    return int(lab.agents()["commands"].get("guest-exec", 0))


def sent(lab: Lab, vmid: int) -> int:
    """Bytes that went to the guest, as they travel."""
    return int((lab.counters() if vmid == REAL else lab.agents())["bytes_in"])


COUNTED = pytest.param(REAL, marks=pytest.mark.ways("api", why="what reaches a QEMU guest is counted on its way only"))


# ---- calls ----


def test_calls_of_10_mebibytes(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(10 * MIB))
    directory = remote(WEB)
    lab.reset_counters()
    put(program, WEB, tmp_path / "file", f"{directory}/file")
    assert 1 <= execs(lab) <= 34


@pytest.mark.ways("api", why="looks at the API's answers")
def test_each_record_of_the_agent_is_taken(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(3 * MIB))
    directory, kept = remote(WEB), tmp_path / "record"
    lab.record(kept)
    put(program, WEB, tmp_path / "file", f"{directory}/file")
    lab.stop_recording()
    entries = json.loads((kept / "index.json").read_text())

    def answers(kind: str) -> list[dict[str, Any]]:
        numbers = [entry["number"] for entry in entries if entry["kind"] == kind]
        return [json.loads((kept / f"{number}.answer").read_text())["data"] for number in numbers]

    started = [answer["pid"] for answer in answers("exec")]
    taken = [answer for answer in answers("exec-status") if answer["exited"]]
    assert len(started) == len(set(started)) == len(taken)


# ---- packing ----


@pytest.mark.parametrize("vmid", [WEB, ALPINE, BARE, COUNTED], ids=["dash", "busybox", "bare", "qemu"])
def test_text(program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int) -> None:
    data = text(4 * MIB)
    (tmp_path / "file").write_bytes(data)
    directory = remote(vmid)
    lab.reset_counters()
    put(program, vmid, tmp_path / "file", f"{directory}/file")
    assert vmid == BARE or 1 <= execs(lab, vmid) <= 8
    assert lab.guest(vmid).run(["cat", f"{directory}/file"]).stdout == data


def test_text_in_one_call(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    data = text(700 * KIB)
    (tmp_path / "file").write_bytes(data)
    directory = remote(WEB)
    lab.reset_counters()
    put(program, WEB, tmp_path / "file", f"{directory}/file")
    assert execs(lab) == 1
    assert lab.guest(WEB).path(f"{directory}/file").read_bytes() == data


def test_text_and_noise_by_turns(program: Program, lab: Lab, remote: Remote) -> None:
    data = b"".join(text(700_001) + noise(800_003) for _ in range(4))
    program.put(WEB, "-", f"{remote(WEB)}/file", stdin=data).succeeded()
    assert lab.guest(WEB).path(f"{remote(WEB)}/file").read_bytes() == data


@pytest.mark.ways("api", why="releases differ in the API")
@pytest.mark.parametrize("profile", ["pve7", "pve8.0-old"])
def test_text_to_old_servers(program: Program, lab: Lab, remote: Remote, tmp_path: Path, profile: str) -> None:
    data = text(2 * MIB)
    (tmp_path / "file").write_bytes(data)
    directory = remote(WEB)
    lab.set_profile(profile)
    put(program, WEB, tmp_path / "file", f"{directory}/file")
    assert lab.guest(WEB).path(f"{directory}/file").read_bytes() == data


# ---- zeros ----


@pytest.mark.parametrize("vmid", [WEB, ALPINE, COUNTED], ids=["dash", "busybox", "qemu"])
def test_zeros(program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(64 * MIB)
    directory = remote(vmid)
    lab.reset_counters()
    put(program, vmid, tmp_path / "file", f"{directory}/file")
    assert 1 <= execs(lab, vmid) <= 4
    assert 0 < sent(lab, vmid) < 100 * KIB
    assert lab.guest(vmid).run(["wc", "-c", f"{directory}/file"]).stdout.split()[0] == b"%d" % (64 * MIB)
    blocks = int(lab.guest(vmid).run(["du", "-k", f"{directory}/file"]).stdout.split()[0])
    assert blocks < 1024
    assert lab.guest(vmid).run(["sh", "-c", f"tr -d '\\000' <{directory}/file"]).stdout == b""


@pytest.mark.parametrize("vmid", [WEB, ALPINE, BARE], ids=["dash", "busybox", "bare"])
def test_holes(program: Program, lab: Lab, remote: Remote, tmp_path: Path, vmid: int) -> None:
    islands = {0: 10, 3 * MIB + 5: 500_000, 5 * MIB: 4096, 9 * MIB - 100: 4196, 12 * MIB - 1: 1}
    with (tmp_path / "file").open("wb") as file:
        for place, length in islands.items():
            file.seek(place)
            file.write(noise(length))
        file.truncate(14 * MIB + 77)
    put(program, vmid, tmp_path / "file", f"{remote(vmid)}/file")
    assert lab.guest(vmid).run(["cat", f"{remote(vmid)}/file"]).stdout == (tmp_path / "file").read_bytes()


# ---- memory ----


@pytest.mark.ways("api", "socket", why="each call of qm carries 1.75 MiB")
@pytest.mark.parametrize("kind", ["noise", "text", "zeros"])
def test_memory_does_not_grow_with_the_file(
    program: Program, lab: Lab, remote: Remote, tmp_path: Path, kind: str
) -> None:
    lab.set_pace(False)
    local = tmp_path / "file"
    if kind == "noise":
        write_noise(local, 48)
    elif kind == "text":
        local.write_bytes(text(MIB) * 128)
    else:
        with local.open("wb") as file:
            file.truncate(512 * MIB)
    done = program.measure("put", str(WEB), local, f"{remote(WEB)}/file").succeeded()
    assert done.peak_kib <= PEAK_KIB
    lab.guest(WEB).path(f"{remote(WEB)}/file").unlink()


# ---- files that change ----


def put_and_meanwhile(program: Program, lab: Lab, local: Path, there: str, change: Callable[[], object]) -> Result:
    """A put of a large file that is changed when some of it has been sent."""
    write_noise(local, 24)
    lab.reset_counters()
    with ended(program.start("put", str(WEB), local, there)) as process:
        until(lambda: execs(lab) >= 4, "the put is under way")
        change()
        return finish(process)


@pytest.mark.parametrize("word", ["shorter", "changed"])
def test_a_file_that_changes_is_not_put(
    program: Program, lab: Lab, remote: Remote, tmp_path: Path, word: str
) -> None:
    local, directory = tmp_path / "file", remote(WEB)

    def change() -> None:
        with local.open("r+b") as file:
            if word == "shorter":
                file.truncate(20 * MIB)
            else:
                file.write(b"x")

    before = os.listdir(lab.guest(WEB).path("/tmp"))
    done = put_and_meanwhile(program, lab, local, f"{directory}/file", change)
    done.failed(word)
    assert os.listdir(lab.guest(WEB).path(directory)) == []
    assert os.listdir(lab.guest(WEB).path("/tmp")) == before


def test_a_file_that_grows_is_put_as_it_was(program: Program, lab: Lab, remote: Remote, tmp_path: Path) -> None:
    local, directory = tmp_path / "file", remote(WEB)

    def change() -> None:
        with local.open("ab") as file:
            file.write(b"one more line\n")

    put_and_meanwhile(program, lab, local, f"{directory}/file", change).succeeded()
    assert lab.guest(WEB).path(f"{directory}/file").read_bytes() == local.read_bytes()[: 24 * MIB]


@pytest.mark.parametrize("path", ["/proc/version", "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_of_the_kernel(program: Program, lab: Lab, remote: Remote, path: str) -> None:
    put(program, WEB, Path(path), f"{remote(WEB)}/file")
    there = lab.guest(WEB).path(f"{remote(WEB)}/file").read_bytes()
    assert there.count(b"\n") == Path(path).read_bytes().count(b"\n") > 0
