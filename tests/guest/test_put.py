"""put.sh, write.sh, drop.sh and adopt.sh."""
import os
import random
import stat

import pytest

from conftest import HIDES_TOOLS, NAMES, base64_items, cksum, escape, gzip_items, sha256

TEXT = b"".join(b"%d bottles of beer\n" % number for number in range(20000))


def put(guest, path, data, name="-", mode="-", new_mode="644", own="-", retry="-", items=None,
        staged=None, start=False):
    """With `items` None the content was staged before."""
    staged = staged or guest.tmp / ".pve-qga-run-random"
    arguments = [staged, escape(path if isinstance(path, bytes) else str(path)), escape(name), mode,
                 new_mode, sha256(data), cksum(data), own, retry]
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


def test_put_of_packed_items(guest):
    path = guest.folder / "file"
    assert put(guest, path, TEXT, items=gzip_items(TEXT, 60000)).words == ["ok", "644", "1"]
    assert path.read_bytes() == TEXT
    must_be_clean(guest)


def test_packed_in_many_arguments(guest):
    """As many as the largest call has."""
    data = random.Random(1).randbytes(14 * 3000 - 100)
    items = gzip_items(data)
    assert len(items) == 2 * 14
    assert put(guest, guest.folder / "file", data, items=items).words[0] == "ok"
    assert (guest.folder / "file").read_bytes() == data


def test_put_of_damaged_packed_items(guest):
    path = guest.folder / "file"
    items = gzip_items(TEXT, 60000)
    items[1] = items[1][:-400]
    assert put(guest, path, TEXT, items=items).state == "full"
    assert not path.exists()
    must_be_clean(guest)


def test_put_of_a_staged_file(guest):
    data = os.urandom(100000)
    path = guest.folder / "file"
    stage(guest, data)
    assert put(guest, path, data, mode="751").words == ["ok", "751", "1"]
    assert path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == 0o751
    must_be_clean(guest)


@pytest.mark.parametrize("state", ["ok", "sum", "isdir"])
def test_put_takes_a_directory_of_its_own_along(guest, state):
    own = guest.tmp / ".pve-qga-run-own.files"
    own.mkdir()
    (own / "staged").write_bytes(b"x")
    (own / "other").write_bytes(b"left by an earlier try")
    data = b"y" if state == "sum" else b"x"
    path = guest.folder if state == "isdir" else guest.folder / "file"
    assert put(guest, path, data, staged=own / "staged", own="d").state == state
    must_be_clean(guest)


def test_put_leaves_the_sessions_directory(guest):
    guest.dir.mkdir()
    (guest.dir / "staged").write_bytes(b"x")
    (guest.dir / "other").write_bytes(b"of another transfer")
    assert put(guest, guest.folder / "file", b"x", staged=guest.dir / "staged").state == "ok"
    assert [path.name for path in guest.dir.iterdir()] == ["other"]


def test_put_again(guest):
    data = os.urandom(1000)
    path = guest.folder / "file"
    stage(guest, data)
    assert put(guest, path, data).words == ["ok", "644", "1"]
    assert put(guest, path, data).words == ["ok", "644", "1"]
    path.write_bytes(b"changed by another")
    assert put(guest, path, data).state == "sum"
    assert path.read_bytes() == b"changed by another"


@pytest.mark.parametrize("as_items", [False, True])
def test_put_again_after_it_was_killed(guest, as_items):
    """What a killed delivery left is used, or removed."""
    data = os.urandom(1000)
    path = guest.folder / "file"
    (guest.folder / ".pve-qga-run-random.123.part").write_bytes(data)
    (guest.folder / ".pve-qga-run-random.124.part").write_bytes(data[:500])
    if as_items:
        (guest.tmp / ".pve-qga-run-random.125").write_bytes(data[:500])
    items = base64_items(data) if as_items else None
    assert put(guest, path, data, items=items, retry="1").words == ["ok", "644", "1"]
    assert path.read_bytes() == data
    must_be_clean(guest)


