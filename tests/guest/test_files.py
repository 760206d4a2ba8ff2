"""put.sh, write.sh, drop.sh, open.sh and sum.sh."""
import hashlib
import os
import stat
import subprocess

import pytest

from conftest import HIDES_TOOLS, base64_items, escape

NAMES = ["plain", "-n", "a b", "new\nline\n", b"\xff\x80", "'\"\\$(id)", "\u00e4", "*", "end\\"]


def cksum(data):
    crc, size, *_ = subprocess.run(["cksum"], input=data, capture_output=True,
                                   check=True).stdout.split()
    return f"{crc.decode()}-{size.decode()}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def put(guest, path, data, name="-", mode="-", new_mode="644", items=None, staged=None, start=False):
    """With `items` None the content was staged before."""
    staged = staged or guest.tmp / ".pve-qga-run-random"
    arguments = [staged, escape(path if isinstance(path, bytes) else str(path)), escape(name), mode,
                 new_mode, sha256(data), cksum(data)]
    call = guest.start("put", *arguments, *(items if items is not None else []))
    return call if start else call.answer()


def put_items(guest, path, data, **more):
    return put(guest, path, data, items=base64_items(data, 60000) or ["p", ""], **more)


def stage(guest, data):
    staged = guest.tmp / ".pve-qga-run-random"
    staged.write_bytes(data)
    return staged


def must_be_clean(guest, *names):
    assert not list(guest.tmp.iterdir())
    assert sorted(path.name for path in guest.folder.iterdir() if path.name.startswith(".")) == []


# ---- put.sh ----

@pytest.mark.parametrize("name", NAMES)
def test_put_of_items(guest, name):
    data = os.urandom(100000)
    path = os.fsencode(guest.folder) + b"/" + os.fsencode(name)
    assert put_items(guest, path, data).words == ["ok", "644", "1"]
    with open(path, "rb") as file:
        assert file.read() == data
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    must_be_clean(guest)


def test_put_of_nothing(guest):
    path = guest.folder / "file"
    assert put_items(guest, path, b"").words == ["ok", "644", "1"]
    assert path.read_bytes() == b""


def test_put_of_a_staged_file(guest):
    data = os.urandom(100000)
    path = guest.folder / "file"
    stage(guest, data)
    assert put(guest, path, data, mode="751").words == ["ok", "751", "1"]
    assert path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == 0o751
    must_be_clean(guest)


def test_put_again(guest):
    data = os.urandom(1000)
    path = guest.folder / "file"
    stage(guest, data)
    assert put(guest, path, data).words == ["ok", "644", "1"]
    assert put(guest, path, data).words == ["ok", "644", "1"]
    path.write_bytes(b"changed by another")
    assert put(guest, path, data).state == "sum"
    assert path.read_bytes() == b"changed by another"


def test_put_again_after_it_was_interrupted(guest):
    data = os.urandom(1000)
    path = guest.folder / "file"
    (guest.folder / ".pve-qga-run-random.part").write_bytes(data)
    assert put(guest, path, data).words == ["ok", "644", "1"]
    assert path.read_bytes() == data
    must_be_clean(guest)


def test_put_concurrently(guest):
    data = os.urandom(300000)
    path = guest.folder / "file"
    calls = [put(guest, path, data, items=base64_items(data, 90000), start=True) for _ in range(6)]
    assert [call.answer().words for call in calls] == [["ok", "644", "1"]] * 6
    assert path.read_bytes() == data
    must_be_clean(guest)


def test_put_of_a_staged_file_concurrently(guest):
    data = os.urandom(300000)
    path = guest.folder / "file"
    stage(guest, data)
    calls = [put(guest, path, data, start=True) for _ in range(6)]
    assert [call.answer().words[0] for call in calls] == ["ok"] * 6
    assert path.read_bytes() == data
    must_be_clean(guest)


