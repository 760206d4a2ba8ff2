"""open.sh, sum.sh and pack.sh."""
import gzip
import os
import socket

import pytest

from conftest import HIDES_TOOLS, NAMES, cksum, escape, sha256

WHOLE, SUM, HEAD = 65536, 200000, 300000


def open_file(guest, path, whole=WHOLE, flags="-", old="-", directory=None):
    path = escape(path if isinstance(path, bytes) else str(path))
    return guest.run("open", directory or guest.dir, 1, path, whole, SUM, HEAD, flags, old)


def make(guest, size, name="file"):
    data = os.urandom(size)
    (guest.folder / name).write_bytes(data)
    return data, guest.folder / name


# ---- open.sh ----

@pytest.mark.parametrize("name", NAMES)
def test_open_of_a_small_file(guest, name):
    data = os.urandom(1000)
    path = os.fsencode(guest.folder) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o751)
    answer = open_file(guest, path)
    assert answer.out == data
    assert answer.words == ["ok", "1000", "751", "whole=1", "sum=sha256", f"sha256={sha256(data)}",
                            "cksum=-"]
    assert not guest.dir.exists()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65535, 65536, 65537])
def test_open_limit(guest, size):
    data, path = make(guest, size)
    answer = open_file(guest, path)
    whole = size <= 65536
    assert answer.named["whole"] == str(int(whole)) and answer.fields[0] == str(size)
    assert answer.out == (data if whole else b"")


@pytest.mark.parametrize("size, summed, head", [
    (SUM, True, 0), (SUM + 1, False, 0), (HEAD - 1, False, 0), (HEAD, False, 4096),
])
def test_open_of_a_large_file(guest, size, summed, head):
    data, path = make(guest, size)
    answer = open_file(guest, path)
    assert answer.out == data[:head]
    assert answer.named["sum"] == "sha256"
    assert answer.named["sha256"] == (sha256(data) if summed else "-")
    assert not guest.dir.exists()


@pytest.mark.parametrize("name", NAMES)
def test_open_links_a_large_file(guest, name):
    path = os.fsencode(guest.folder) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(bytes(70000))
    for _ in range(2):
        answer = open_file(guest, path, flags="l")
        assert answer.state == "ok" and answer.named["whole"] == "0"
        assert os.fsencode(os.readlink(guest.file("1"))) == path


@pytest.mark.parametrize("flags", ["l", "c"])
def test_open_without_a_place(guest, flags):
    _, path = make(guest, 70000)
    assert open_file(guest, path, flags=flags, directory=guest.folder / "a" / "b").state == "tmp"


def test_open_of_a_kernel_file(guest):
    answer = open_file(guest, "/proc/version")
    assert answer.out.startswith(b"Linux") and answer.named["whole"] == "1"
    assert answer.fields[0] == "0" and answer.named["sha256"] == "-"


def test_open_of_a_kernel_file_with_a_size(guest):
    answer = open_file(guest, "/sys/kernel/mm/transparent_hugepage/enabled")
    assert answer.fields[0] == "4096" and 0 < len(answer.out) < 100
    assert answer.named["sha256"] == "-", "it may read differently each time"


def test_open_tells_of_a_large_kernel_file(guest):
    answer = open_file(guest, "/proc/kallsyms")
    assert answer.fields[0] == "0" and len(answer.out) == WHOLE + 1, "more than was asked for"


def test_open_copies_a_large_kernel_file(guest):
    with open("/proc/kallsyms", "rb") as file:
        data = file.read()
    answer = open_file(guest, "/proc/kallsyms", flags="c")
    assert guest.file("1").read_bytes() == data and answer.fields[0] == str(len(data))
    assert answer.named["whole"] == "0" and guest.file("1").stat().st_mode & 0o077 == 0


def test_open_copies_what_was_large(guest):
    """The second look finds it small."""
    data = open("/proc/version", "rb").read()
    answer = open_file(guest, "/proc/version", flags="c")
    assert answer.out == data and answer.fields[0] == str(len(data))
    assert answer.named["sha256"] == sha256(data)


