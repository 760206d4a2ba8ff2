"""put and fetch: files arrive whole, under any name, with the mode they should have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ALPINE, BARE, BASH, NOBASE64, WEB
from lab import Lab
from noise import noise, write_noise
from program import MEMORY_LIMIT_KIB, Program

KIB, MIB = 1024, 1024 * 1024
SIZES = [0, 1, 4095, 4096, 65535, 65536, 65537, 300_000, 389_119, 389_120, 389_121, MIB]
NAMES = [
    "汉语-['foo bar'].txt".encode(), b"two\nlines", b"-rf", b"  spaces  ", b"back\\slash\\n", b"\xff\xfe\x80", b"'\"$(id)`id`",
    b"%s%n\\0101", b"*", b"\t\x01\x7f", b"x" * 255,
]  # fmt: skip


def copy_both_ways(program: Program, vm: int, directory: str, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "there").write_bytes(data)
    program.put(vm, tmp_path / "there", f"{directory}/file").succeeded()
    assert program.lab.guest(vm).run(["cat", f"{directory}/file"]).stdout == data
    program.fetch(vm, f"{directory}/file", tmp_path / "back").succeeded()
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("size", SIZES)
def test_sizes(program: Program, remote: Callable[[int], str], tmp_path: Path, size: int) -> None:
    copy_both_ways(program, WEB, remote(WEB), tmp_path, noise(size))


@pytest.mark.parametrize("size", [0, 1, 300_000, MIB])
def test_sizes_on_each_guest(program: Program, vm: int, remote: Callable[[int], str], tmp_path: Path, size: int) -> None:
    copy_both_ways(program, vm, remote(vm), tmp_path, noise(size))


@pytest.mark.parametrize("vmid", [NOBASE64, BARE], ids=["nobase64", "bare"])
@pytest.mark.parametrize("size", [0, 1, 65537, MIB])
def test_guests_without_tools(program: Program, vmid: int, remote: Callable[[int], str], tmp_path: Path, size: int) -> None:
    copy_both_ways(program, vmid, remote(vmid), tmp_path, noise(size))


@pytest.mark.parametrize("data", [b"\0" * MIB, bytes(range(256)) * 4096, b"text\n" * 100_000], ids=["zeros", "bytes", "text"])
def test_contents(program: Program, remote: Callable[[int], str], tmp_path: Path, data: bytes) -> None:
    copy_both_ways(program, WEB, remote(WEB), tmp_path, data)


def test_20_mebibytes(program: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    copy_both_ways(program, WEB, remote(WEB), tmp_path, noise(20 * MIB))


@pytest.mark.ways("api", "socket", why="qm would take minutes")
def test_256_mebibytes_in_constant_memory(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    lab.set_pace(False)
    digest = write_noise(tmp_path / "there", 256)
    put = program.measure("put", str(WEB), tmp_path / "there", f"{remote(WEB)}/file").succeeded()
    (tmp_path / "there").unlink()
    assert sha256(lab.guest(WEB).path(f"{remote(WEB)}/file")) == digest
    fetch = program.measure("fetch", str(WEB), f"{remote(WEB)}/file", tmp_path / "back").succeeded()
    assert sha256(tmp_path / "back") == digest
    assert put.peak_kib < MEMORY_LIMIT_KIB and fetch.peak_kib < MEMORY_LIMIT_KIB, (put.peak_kib, fetch.peak_kib)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("name", NAMES, ids=[name.decode("ascii", "backslashreplace")[:20] for name in NAMES])
@pytest.mark.parametrize("vmid", [WEB, BASH, ALPINE], ids=["dash", "bash", "busybox"])
def test_names(program: Program, remote: Callable[[int], str], tmp_path: Path, vmid: int, name: bytes) -> None:
    local, there = os.fsencode(tmp_path) + b"/" + name, remote(vmid).encode() + b"/" + name
    for data in (b"small", noise(500_000)):
        Path(os.fsdecode(local)).write_bytes(data)
        program.put(vmid, local, there).succeeded()
        listing = program.lab.guest(vmid).run(["find", remote(vmid), "-mindepth", "1", "-print0"]).stdout
        assert listing == there + b"\0"
        Path(os.fsdecode(local)).unlink()
        program.fetch(vmid, there, local).succeeded()
        assert Path(os.fsdecode(local)).read_bytes() == data
    assert os.listdir(os.fsencode(tmp_path)) in ([name, b"home"], [b"home", name])


def mode_there(lab: Lab, path: str) -> int:
    return lab.guest(WEB).path(path).stat().st_mode & 0o7777


def test_mode_of_the_original(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    for mode in (0o600, 0o644, 0o755, 0o4711, 0o444):
        local = tmp_path / f"{mode:o}"
        local.write_bytes(b"x")
        local.chmod(mode)
        program.put(WEB, local, f"{remote(WEB)}/{mode:o}").succeeded()
        assert mode_there(lab, f"{remote(WEB)}/{mode:o}") in (mode, mode & 0o777), oct(mode)
        program.fetch(WEB, f"{remote(WEB)}/{mode:o}", tmp_path / "back").succeeded()
        assert (tmp_path / "back").stat().st_mode & 0o777 == mode & 0o777 & ~current_umask()
        (tmp_path / "back").unlink()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_mode_that_is_asked_for(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    program.put(WEB, tmp_path / "file", f"{remote(WEB)}/file", "--mode", "0751").succeeded()
    assert mode_there(lab, f"{remote(WEB)}/file") == 0o751
    program.fetch(WEB, f"{remote(WEB)}/file", tmp_path / "back", "-m", "640").succeeded()
    assert (tmp_path / "back").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("size", [10, MIB])
def test_existing_file_keeps_mode_and_owner(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, size: int
) -> None:
    there = lab.guest(WEB).path(f"{remote(WEB)}/file")
    there.write_bytes(b"old")
    os.chown(there, 1234, 4321)
    there.chmod(0o2640)
    (tmp_path / "file").write_bytes(noise(size))
    program.put(WEB, tmp_path / "file", f"{remote(WEB)}/file").succeeded()
    info = there.stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (1234, 4321, 0o640)
    assert there.read_bytes() == noise(size)


def test_existing_local_file_is_replaced(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    lab.guest(WEB).path(f"{remote(WEB)}/file").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old and longer")
    program.fetch(WEB, f"{remote(WEB)}/file", tmp_path / "file").succeeded()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_symlinks_are_followed(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    directory = lab.guest(WEB).path(remote(WEB))
    (directory / "target").write_bytes(b"old")
    (directory / "link").symlink_to("target")
    (tmp_path / "file").write_bytes(b"new")
    program.put(WEB, tmp_path / "file", f"{remote(WEB)}/link").succeeded()
    assert (directory / "link").is_symlink() and (directory / "target").read_bytes() == b"new"
    (tmp_path / "local").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "local")
    program.fetch(WEB, f"{remote(WEB)}/link", tmp_path / "link").succeeded()
    assert (tmp_path / "link").is_symlink() and (tmp_path / "local").read_bytes() == b"new"


def test_directory_as_destination(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    name = "汉语 '1'"
    (tmp_path / name).write_bytes(b"x")
    program.put(WEB, tmp_path / name, remote(WEB)).succeeded()
    assert (lab.guest(WEB).path(remote(WEB)) / name).read_bytes() == b"x"
    (tmp_path / "into").mkdir()
    program.fetch(WEB, f"{remote(WEB)}/{name}", tmp_path / "into").succeeded()
    assert (tmp_path / "into" / name).read_bytes() == b"x"


@pytest.mark.parametrize("size", [0, 1000, 3 * MIB])
def test_stdin_and_stdout(program: Program, remote: Callable[[int], str], size: int) -> None:
    data = noise(size)
    program.put(WEB, "-", f"{remote(WEB)}/file", stdin=data).succeeded()
    assert program.fetch(WEB, f"{remote(WEB)}/file", "-").succeeded().stdout == data


def test_stdin_has_no_name(program: Program, remote: Callable[[int], str]) -> None:
    program.put(WEB, "-", remote(WEB), stdin=b"x").failed("directory")


def test_relative_path_starts_at_home(program: Program, lab: Lab, quick_vm: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    home = program.shell(quick_vm, "pwd").stdout.decode().strip()
    program.put(quick_vm, tmp_path / "file", "relative.txt").succeeded()
    path = f"{home}/relative.txt"
    assert lab.guest(quick_vm).run(["cat", path]).stdout == b"x"
    program.fetch(quick_vm, "relative.txt", tmp_path / "back").succeeded()
    assert (tmp_path / "back").read_bytes() == b"x"
    assert lab.guest(quick_vm).run(["rm", path]).exit_code == 0


def test_local_special_file_is_written_in_place(program: Program, remote: Callable[[int], str]) -> None:
    program.put(WEB, "-", f"{remote(WEB)}/file", stdin=b"x").succeeded()
    program.fetch(WEB, f"{remote(WEB)}/file", "/dev/null").succeeded()
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/mounts", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_of_the_kernel(program: Program, tmp_path: Path, path: str) -> None:
    """They say they are empty, or larger than they are."""
    program.fetch(WEB, path, tmp_path / "file").succeeded()
    assert (tmp_path / "file").stat().st_size > 0