def test_put_keeps_owner_and_mode(guest):
    path = guest.folder / "file"
    path.write_bytes(b"old")
    path.chmod(0o604)
    if os.getuid() == 0:
        os.chown(path, 1234, 5678)
    owner = path.stat().st_uid, path.stat().st_gid
    assert put_items(guest, path, b"new").words == ["ok", "604", "1"]
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert stat.S_IMODE(path.stat().st_mode) == 0o604 and path.read_bytes() == b"new"
    assert put_items(guest, path, b"newer", mode="4755").words == ["ok", "4755", "1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o4755


def test_put_follows_symlinks(guest):
    target = guest.folder / "target \n"
    target.write_bytes(b"old")
    link = guest.folder / "link"
    link.symlink_to(target.name)
    assert put_items(guest, link, b"new").state == "ok"
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_put_into_a_directory(guest):
    assert put_items(guest, f"{guest.folder}/", b"x", name="na me").state == "ok"
    assert (guest.folder / "na me").read_bytes() == b"x"
    assert put_items(guest, guest.folder, b"x").state == "isdir"
    (guest.folder / "sub").mkdir()
    assert put_items(guest, guest.folder, b"x", name="sub").state == "isdir"
    must_be_clean(guest)


def test_put_relative_to_home(guest):
    call = guest.start("put", guest.tmp / ".pve-qga-run-random", "file", "-", "-", "644",
                       sha256(b"x"), cksum(b"x"), "p", "x", HOME=str(guest.folder))
    assert call.answer().state == "ok"
    assert (guest.folder / "file").read_bytes() == b"x"


def test_put_without_a_parent(guest):
    assert put_items(guest, guest.folder / "missing" / "file", b"x").state == "noparent"
    must_be_clean(guest)


def test_put_of_what_arrived_changed(guest):
    path = guest.folder / "file"
    path.write_bytes(b"old")
    assert put(guest, path, b"expected", items=["p", "something else"]).state == "sum"
    stage(guest, b"something else")
    assert put(guest, path, b"expected").state == "sum"
    assert path.read_bytes() == b"old"
    must_be_clean(guest)


def test_put_without_remote_tmp(guest):
    path = guest.folder / "file"
    assert put_items(guest, path, b"x", staged=guest.folder / "none" / "x").state == "tmp"
    assert not path.exists()


def test_put_on_a_full_disk(guest, small_disk):
    path = guest.folder / "file"
    assert put_items(guest, path, os.urandom(150000)).state == "full"
    assert not path.exists()
    must_be_clean(guest)


def test_put_across_file_systems(guest, small_disk):
    path = guest.folder / "file"
    data = os.urandom(50000)
    assert put_items(guest, path, data).state == "ok"
    assert path.read_bytes() == data
    must_be_clean(guest)


@pytest.mark.parametrize("hidden, checked", [
    (["sha256sum"], "1"), (["sha256sum", "openssl"], "1"),
    (["sha256sum", "openssl", "python3"], "0"),
    (["sha256sum", "openssl", "python3", "cksum"], "0"),
])
@HIDES_TOOLS
def test_put_with_fewer_tools(guest, hidden, checked):
    guest.hide(*hidden)
    path = guest.folder / "file"
    assert put_items(guest, path, b"new").words == ["ok", "644", checked]
    assert put(guest, path, b"expected", items=["p", "something else"]).state == "sum"


@HIDES_TOOLS
def test_put_without_stat(guest):
    guest.hide("stat")
    assert put_items(guest, guest.folder / "file", b"new").words == ["ok", "644", "1"]


# ---- write.sh, drop.sh ----

def test_write_in_any_order(guest):
    data = os.urandom(5 * 8192 + 100)
    for _ in range(2):
        for index in (3, 0, 5, 1, 4, 2, 3):
            piece = data[index * 8192:(index + 1) * 8192]
            words = ["write", guest.dir, "name", index * 2, *base64_items(piece)]
            assert guest.run(*words).words == ["ok"]
    assert guest.file("name").read_bytes() == data
    assert guest.file("name").stat().st_mode & 0o077 == 0
    assert guest.dir.stat().st_mode & 0o7777 == 0o700


def test_write_concurrently(guest):
    data = os.urandom(8 * 65536)
    calls = [guest.start("write", guest.dir, "name", index * 16,
                         *base64_items(data[index * 65536:(index + 1) * 65536], 60000))
             for index in (*range(8), *range(8))]
    assert {call.answer().state for call in calls} == {"ok"}
    assert guest.file("name").read_bytes() == data


def test_write_of_text(guest):
    assert guest.run("write", guest.dir, "name", 0, "p", "a\\nb\\0000c").state == "ok"
    assert guest.file("name").read_bytes() == b"a\nb\0c"


def test_write_without_a_place(guest):
    assert guest.run("write", guest.folder / "a" / "b", "name", 0, "p", "x").state == "tmp"


def test_write_on_a_full_disk(guest, small_disk):
    answer = guest.run("write", guest.dir, "name", 0, *base64_items(os.urandom(150000), 90000))
    assert answer.state == "full"


def test_drop(guest):
    guest.dir.mkdir()
    for name in ("name", "name.r.0", "name.123", "names", "other"):
        guest.file(name).touch()
    for _ in range(2):
        assert guest.run("drop", guest.dir, "name").state == "ok"
    assert sorted(path.name for path in guest.dir.iterdir()) == ["names", "other"]


# ---- open.sh, sum.sh ----

@pytest.mark.parametrize("name", NAMES)
def test_open_of_a_small_file(guest, name):
    data = os.urandom(1000)
    path = os.fsencode(guest.folder) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o751)
    answer = guest.run("open", guest.dir, 1, escape(path), 65536, 0)
    assert answer.out == data
    assert answer.words == ["ok", "1000", "751", "whole=1", f"sha256={sha256(data)}", "cksum=-"]
    assert not guest.dir.exists()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65535, 65536, 65537])
