"""open.sh and sum.sh."""
import os

import pytest

from conftest import HIDES_TOOLS, NAMES, cksum, escape, sha256


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