def test_open_copies_to_a_full_disk(guest, small_disk):
    assert open_file(guest, "/proc/kallsyms", flags="c").state == "full"
    assert not list(guest.dir.iterdir())


def test_open_copies_what_cannot_be_read(guest):
    assert open_file(guest, f"/proc/{os.getpid()}/mem", flags="c").state == "denied"
    assert not list(guest.dir.iterdir())


@pytest.mark.parametrize("path, state", [("/no/such", "missing"), ("/tmp", "isdir"),
                                         ("/dev/zero", "device")])
def test_open_refuses(guest, path, state):
    assert open_file(guest, path).state == state


def test_open_of_a_fifo_does_not_wait(guest):
    os.mkfifo(guest.folder / "fifo")
    assert open_file(guest, guest.folder / "fifo").state == "fifo"


def test_open_of_a_socket(guest, monkeypatch):
    monkeypatch.chdir(guest.folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert open_file(guest, guest.folder / "socket").state == "socket"


def test_open_relative_to_home(guest):
    data, _ = make(guest, 10)
    answer = guest.run("open", guest.dir, 1, "file", WHOLE, SUM, HEAD, "-", "-",
                       HOME=str(guest.folder))
    assert answer.out == data


def test_open_removes_what_transfers_have_left(guest):
    _, path = make(guest, 10)
    guest.dir.mkdir()
    for name in ("3", "3.z.0.17", "3.r.1.2", "4.z.1.1", "33", "5"):
        guest.file(name).touch()
    assert open_file(guest, path, old="3 4").state == "ok"
    assert sorted(entry.name for entry in guest.dir.iterdir()) == ["33", "5"]
    guest.file("5").unlink()
    (guest.folder / "4").touch()
    assert open_file(guest, path, old="4", directory=guest.folder / "none").state == "ok"
    assert (guest.folder / "4").exists()


@pytest.mark.parametrize("hidden", [["sha256sum"], ["sha256sum", "openssl"],
                                    ["sha256sum", "openssl", "python3"],
                                    ["sha256sum", "openssl", "python3", "cksum"], ["stat"],
                                    ["head"]])
@HIDES_TOOLS
def test_open_with_fewer_tools(guest, hidden):
    guest.hide(*hidden)
    data, path = make(guest, 5000)
    path.chmod(0o640)
    answer = open_file(guest, path)
    digest = "python3" not in hidden
    has_cksum = not digest and "cksum" not in hidden
    assert answer.out == data
    assert answer.fields == ["5000", "-" if hidden == ["stat"] else "640"]
    assert answer.named["sum"] == ("sha256" if digest else "cksum" if has_cksum else "-")
    assert answer.named["sha256"] == (sha256(data) if digest else "-")
    assert answer.named["cksum"] == (cksum(data) if has_cksum else "-")


# ---- sum.sh ----

SIZES = [0, 1, 65535, 65536, 65537, 131072, 200000]


@pytest.mark.parametrize("size", SIZES)
def test_sum(guest, size):
    data, path = make(guest, size, "file \u00e4\n")
    answer = guest.run("sum", escape(str(path)), size)
    assert answer.words == ["ok", str(size), f"sha256={sha256(data)}", "cksum=-"]


@pytest.mark.parametrize("size", SIZES)
def test_sum_of_the_first_bytes(guest, size):
    data, path = make(guest, 200001)
    answer = guest.run("sum", path, size)
    assert answer.words == ["ok", "200001", f"sha256={sha256(data[:size])}", "cksum=-"]


@pytest.mark.parametrize("hidden", [["sha256sum"], ["sha256sum", "openssl"],
                                    ["sha256sum", "openssl", "python3"],
                                    ["sha256sum", "openssl", "python3", "cksum"], ["stat"]])
@pytest.mark.parametrize("size", [70000, 150000])
@HIDES_TOOLS
def test_sum_with_fewer_tools(guest, hidden, size):
    guest.hide(*hidden)
    data, path = make(guest, 150000)
    answer = guest.run("sum", path, size)
    digest = "python3" not in hidden
    has_cksum = not digest and "cksum" not in hidden
    assert answer.fields == ["150000"]
    assert answer.named["sha256"] == (sha256(data[:size]) if digest else "-")
    assert answer.named["cksum"] == (cksum(data[:size]) if has_cksum else "-")


def test_sum_of_what_is_not_there(guest):
    _, path = make(guest, 1000)
    assert guest.run("sum", "/no/such", 10).state == "missing"
    assert guest.run("sum", path, 1001).words == ["short", "1000"]


def test_sum_of_a_file_that_grows(guest):
    """Appended to all the time, so also between any two steps of the script."""
    data, path = make(guest, 300000)
    with path.open("ab", buffering=0) as file:
        call = guest.start("sum", path, 300000)
        while call.process.poll() is None:
            file.write(b"more" * 100)
        answer = call.answer()
    assert answer.state == "ok" and answer.named["sha256"] == sha256(data)
    assert int(answer.fields[0]) > 300000


# ---- pack.sh ----

def pack(guest, path, section, skip, count, old="-", directory=None, level=1):
    return guest.run("pack", directory or guest.dir, 7, escape(str(path)), section, skip, count, level,
                     old)


def unpack(guest, answer, section):
    size, run = answer.fields[:2]
    file = guest.file(f"7.z.{section}.{run}")
    assert file.stat().st_size == int(size)
    return gzip.decompress(file.read_bytes())


@pytest.mark.parametrize("level", [1, 6])
def test_pack(guest, level):
    data = b"".join(b"line %d of some text\n" % n for n in range(30000))
    path = guest.folder / "-odd \u00e4\n"
    path.write_bytes(data)
    answer = pack(guest, path, 0, 0, 3, level=level)
    assert answer.state == "ok" and unpack(guest, answer, 0) == data[:3 * 65536]
    assert int(answer.fields[0]) < 65536 and 0 <= int(answer.fields[2]) < 1000
    answer = pack(guest, path, 1, 3, 100, level=level)
    assert unpack(guest, answer, 1) == data[3 * 65536:], "to the end"
    assert guest.dir.stat().st_mode & 0o7777 == 0o700


def test_pack_removes_what_was_read(guest):
    _, path = make(guest, 500000)
    for _ in range(2):
        assert pack(guest, path, 3, 0, 1).state == "ok"
    assert pack(guest, path, 4, 1, 1).state == "ok"
    assert len(list(guest.dir.iterdir())) == 3, "each delivery has a file of its own"
    guest.file("7.z.33.1").touch()
    answer = pack(guest, path, 5, 2, 1, "3 4")
    assert sorted(entry.name for entry in guest.dir.iterdir()) == [
        "7.z.33.1", f"7.z.5.{answer.fields[1]}"]


def test_pack_behind_the_end(guest):
    _, path = make(guest, 1000)
    assert unpack(guest, pack(guest, path, 0, 5, 1), 0) == b""


def test_pack_on_a_full_disk(guest, small_disk):
    _, path = make(guest, 500000)
    assert pack(guest, path, 0, 0, 8).state == "full"
    assert not list(guest.dir.iterdir())


def test_pack_without_a_place(guest):
    _, path = make(guest, 500000)
    assert pack(guest, path, 0, 0, 8, directory=guest.folder / "a" / "b").state == "tmp"


def test_pack_of_what_is_gone(guest):
    assert pack(guest, "/no/such", 0, 0, 8).state == "missing"


@HIDES_TOOLS
def test_pack_without_gzip(guest):
    guest.hide("gzip")
    _, path = make(guest, 500000)
    assert pack(guest, path, 0, 0, 8).state == "nogzip"
    assert not guest.dir.exists()