def test_put_while_another_delivery_still_copies(guest):
    """Half a part is no content, and is none of this delivery's business the first time."""
    data = os.urandom(1000)
    path = guest.folder / "file"
    half = guest.folder / ".pve-qga-run-random.123.part"
    half.write_bytes(data[:500])
    stage(guest, data)
    assert put(guest, path, data).words == ["ok", "644", "1"]
    assert path.read_bytes() == data and half.read_bytes() == data[:500]


@pytest.mark.parametrize("retry", ["-", "1"])
def test_put_concurrently(guest, retry):
    data = os.urandom(300000)
    path = guest.folder / "file"
    calls = [put(guest, path, data, items=base64_items(data, 90000), retry=retry, start=True)
             for _ in range(6)]
    assert [call.answer().words for call in calls] == [["ok", "644", "1"]] * 6
    assert path.read_bytes() == data
    must_be_clean(guest)


@pytest.mark.parametrize("retry", ["-", "1"])
def test_put_of_a_staged_file_concurrently(guest, retry):
    data = os.urandom(300000)
    path = guest.folder / "file"
    stage(guest, data)
    calls = [put(guest, path, data, mode="640", retry=retry, start=True) for _ in range(6)]
    assert [call.answer().words[0] for call in calls] == ["ok"] * 6
    assert path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == 0o640
    must_be_clean(guest)


def test_put_across_file_systems_concurrently(guest, small_disk):
    """Each delivery copies for itself, so none shows what another has copied half."""
    data = os.urandom(80000)
    path = guest.folder / "file"
    stage(guest, data)
    calls = [put(guest, path, data, start=True) for _ in range(6)]
    seen = set()
    while any(call.process.poll() is None for call in calls):
        if path.exists():
            seen.add(path.read_bytes() == data)
    assert [call.answer().words[0] for call in calls] == ["ok"] * 6
    assert path.read_bytes() == data and seen <= {True}
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
                       sha256(b"x"), cksum(b"x"), "-", "-", "p", "x", HOME=str(guest.folder))
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


@pytest.mark.parametrize("items", [base64_items(random.Random(1).randbytes(150000), 90000),
                                   gzip_items(TEXT, 60000)], ids=["base64", "gzip"])
def test_put_on_a_full_disk(guest, small_disk, items):
    path = guest.folder / "file"
    assert put(guest, path, TEXT, items=items).state == "full"
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


# ---- write.sh ----

def test_write_in_any_order(guest):
    data = os.urandom(5 * 8192 + 100)
    for _ in range(2):
        for index in (3, 0, 5, 1, 4, 2, 3):
            piece = data[index * 8192:(index + 1) * 8192]
            items = gzip_items(piece) if index % 2 else base64_items(piece)
            assert guest.run("write", guest.dir, "name", index * 2, *items).words == ["ok"]
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


def test_write_without_a_decoder(guest):
    data = os.urandom(10000)
    items = [word for at in range(0, 10000, 3000) for word in ("P", escape(data[at:at + 3000]))]
    assert guest.run("write", guest.dir, "name", 2, *items).state == "ok"
    assert guest.file("name").read_bytes() == bytes(8192) + data


def test_write_leaves_holes(guest):
    assert guest.run("write", guest.dir, "name", 4096, *base64_items(b"end")).state == "ok"
    assert guest.file("name").read_bytes() == bytes(4096 * 4096) + b"end"
    assert guest.file("name").stat().st_blocks * 512 < 65536


def test_write_without_a_place(guest):
    assert guest.run("write", guest.folder / "a" / "b", "name", 0, "p", "x").state == "tmp"


@pytest.mark.parametrize("items", [base64_items(random.Random(1).randbytes(150000), 90000),
                                   gzip_items(TEXT, 60000)], ids=["base64", "gzip"])