def test_open_limit(guest, size):
    path = guest.folder / "file"
    data = os.urandom(size)
    path.write_bytes(data)
    answer = guest.run("open", guest.dir, 1, path, 65536, 0)
    whole = size <= 65536
    assert answer.named["whole"] == str(int(whole)) and answer.fields[0] == str(size)
    assert answer.out == (data if whole else b"")


@pytest.mark.parametrize("name", NAMES)
def test_open_links_a_large_file(guest, name):
    path = os.fsencode(guest.folder) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(bytes(70000))
    for _ in range(2):
        answer = guest.run("open", guest.dir, 1, escape(path), 65536, 1)
        assert answer.state == "ok" and answer.named["whole"] == "0"
        assert os.fsencode(os.readlink(guest.file("1"))) == path


def test_open_without_a_place_for_the_link(guest):
    path = guest.folder / "file"
    path.write_bytes(bytes(70000))
    assert guest.run("open", guest.folder / "a" / "b", 1, path, 65536, 1).state == "tmp"


def test_open_of_a_kernel_file(guest):
    answer = guest.run("open", guest.dir, 1, "/proc/version", 65536, 0)
    assert answer.out.startswith(b"Linux") and answer.named["whole"] == "1"
    assert answer.named["sha256"] == "-"


@pytest.mark.parametrize("path, state", [("/no/such", "missing"), ("/tmp", "isdir")])
def test_open_refuses(guest, path, state):
    assert guest.run("open", guest.dir, 1, path, 65536, 0).state == state


def test_open_of_a_fifo_does_not_wait(guest):
    os.mkfifo(guest.folder / "fifo")
    answer = guest.run("open", guest.dir, 1, guest.folder / "fifo", 65536, 0)
    assert answer.named["whole"] == "0" and answer.out == b""


@pytest.mark.parametrize("hidden", [["sha256sum"], ["sha256sum", "openssl"],
                                    ["sha256sum", "openssl", "python3"],
                                    ["sha256sum", "openssl", "python3", "cksum"], ["stat"]])
@pytest.mark.parametrize("script", ["open", "sum"])
@HIDES_TOOLS
def test_sums_with_fewer_tools(guest, hidden, script):
    guest.hide(*hidden)
    data = os.urandom(5000)
    path = guest.folder / "file"
    path.write_bytes(data)
    path.chmod(0o640)
    arguments = [guest.dir, 1, path, 65536, 0] if script == "open" else [path]
    answer = guest.run(script, *arguments)
    digest = "python3" not in hidden
    assert answer.fields == ["5000", "-" if hidden == ["stat"] else "640"]
    assert answer.named["sha256"] == (sha256(data) if digest else "-")
    has_cksum = not digest and "cksum" not in hidden
    assert answer.named["cksum"] == (cksum(data) if has_cksum else "-")


def test_sum(guest):
    data = os.urandom(200000)
    path = guest.folder / "file \u00e4\n"
    path.write_bytes(data)
    answer = guest.run("sum", escape(str(path)))
    assert answer.named["sha256"] == sha256(data) and answer.fields[0] == "200000"
    assert guest.run("sum", "/no/such").state == "missing"
