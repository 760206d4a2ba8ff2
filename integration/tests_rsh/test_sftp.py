"""sftp -S and scp -S, and sshfs where there is FUSE."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from program import until
from rsh import RSH, Rsh, facts, make_tree

@pytest.mark.parametrize("size", [0, 1, 32768, 5_000_000])
def test_sftp_there_and_back(rsh: Rsh, there: Path, tmp_path: Path, size: int, clean: None) -> None:
    data = os.urandom(size)
    (tmp_path / "from").write_bytes(data)
    (tmp_path / "from").chmod(0o751)
    batch = b'put -p from "/tmp/there/a b"\nget -p "/tmp/there/a b" back\nls -l /tmp/there\n'
    done = rsh.tool("sftp", "-q", "-S", RSH, "-b", "-", "web", stdin=batch, cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert (there / "a b").read_bytes() == (tmp_path / "back").read_bytes() == data
    assert (tmp_path / "back").stat().st_mode == (tmp_path / "from").stat().st_mode


def test_sftp_says_what_is_wrong(rsh: Rsh, tmp_path: Path) -> None:
    done = rsh.tool("sftp", "-S", RSH, "-b", "-", "web", stdin=b"get /nonexistent\n", cwd=tmp_path)
    assert done.status == 1 and b"not found" in done.stderr
    done = rsh.tool("sftp", "-S", RSH, "-b", "-", "nosuchvm", stdin=b"ls\n")
    assert done.status == 255 and b"pve-qga-rsh" in done.stderr


def test_a_guest_without_sftp_server(rsh: Rsh) -> None:
    rsh.run("-s", "small", "sftp").failed("sftp-server")


@pytest.mark.parametrize("protocol", ["-s", "-O"], ids=["sftp", "scp"])
def test_scp_there_and_back(rsh: Rsh, there: Path, tmp_path: Path, protocol: str, clean: None) -> None:
    tree = make_tree(tmp_path / "tree", 8)
    for odd in ("link", "dangling"):
        (tree / odd).unlink()  # scp follows links
    if protocol == "-O":
        (tree / "new\nline").unlink()  # and that protocol has no line breaks
    done = rsh.tool("scp", "-q", protocol, "-S", RSH, "-rp", tree, "web:/tmp/there/copy")
    assert done.status == 0, done.stderr
    assert facts(there / "copy") == facts(tree)
    done = rsh.tool("scp", "-q", protocol, "-S", RSH, "-rp", "web:/tmp/there/copy", tmp_path / "back")
    assert done.status == 0, done.stderr
    assert facts(tmp_path / "back") == facts(tree)


def test_scp_from_guest_to_guest(rsh: Rsh, there: Path) -> None:
    (there / "f").write_bytes(b"through here")
    done = rsh.tool("scp", "-q", "-3", "-S", RSH, "web:/tmp/there/f", "root@db:/tmp/f")
    assert done.status == 0, done.stderr
    assert rsh.run("db", "cat /tmp/f; rm /tmp/f").stdout == b"through here"


@pytest.mark.skipif(shutil.which("sshfs") is None or not os.access("/dev/fuse", os.W_OK), reason="no sshfs or no FUSE")
def test_sshfs(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    options = f"ssh_command={RSH},idmap=none"
    mounted = rsh.tool("sshfs", "-o", options, "web:/tmp/there", mount, stdin=None, stdout=subprocess.DEVNULL)
    if b"fuse: mount failed" in mounted.stderr or b"fusermount" in mounted.stderr:
        pytest.skip("FUSE cannot mount here")
    assert mounted.status == 0, mounted.stderr
    try:
        data = os.urandom(300_000)
        (mount / "a b").write_bytes(data)
        assert (there / "a b").read_bytes() == (mount / "a b").read_bytes() == data
        os.rename(mount / "a b", mount / "c")
        assert os.listdir(mount) == os.listdir(there) == ["c"]
    finally:
        subprocess.run(["umount", mount], check=True)
    until(lambda: not rsh.run("web", "ps -eo args= | grep '[s]ftp-server'").stdout, "the guest's sftp-server ends")