def test_write_on_a_full_disk(guest, small_disk, items):
    assert guest.run("write", guest.dir, "name", 0, *items).state == "full"


DECODERS = ["base64", "openssl", "python3", "perl"]


@pytest.mark.parametrize("kept", [*DECODERS, None])
@HIDES_TOOLS
def test_decoders(guest, kept):
    guest.hide(*(tool for tool in DECODERS if tool != kept))
    data = os.urandom(100000)
    answer = guest.run("write", guest.dir, "name", 0, *base64_items(data, 60000))
    if kept is None:
        assert answer.state == "nodecoder" and not guest.dir.exists()
    else:
        assert answer.state == "ok" and guest.file("name").read_bytes() == data


@pytest.mark.parametrize("kept", ["gzip", "python3", None])
@HIDES_TOOLS
def test_unpackers(guest, kept):
    guest.hide(*{"gzip", "python3"} - {kept})
    answer = guest.run("write", guest.dir, "name", 0, *gzip_items(TEXT, 60000))
    if kept is None:
        assert answer.state == "nounpacker" and not guest.dir.exists()
    else:
        assert answer.state == "ok" and guest.file("name").read_bytes() == TEXT


@HIDES_TOOLS
def test_put_without_an_unpacker(guest):
    guest.hide("gzip", "python3")
    path = guest.folder / "file"
    assert put(guest, path, TEXT, items=gzip_items(TEXT, 60000)).state == "nounpacker"
    must_be_clean(guest)


# ---- drop.sh ----

def test_drop(guest):
    guest.dir.mkdir()
    for name in ("name", "name.r.0", "name.123", "names", "other"):
        guest.file(name).touch()
    for _ in range(2):
        assert guest.run("drop", guest.dir, "name").state == "ok"
    assert sorted(path.name for path in guest.dir.iterdir()) == ["names", "other"]


def test_drop_of_all(guest):
    guest.dir.mkdir()
    guest.file("name").touch()
    for _ in range(2):
        assert guest.run("drop", guest.dir, "-").state == "ok"
    assert not guest.dir.exists()


# ---- adopt.sh ----

def adopt(guest, data, blocks=3, digest=None, old="old", new="new"):
    digest = digest or sha256(data[:blocks * 4096])
    return guest.run("adopt", guest.dir, old, new, blocks, digest)


def stage_old(guest, data):
    guest.dir.mkdir()
    guest.file("old").write_bytes(data)


@pytest.mark.parametrize("size", [3 * 4096, 5 * 4096 + 1])
def test_adopt(guest, size):
    data = os.urandom(size)
    stage_old(guest, data)
    for _ in range(2):
        assert adopt(guest, data).words == ["ok"]
        assert guest.file("new").read_bytes() == data[:3 * 4096]
    assert not guest.file("old").exists()


def test_adopt_late(guest):
    """A delivery that comes when the put has gone on changes nothing."""
    data = os.urandom(5 * 4096)
    stage_old(guest, data)
    assert adopt(guest, data).state == "ok"
    guest.file("new").write_bytes(data)
    assert adopt(guest, data).state == "ok"
    assert guest.file("new").read_bytes() == data


@pytest.mark.parametrize("size", [0, 3 * 4096 - 1, 3 * 4096])
def test_adopt_refuses_other_content(guest, size):
    stage_old(guest, os.urandom(size))
    assert adopt(guest, os.urandom(5 * 4096)).state == "no"


def test_adopt_of_what_is_gone(guest):
    assert adopt(guest, bytes(5 * 4096)).state == "no"
    guest.dir.mkdir()
    assert adopt(guest, bytes(5 * 4096)).state == "no"
    assert not list(guest.dir.iterdir())


@HIDES_TOOLS
def test_adopt_needs_a_digest(guest):
    guest.hide("sha256sum", "openssl", "python3")
    data = os.urandom(3 * 4096)
    stage_old(guest, data)
    assert adopt(guest, data).state == "no"
