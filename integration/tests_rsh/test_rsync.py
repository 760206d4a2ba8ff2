"""rsync -e pve-qga-rsh, both directions: the result is that of a local copy."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from program import ended, until
from rsh import RSH, Rsh, facts, make_tree

SMALL = 120


def rsync(rsh: Rsh, *arguments: str | Path) -> bytes:
    return rsh.tool("rsync", "-e", str(RSH), *arguments).succeeded().stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", SMALL)


@pytest.mark.parametrize("options", [["-a"], ["-az"], ["-aHAX"], ["-rlptgoD", "--checksum"]], ids=" ".join)
def test_there_and_back(rsh: Rsh, tree: Path, there: Path, tmp_path: Path, options: list[str], clean: None) -> None:
    rsync(rsh, *options, f"{tree}/", "web:/tmp/there/copy/")
    assert facts(there / "copy") == facts(tree)
    rsync(rsh, *options, "web:/tmp/there/copy/", f"{tmp_path}/back/")
    assert facts(tmp_path / "back") == facts(tree)


def test_extended_attributes(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    try:
        os.setxattr(source / "file", "trusted.pq", b"value\0more")
        os.setxattr(there, "trusted.pq", b"")
    except OSError:
        pytest.skip("no extended attributes here")
    rsync(rsh, "-aX", f"{source}/", "web:/tmp/there/copy/")
    assert os.getxattr(there / "copy/file", "trusted.pq") == b"value\0more"


@pytest.mark.parametrize("option", ["--protect-args", "--old-args"])
def test_names_in_arguments(rsh: Rsh, there: Path, tmp_path: Path, option: str) -> None:
    """Spaces and what shells expand, which rsync quotes for the remote shell or sends on the stream."""
    (tmp_path / "f").write_bytes(b"1")
    quoted = "/tmp/there/a b $HOME 'q'/" if option == "--protect-args" else r"/tmp/there/a\ b\ \$HOME\ \'q\'/"
    rsync(rsh, "-a", option, "--mkpath", tmp_path / "f", f"web:{quoted}")
    assert (there / "a b $HOME 'q'/f").read_bytes() == b"1"


def test_delete_and_update(rsh: Rsh, tree: Path, there: Path) -> None:
    rsync(rsh, "-a", f"{tree}/", "web:/tmp/there/copy/")
    shutil.rmtree(tree / "dir 1")
    (tree / "new").write_bytes(b"new")
    (tree / "dir 2/sub2/file-2").write_bytes(os.urandom(9000))
    said = rsync(rsh, "-ai", "--delete", f"{tree}/", "web:/tmp/there/copy/").decode()
    assert "*deleting" in said and "<f+++++++++ new" in said and "file-3" not in said
    assert facts(there / "copy") == facts(tree)
    assert rsync(rsh, "-ai", "--delete", f"{tree}/", "web:/tmp/there/copy/") == b""


def test_as_a_user(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    there.chmod(0o777)
    (rsh.home / ".config").mkdir()
    # nobody has no login shell, so ours says which one.
    (rsh.home / ".config/pve-qga-run.conf").write_text("executable = /bin/sh\n")
    rsync(rsh, "-a", "--no-o", "--no-g", tmp_path / "f", "nobody@web:/tmp/there/")
    assert (there / "f").owner() == "nobody"


def test_options_on_its_command_line(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    host = rsh.environment["PROXMOX_HOST"]
    nowhere = rsh.having(PROXMOX_HOST=None)
    nowhere.tool("rsync", "-e", f"{RSH} -o pve.host={host}", tmp_path / "f", "web:/tmp/there/").succeeded()
    assert (there / "f").read_bytes() == b"1"


def test_a_copy_that_was_cut_off(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    """--partial keeps what came; the next run sends the rest only."""
    data = os.urandom(6_000_000)
    (tmp_path / "big").write_bytes(data)
    (there / "big").write_bytes(data[:4_000_000])
    said = rsync(rsh, "-a", "--partial", "--append-verify", "--stats", tmp_path / "big", "web:/tmp/there/big").decode()
    assert (there / "big").read_bytes() == data
    literal = next(line for line in said.splitlines() if line.startswith("Literal data"))
    assert int("".join(filter(str.isdigit, literal))) == 2_000_000


def test_interrupted(rsh: Rsh, there: Path, tmp_path: Path, clean: None) -> None:
    """rsync's TERM ends both sides, keeps the part with --partial, and the next run completes it."""
    data = os.urandom(20_000_000)
    (tmp_path / "big").write_bytes(data)
    command = ["rsync", "-e", str(RSH), "--partial", "--inplace", str(tmp_path / "big"), "web:/tmp/there/big"]
    process = subprocess.Popen(command, env=rsh.environment, stderr=subprocess.PIPE)
    with ended(process):
        until(lambda: (there / "big").exists() and (there / "big").stat().st_size > 1_000_000, "some of it is there")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 20
    until(lambda: not rsh.run("web", "ps -eo args= | grep '^rsync --server'").stdout, "the guest's rsync ends")
    assert 0 < (there / "big").stat().st_size < len(data)
    rsync(rsh, "--partial", "--inplace", tmp_path / "big", "web:/tmp/there/big")
    assert (there / "big").read_bytes() == data


def test_failures_are_rsyncs(rsh: Rsh, tmp_path: Path) -> None:
    assert rsh.tool("rsync", "-e", str(RSH), "web:/nonexistent", tmp_path).status == 23
    # rsync takes our status if we have ended when it looks, which it does once: else it is 12.
    done = rsh.tool("rsync", "-e", str(RSH), "nosuchvm:/x", tmp_path)
    assert done.status in (255, 12) and b"pve-qga-rsh: running a command on 'nosuchvm'" in done.stderr
    done = rsh.tool("rsync", "-e", str(RSH), "--rsync-path=/nonexistent", "web:/x", tmp_path)
    assert done.status in (127, 12) and b"/nonexistent: No such file" in done.stderr


def test_two_thousand_files(rsh: Rsh, there: Path, tmp_path: Path, clean: None) -> None:
    tree = make_tree(tmp_path / "tree", 2000)
    rsync(rsh, "-a", f"{tree}/", "web:/tmp/there/copy/")
    assert facts(there / "copy") == facts(tree)
    assert rsync(rsh, "-ai", "--delete", f"{tree}/", "web:/tmp/there/copy/") == b""
    rsync(rsh, "-a", "web:/tmp/there/copy/", f"{tmp_path}/back/")
    assert facts(tmp_path / "back") == facts(tree)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_large_file(rsh: Rsh, there: Path, tmp_path: Path, direction: str) -> None:
    data = os.urandom(24_000_000) + bytes(8_000_000)
    here = tmp_path / "big"
    (here if direction == "in" else there / "big").write_bytes(data)
    ends = [here, "web:/tmp/there/big"]
    rsync(rsh, "-a", *(ends if direction == "in" else reversed(ends)))
    assert (there / "big").read_bytes() == here.read_bytes() == data
