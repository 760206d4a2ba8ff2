"""put -r and fetch -r: directories as they are, whole or not at all, and nothing of a guest's outside its place."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ALPINE, FULL, REAL, WEB
from lab import Lab
from noise import noise
from program import MEMORY_LIMIT_KIB, PROGRAM, Program, ended, finish, until

MIB = 1024 * 1024

ODD = [b"plain", b"-n", b"a b", b"new\nline\n", b"bad\xff\xfe", b"'\"\\$(id)", "汉语-['foo bar'].txt".encode(), b"*",
       b"end\\", b".hidden", b"..dots", b"x" * 200]  # fmt: skip


def make_tree(root: Path) -> None:
    """What a tree may have in it."""
    root.mkdir()
    base = os.fsencode(root)
    for number, name in enumerate(ODD):
        with open(os.path.join(base, name), "wb") as file:
            file.write(name * 1000)
        os.chmod(os.path.join(base, name), 0o600 + number)
    (root / "sub/deeper/deepest").mkdir(parents=True)
    (root / "sub/deeper/file").write_bytes(noise(100_000))
    (root / "empty").mkdir()
    (root / "zero").write_bytes(b"")
    (root / "other-name").hardlink_to(root / "plain")
    (root / "link").symlink_to("sub/deeper/file")
    (root / "up").symlink_to("../../../etc/passwd")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "dangling").symlink_to("nowhere")
    (root / "sub").chmod(0o555)
    (root / "empty").chmod(0o1777)
    root.chmod(0o751)
    for path, _, names in os.walk(base, topdown=False):
        for name in [*names, b"."]:
            os.utime(os.path.join(path, name), ns=(0, 1_234_567_890_123_456_789), follow_symlinks=False)


def manifest(root: Path, plain_tar: bool = False) -> dict[bytes, tuple[Any, ...]]:
    """Everything that is kept. A plain tar knows whole seconds, and keeps times of files only."""
    found: dict[bytes, tuple[Any, ...]] = {}
    base = os.fsencode(root)
    for path, _, names in os.walk(base):
        for name in [*names, b"."]:
            full = os.path.join(path, name)
            info = os.lstat(full)
            content: Any = None
            if stat.S_ISREG(info.st_mode):
                with open(full, "rb") as file:
                    content = (info.st_nlink, file.read())
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(full)
            time = info.st_mtime_ns // (10**9 if plain_tar else 1)
            if plain_tar and not stat.S_ISREG(info.st_mode):
                time = 0
            found[os.path.relpath(full, base)] = (stat.filemode(info.st_mode), content, time)
    return found


def hidden(root: Path) -> list[Path]:
    return list(root.rglob(".pve-qga-run*"))


def made(path: Path, **files: bytes) -> Path:
    """A directory with some files, whose names have __ for each slash."""
    for name, content in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


# ---- whole trees ----


def test_round_trip(program: Program, lab: Lab, vm: int, remote: Callable[[int], str], tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    plain = vm in (ALPINE, REAL)
    before = manifest(tmp_path / "tree", plain)
    program.put(vm, tmp_path / "tree", f"{remote(vm)}/new", "-r").succeeded()
    if vm != REAL:
        assert manifest(lab.guest(vm).path(f"{remote(vm)}/new"), plain) == before
        assert hidden(lab.guest(vm).path("/tmp")) == []
    owners = lab.guest(vm).run(["find", f"{remote(vm)}/new", "!", "-user", "root"])
    assert owners.stdout == b""
    program.fetch(vm, f"{remote(vm)}/new", tmp_path / "back", "--recursive").succeeded()
    assert manifest(tmp_path / "back", plain) == before
    assert sorted(os.listdir(tmp_path)) == ["back", "home", "tree"]


def test_names_of_the_destination(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    """As with cp -r."""
    there = lab.guest(WEB).path(remote(WEB))
    tree = made(tmp_path / "tree", a__file=b"x")
    for source, to, found in [
        ("tree", "new", "new/a/file"),
        ("tree/", "new/", "new/tree/a/file"),
        ("tree/.", "new", "new/a/file"),
        ("tree/.", "other", "other/a/file"),
        ("tree/a/..", "third", "third/a/file"),
        ("tree/a/", "new/a", "new/a/a/file"),
    ]:
        program.put(WEB, f"{tmp_path}/{source}", f"{remote(WEB)}/{to}", "-r").succeeded()
        assert (there / found).read_bytes() == b"x", (source, to)
    shutil.rmtree(there / "new")
    shutil.copytree(tree, there / "tree")
    for source, to, found in [
        ("tree", "new", "new/a/file"),
        ("tree/", "new/", "new/tree/a/file"),
        ("tree/.", "new", "new/a/file"),
        ("tree/.", "other", "other/a/file"),
        ("tree/a/", "new/a", "new/a/a/file"),
    ]:
        program.fetch(WEB, f"{remote(WEB)}/{source}", f"{tmp_path}/{to}", "-r").succeeded()
        assert (tmp_path / found).read_bytes() == b"x", (source, to)


def test_into_what_is_there(
    program: Program, lab: Lab, quick_vm: int, remote: Callable[[int], str], tmp_path: Path
) -> None:
    old = {"both__old": b"old", "both__changed": b"old", "stays": b"old"}
    new = {"both__changed": b"new", "both__dir__file": b"new"}
    there = lab.guest(quick_vm).path(remote(quick_vm))
    made(tmp_path / "new", **new)
    made(there / "old", **old)
    (there / "old/both").chmod(0o1777)
    program.put(quick_vm, f"{tmp_path}/new/.", f"{remote(quick_vm)}/old", "-r").succeeded()
    made(there / "new", **new)
    made(tmp_path / "old", **old)
    (tmp_path / "old/both").chmod(0o1777)
    program.fetch(quick_vm, f"{remote(quick_vm)}/new/.", tmp_path / "old", "-r").succeeded()
    for root in (there, tmp_path):
        contents = {str(path.relative_to(root / "old")): path.read_bytes()
                    for path in (root / "old").rglob("*") if path.is_file()}  # fmt: skip
        assert contents == {"both/old": b"old", "both/changed": b"new", "both/dir/file": b"new", "stays": b"old"}
        assert stat.S_IMODE((root / "old/both").stat().st_mode) == 0o1777, "directories stay as they are"
        assert hidden(root) == []


def test_files_with_recursive(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    program.put(WEB, tmp_path / "file", f"{remote(WEB)}/file", "-r").succeeded()
    program.fetch(WEB, f"{remote(WEB)}/file", tmp_path / "back", "-r").succeeded()
    assert (tmp_path / "back").read_bytes() == b"x"
    program.put(WEB, "-", f"{remote(WEB)}/stdin", "-r", stdin=b"y").succeeded()
    assert lab.guest(WEB).path(f"{remote(WEB)}/stdin").read_bytes() == b"y"


def test_large_tree_in_little_memory(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    tree = made(tmp_path / "tree", large=noise(40 * MIB))
    for number in range(2000):
        (tree / f"{number}").write_bytes(b"")
    there = f"{remote(WEB)}/new"
    done = program.measure("put", "-r", str(WEB), tree, there).succeeded()
    assert done.peak_kib < MEMORY_LIMIT_KIB
    done = program.measure("fetch", "-r", str(WEB), there, tmp_path / "back").succeeded()
    assert done.peak_kib < MEMORY_LIMIT_KIB
    assert manifest(tmp_path / "back") == manifest(tree)


# ---- what users are told ----


def test_what_is_no_file_is_told(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    there = lab.guest(WEB).path(remote(WEB))
    for root in (tmp_path, there):
        made(root / "tree", file=b"x")
        os.mkfifo(root / "tree/fi\nfo")
        os.mknod(root / "tree/device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(root / "tree"):
            server.bind("socket")
    put = program.put(WEB, tmp_path / "tree", f"{remote(WEB)}/new", "-r")
    fetch = program.fetch(WEB, f"{remote(WEB)}/tree", tmp_path / "new", "-r")
    for result in (put, fetch):
        lines = result.stderr.decode().splitlines()
        assert result.status == 0 and len(lines) == 3 and all("warning: " in line for line in lines), lines
        assert all(any(name in line for line in lines) for name in ("'fi fo'", "'device'", "socket"))
    assert os.listdir(there / "new") == os.listdir(tmp_path / "new") == ["file"]


@contextlib.contextmanager
def guest_tar(lab: Lab, vm: int, script: str, **files: bytes) -> Iterator[None]:
    """Another tar in a guest, a script that finds the files in /run."""
    guest = lab.guest(vm)
    program = guest.path("/usr/local/sbin/tar")
    for name, content in files.items():
        guest.path(f"/run/{name}").write_bytes(content)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    try:
        yield
    finally:
        program.unlink()
        for name in files:
            guest.path(f"/run/{name}").unlink()


def test_file_that_changes_while_it_is_packed(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    made(lab.guest(WEB).path(remote(WEB)), tree__file=b"x")
    script = '/usr/bin/tar "$@"; echo "tar: ./file: file changed as we read it" >&2; [ "$1" = --version ]'
    with guest_tar(lab, WEB, script):
        result = program.fetch(WEB, f"{remote(WEB)}/tree", tmp_path / "new", "-r")
    assert result.status == 0 and result.complaint.endswith("tar: ./file: file changed as we read it")
    assert (tmp_path / "new/file").read_bytes() == b"x"


def test_directories_without_recursive(program: Program, quick_vm: int, tmp_path: Path) -> None:
    program.put(quick_vm, tmp_path, "/tmp/x").failed("is a directory", "--recursive")
    program.fetch(quick_vm, "/etc", tmp_path / "file").failed("is a directory", "--recursive")


def test_usage(program: Program, lab: Lab, tmp_path: Path) -> None:
    program.put(WEB, tmp_path, "/tmp/x", "-r", "--mode=700").failed("--recursive", "--mode")
    program.fetch(WEB, "/etc", tmp_path / "x", "-r", "--mode=700").failed("--recursive", "--mode")
    program.fetch(WEB, "/etc", "-", "-r").failed("--recursive", "stdout")
    program.put(WEB, tmp_path / "missing", "/tmp/x", "-r").failed("missing", "No such file")
    assert lab.counters()["requests_total"] == 0


# ---- what cannot be ----


def test_no_place(program: Program, lab: Lab, quick_vm: int, remote: Callable[[int], str], tmp_path: Path) -> None:
    there = lab.guest(quick_vm).path(remote(quick_vm))
    made(tmp_path / "tree", a__file=b"x")
    made(tmp_path, plain=b"old", has__tree__a=b"old")
    made(there, tree__a__file=b"x", plain=b"old", has__tree__a=b"old")
    at = remote(quick_vm)
    for to, word in [("no/such", "directory"), ("plain", "directory"), ("has", "has/tree/a is no directory")]:
        program.put(quick_vm, tmp_path / "tree", f"{at}/{to}", "-r").failed(word)
        program.fetch(quick_vm, f"{at}/tree", tmp_path / to, "-r").failed("directory", to.rpartition("/")[2])
    for root in (there, tmp_path):
        assert (root / "plain").read_bytes() == (root / "has/tree/a").read_bytes() == b"old"
        assert hidden(root) == [] and sorted(os.listdir(root / "has")) == ["tree"]
    program.fetch(quick_vm, f"{at}/missing", tmp_path / "x", "-r").failed("missing", "no such file")


def test_guest_without_tar(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    made(tmp_path / "tree", file=b"x")
    tar = lab.guest(WEB).path("/usr/bin/tar")
    tar.rename(tar.with_name("tar.hidden"))
    try:
        program.put(WEB, tmp_path / "tree", f"{remote(WEB)}/new", "-r").failed("no tar")
        program.fetch(WEB, remote(WEB), tmp_path / "new", "-r").failed("no tar")
    finally:
        tar.with_name("tar.hidden").rename(tar)
    assert os.listdir(lab.guest(WEB).path(remote(WEB))) == []


def test_full_disks(program: Program, lab: Lab, tmp_path: Path) -> None:
    made(tmp_path / "tree", file=noise(3 * MIB))
    full = lab.guest(FULL).path("/full")
    program.put(FULL, tmp_path / "tree", "/full/new", "-r").failed("space")
    assert os.listdir(full) == []
    program.put(FULL, tmp_path / "tree", "/var/tmp/new", "-r", "--remote-tmp=/full").failed("space")
    assert os.listdir(full) == os.listdir(lab.guest(FULL).path("/var/tmp")) == []
    made(lab.guest(FULL).path("/var/tmp"), tree__file=noise(3 * MIB))
    program.fetch(FULL, "/var/tmp/tree", tmp_path / "new", "-r", "--remote-tmp=/full").failed("space")
    shutil.rmtree(lab.guest(FULL).path("/var/tmp/tree"))
    assert os.listdir(full) == [] and sorted(os.listdir(tmp_path)) == ["home", "tree"]


def test_full_disk_here(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    made(lab.guest(WEB).path(remote(WEB)), tree__file=noise(3 * MIB))
    (tmp_path / "small").mkdir()
    small = str(tmp_path / "small")
    script = 'mount -t tmpfs -o size=1m none "$1" && shift && "$@"; status=$?; ls -A "$0"; exit $status'
    command = [str(PROGRAM), "fetch", "-r", str(WEB), f"{remote(WEB)}/tree", f"{small}/new"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, small, small, *command], env=program.environment, capture_output=True
    )
    assert (done.returncode, done.stdout) == (255, b"") and b"No space left" in done.stderr


# ---- hostile guests ----


def archive(*entries: tuple[str, bytes, str, bytes], pax: dict[str, str] | None = None) -> bytes:
    """A tar of (path, type, link target, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as tar:
        for path, kind, target, content in entries:
            info = tarfile.TarInfo(path)
            info.type, info.linkname, info.size, info.mode = kind, target, len(content), 0o4777
            info.pax_headers = pax or {}
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


FILE, LINK, HARD, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def hostile(outside: str) -> dict[str, bytes]:
    """Archives of a guest that wants to change the file in a directory of ours, or to fill us."""
    file = f"{outside}/file"
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000000000000000000"}
    evil = ("evil", FILE, "", b"evil")
    return {
        "upwards": archive(("../outside/file", FILE, "", b"evil")),
        "upwards later": archive(evil, ("./a/../../outside/file", FILE, "", b"evil")),
        "absolute": archive((file, FILE, "", b"evil")),
        "through a link": archive(("l", LINK, outside, b""), ("l/file", FILE, "", b"evil")),
        "through links": archive(
            ("a", DIR, "", b""), ("a/l", LINK, "../..", b""), ("m", LINK, "a/l/outside", b""), ("m/file", *evil[1:])
        ),
        "directory that becomes a link": archive(
            ("d", DIR, "", b""), ("d", LINK, outside, b""), ("d/file", FILE, "", b"evil")
        ),
        "mode through a link": archive(("d", LINK, outside, b""), ("d", DIR, "", b"")),
        "hard link": archive(("h", HARD, file, b""), ("h", FILE, "", b"evil")),
        "hard link upwards": archive(evil, ("h", HARD, "../outside/file", b"")),
        "hard link through a link": archive(("l", LINK, outside, b""), ("h", HARD, "l/file", b"")),
        "path in a pax header": archive(evil, pax={"path": "../outside/file"}),
        "target in a pax header": archive(("x", HARD, "y", b""), pax={"linkpath": "../outside/file"}),
        "endless header": archive(evil, pax={"comment": "x" * 900_000}),
        "endless file": archive(("x", FILE, "", b"1\n9000000000000000000\n0\n".ljust(512, b"\0")), pax=sparse),
        "endless depth": archive(("d/" * 3000 + "x", FILE, "", b"evil")),
        "no end": archive(("x", FILE, "", noise(100_000)))[:50_000],
        "no archive": b"<html>not found</html>" * 100,
        "nothing": b"",
    }


PACK = 'while [ "$1" != -f ]; do shift || exit 0; done; cat /run/evil >"$2"'


@pytest.mark.parametrize("name", hostile(""))
def test_hostile_archive(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, name: str) -> None:
    """Refused with one line, and nothing is made or changed anywhere."""
    outside = made(tmp_path / "outside", file=b"untouched")
    outside.chmod(0o700)
    before = manifest(outside)
    for place in ("new", "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with guest_tar(lab, WEB, PACK, evil=hostile(str(outside))[name]):
            result = program.fetch(WEB, remote(WEB), tmp_path / place, "-r")
        # Only the file system knows which sizes are impossible.
        result.failed("too large" if name == "endless file" else "guest")
        assert manifest(outside) == before and (outside / "file").stat().st_nlink == 1
        assert sorted(os.listdir(tmp_path)) == ["home", "outside", "there"]
        assert os.listdir(tmp_path / "there") == []


def test_privileges_are_not_taken_from_a_guest(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    evil = archive(("setuid", FILE, "", b"x"), ("dir", DIR, "", b""))
    with guest_tar(lab, WEB, PACK, evil=evil):
        program.fetch(WEB, remote(WEB), tmp_path / "new", "-r").succeeded()
    assert stat.S_IMODE((tmp_path / "new/setuid").stat().st_mode) == 0o777
    assert stat.S_IMODE((tmp_path / "new/dir").stat().st_mode) == 0o777


def test_link_of_an_earlier_fetch(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    outside = made(tmp_path / "outside", file=b"untouched")
    there = lab.guest(WEB).path(remote(WEB))
    (there / "tree").mkdir()
    (there / "tree/sub").symlink_to(outside)
    program.fetch(WEB, f"{remote(WEB)}/tree", tmp_path / "tree", "-r").succeeded()
    (there / "tree/sub").unlink()
    made(there / "tree", sub__file=b"evil")
    program.fetch(WEB, f"{remote(WEB)}/tree", tmp_path, "-r").failed("tree/sub", "no directory")
    assert (outside / "file").read_bytes() == b"untouched"


# ---- interruptions ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_put_interrupted(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, number: signal.Signals
) -> None:
    made(tmp_path / "tree", large=noise(20 * MIB))
    with ended(program.start("put", "-r", str(WEB), tmp_path / "tree", f"{remote(WEB)}/new")) as process:
        until(lambda: lab.agents()["commands"].get("guest-exec", 0) > 6, "the put is under way")
        result = finish(process, number)
    assert (result.status, result.stdout, result.stderr) == (128 + number, b"", b"")
    assert os.listdir(lab.guest(WEB).path(remote(WEB))) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_fetch_interrupted(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, number: signal.Signals
) -> None:
    made(lab.guest(WEB).path(remote(WEB)), tree__large=noise(20 * MIB))
    with ended(program.start("fetch", "-r", str(WEB), f"{remote(WEB)}/tree", tmp_path / "new")) as process:
        until(lambda: list(tmp_path.glob(".new.*/large")), "the fetch is under way")
        result = finish(process, number)
    assert (result.status, result.stdout, result.stderr) == (128 + number, b"", b"")
    assert os.listdir(tmp_path) == ["home"]


def test_interrupted_while_the_guest_works(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    """A tar that takes for ever."""
    made(tmp_path / "tree", file=b"x")
    there = lab.guest(WEB).path(remote(WEB))
    script = "case $1 in --version) exit ;; esac; exec sleep 1003"
    put: list[str | Path] = ["put", "-r", str(WEB), tmp_path / "tree", f"{remote(WEB)}/new"]
    fetch: list[str | Path] = ["fetch", "-r", str(WEB), remote(WEB), tmp_path / "new"]
    for command in (put, fetch):
        with guest_tar(lab, WEB, script), ended(program.start(*command)) as process:
            until(lambda: [1 for each in lab.guest(WEB).processes() if each["comm"] == "sleep"], "tar runs")
            result = finish(process, signal.SIGTERM)
        assert (result.status, result.stderr) == (128 + signal.SIGTERM, b"")
        assert os.listdir(there) == [] and sorted(os.listdir(tmp_path)) == ["home", "tree"]


# ---- lost answers ----

TWICE = pytest.mark.ways("api", why="qm is never run twice for a call")


@pytest.mark.ways("api", "qm", why="calls can be broken there")
@pytest.mark.parametrize("action", ["cut-after", "cut-before", pytest.param("twice", marks=TWICE)])
def test_lost_answers(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path, action: str
) -> None:
    make_tree(tmp_path / "tree")
    lab.fault("exec", action, every=2, count=20)
    # A call that is cut off twice in a row is told with a warning.
    assert program.put(WEB, tmp_path / "tree", f"{remote(WEB)}/new", "-r").status == 0
    assert manifest(lab.guest(WEB).path(f"{remote(WEB)}/new")) == manifest(tmp_path / "tree")
    assert program.fetch(WEB, f"{remote(WEB)}/new", tmp_path / "back", "-r").status == 0
    assert manifest(tmp_path / "back") == manifest(tmp_path / "tree")
    assert os.listdir(lab.guest(WEB).path(remote(WEB))) == ["new"]


@pytest.mark.ways("api", "qm", why="calls can be broken there")
def test_lost_results(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    """What a script said is lost; it is asked again by another one."""
    make_tree(tmp_path / "tree")
    lab.fault("exec-status", "cut-after", every=2, count=20)
    assert program.put(WEB, tmp_path / "tree", f"{remote(WEB)}/new", "-r").status == 0
    assert program.fetch(WEB, f"{remote(WEB)}/new", tmp_path / "back", "-r").status == 0
    assert manifest(tmp_path / "back") == manifest(tmp_path / "tree")
