"""put and fetch that cannot succeed: one line that says why, and nothing left anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import FULL, WEB
from lab import Lab
from noise import noise
from program import PROGRAM, Program, ended, finish, until

MIB = 1024 * 1024


def test_missing_local_file(program: Program, lab: Lab, tmp_path: Path) -> None:
    program.put(WEB, tmp_path / "no-such", "/tmp/x").failed("no-such", "No such file")
    assert lab.agents()["commands"] == {} and lab.counters()["requests_total"] == 0, "nothing is asked of the server"


def test_unreadable_local_file(program: Program, lab: Lab, tmp_path: Path) -> None:
    program.put(WEB, tmp_path, "/tmp/x").failed("is a directory")
    assert lab.counters()["requests_total"] == 0


def test_missing_remote_file(program: Program, quick_vm: int, tmp_path: Path) -> None:
    program.fetch(quick_vm, "/no/such", tmp_path / "file").failed("/no/such", "no such file")
    assert os.listdir(tmp_path) == ["home"]


def test_remote_directory(program: Program, quick_vm: int, tmp_path: Path) -> None:
    program.fetch(quick_vm, "/etc", tmp_path / "file").failed("/etc", "directory")
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.parametrize("size", [10, MIB])
def test_destination_directory_missing(program: Program, quick_vm: int, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(noise(size))
    program.put(quick_vm, tmp_path / "file", "/no/such/file").failed("/no/such/file", "directory")


def test_destination_is_a_directory_that_has_one_of_that_name(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    lab.guest(WEB).path(f"{remote(WEB)}/file").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    program.put(WEB, tmp_path / "file", remote(WEB)).failed("directory")


def test_local_directory_missing(program: Program, tmp_path: Path) -> None:
    program.fetch(WEB, "/etc/passwd", tmp_path / "no" / "such").failed("no/such", "No such file")


def test_local_directory_read_only(program: Program, tmp_path: Path) -> None:
    """A mount that root cannot write either."""
    (tmp_path / "ro").mkdir()
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / "ro"), *fetch_command()]
    done = subprocess.run([*command, str(tmp_path / "ro" / "file")], env=program.environment, capture_output=True)
    assert done.returncode == 255 and b"Read-only file system" in done.stderr and done.stderr.count(b"\n") == 1
    assert os.listdir(tmp_path / "ro") == []


def fetch_command() -> list[str]:
    return [str(PROGRAM), "fetch", str(WEB), "/etc/passwd"]


@pytest.mark.parametrize("size", [3 * MIB, 1_200_000])
def test_full_disk(program: Program, lab: Lab, tmp_path: Path, size: int) -> None:
    """Staged on a disk with room, placed on one without, which still has its old file."""
    old = lab.guest(FULL).path("/full/file")
    old.write_bytes(b"old")
    (tmp_path / "file").write_bytes(noise(size))
    program.put(FULL, tmp_path / "file", "/full/file").failed("space")
    assert os.listdir(old.parent) == ["file"] and old.read_bytes() == b"old"
    old.unlink()


@pytest.mark.parametrize("size", [300_000, 3 * MIB])
def test_full_remote_tmp(program: Program, lab: Lab, tmp_path: Path, size: int) -> None:
    filler = lab.guest(FULL).path("/full/filler")
    filler.write_bytes(b"x" * 900_000)
    (tmp_path / "file").write_bytes(noise(size))
    program.put(FULL, tmp_path / "file", "/tmp/file", "--remote-tmp", "/full").failed("space")
    assert os.listdir(filler.parent) == ["filler"]
    filler.unlink()


def test_output_larger_than_the_room_in_remote_tmp(program: Program, lab: Lab) -> None:
    """The command ends by itself, as on any full disk, and the loss is told."""
    result = program.shell(FULL, "head -c 4000000 /dev/zero", "--remote-tmp", "/full")
    assert result.status != 0 and b"space" in result.stderr
    assert os.listdir(lab.guest(FULL).path("/full")) == []


@pytest.mark.parametrize("size", [10, MIB])
def test_read_only_remote_tmp(program: Program, lab: Lab, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(noise(size))
    program.put(FULL, tmp_path / "file", "/tmp/file", "--remote-tmp", "/srv").failed("/srv")
    assert os.listdir(lab.guest(FULL).path("/srv")) == []
    assert not lab.guest(FULL).path("/tmp/file").exists()


def test_read_only_remote_tmp_still_runs_commands(program: Program) -> None:
    """With the output captured by the agent, and a warning about what that means."""
    result = program.shell(FULL, "cat; echo err >&2; exit 3", "--remote-tmp", "/srv", stdin=b"\0\xff")
    assert (result.status, result.stdout) == (3, b"\0\xff")
    warning, err = result.stderr.decode().splitlines()
    assert err == "err" and "/srv" in warning


def test_read_only_destination(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    program.put(FULL, tmp_path / "file", "/srv/file").failed("/srv/file")


def test_remote_tmp_that_is_no_directory(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(MIB))
    program.put(WEB, tmp_path / "file", "/tmp/x", "--remote-tmp", "/no/such/dir").failed("/no/such/dir")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_put_interrupted(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, number: signal.Signals
) -> None:
    there = lab.guest(WEB).path(f"{remote(WEB)}/file")
    there.write_bytes(b"old")
    (tmp_path / "file").write_bytes(noise(20 * MIB))
    with ended(program.start("put", str(WEB), tmp_path / "file", f"{remote(WEB)}/file")) as process:
        until(lambda: lab.agents()["commands"].get("guest-exec", 0) > 4, "the put is under way")
        result = finish(process, number)
    assert (result.status, result.stdout, result.stderr) == (128 + number, b"", b"")
    assert os.listdir(there.parent) == ["file"] and there.read_bytes() == b"old"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_fetch_interrupted(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, number: signal.Signals
) -> None:
    lab.guest(WEB).path(f"{remote(WEB)}/file").write_bytes(noise(20 * MIB))
    (tmp_path / "file").write_bytes(b"old")
    with ended(program.start("fetch", str(WEB), f"{remote(WEB)}/file", tmp_path / "file")) as process:
        until(lambda: lab.agents()["bytes_out"] > 2 * MIB, "the fetch is under way")
        result = finish(process, number)
    assert (result.status, result.stdout, result.stderr) == (128 + number, b"", b"")
    assert sorted(os.listdir(tmp_path)) == ["file", "home"] and (tmp_path / "file").read_bytes() == b"old"


def test_put_whose_source_ends_with_an_error(program: Program, lab: Lab, remote: Callable[[int], str]) -> None:
    """stdin that is a directory cannot be read."""
    descriptor = os.open("/", os.O_RDONLY)
    try:
        program.put(WEB, "-", f"{remote(WEB)}/file", stdin=descriptor).failed("directory")
    finally:
        os.close(descriptor)
    assert os.listdir(lab.guest(WEB).path(remote(WEB))) == []


def test_file_that_changes_while_it_is_fetched(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    there = lab.guest(WEB).path(f"{remote(WEB)}/file")
    there.write_bytes(noise(20 * MIB))
    (tmp_path / "file").write_bytes(b"old")
    with program.serve(vm=WEB) as client:
        request = client.start_fetch(f"{remote(WEB)}/file", tmp_path / "file")
        until(lambda: lab.agents()["bytes_out"] > 2 * MIB, "the fetch is under way")
        there.write_bytes(b"\0" * 20 * MIB)
        with pytest.raises(Exception) as raised:
            request.result()
    assert raised.value.code == "checksum", raised.value
    assert sorted(os.listdir(tmp_path)) == ["file", "home"] and (tmp_path / "file").read_bytes() == b"old"


def test_local_disk_full(program: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    program.put(WEB, "-", f"{remote(WEB)}/file", stdin=noise(3 * MIB)).succeeded()
    program.fetch(WEB, f"{remote(WEB)}/file", "/dev/full").failed("No space left")
    script = 'mount -t tmpfs -o size=1m none "$1" && shift && "$@"; status=$?; ls -A "$0"; exit $status'
    (tmp_path / "small").mkdir()
    small = str(tmp_path / "small")
    command = [*fetch_command()[:-1], f"{remote(WEB)}/file", f"{small}/file"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, small, small, *command], env=program.environment, capture_output=True
    )
    assert (done.returncode, done.stdout) == (255, b"") and b"No space left" in done.stderr
