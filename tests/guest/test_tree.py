"""tree_open.sh, tree_unpack.sh, tree_pack.sh and tree_drop.sh."""
import os
import shutil
import socket
import stat
import subprocess

import pytest

from conftest import HIDES_TOOLS, escape

NAME = ".pve-qga-run-0123456789abcdef"
ODD = ["plain", "-n", "a b", "new\nline\n", b"bad\xff\xfe", "'\"\\$(id)",
       "\u6c49\u8bed-['foo bar'].txt", "*", "end\\", ".hidden", "..dots", "x" * 200]


def encoded(path):
    return escape(path if isinstance(path, bytes) else str(path))


@pytest.fixture
def files(guest):
    """The session's directory of files."""
    path = guest.tmp / "session.files"
    path.mkdir(mode=0o700)
    return path


def make_tree(root):
    """What a tree may have in it."""
    root.mkdir()
    base = os.fsencode(root)
    for name in ODD:
        with open(os.path.join(base, os.fsencode(name)), "wb") as file:
            file.write(os.fsencode(name) * 1000)
    (root / "sub/deeper").mkdir(parents=True)
    (root / "sub/deeper/file").write_bytes(os.urandom(100000))
    (root / "sub/deeper/file").chmod(0o751)
    (root / "empty").mkdir(mode=0o710)
    (root / "zero").write_bytes(b"")
    (root / "other-name").hardlink_to(root / "plain")
    (root / "link").symlink_to("sub/deeper/file")
    (root / "up").symlink_to("../../../etc/passwd")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "dangling").symlink_to("nowhere")
    (root / "sub").chmod(0o1777)
    age(root)


def age(root):
    """Times that every tar keeps."""
    for path, _, names in os.walk(os.fsencode(root), topdown=False):
        for name in [*names, b"."]:
            os.utime(os.path.join(path, name), (0, 1_234_567_890), follow_symlinks=False)


def manifest(root):
    """Everything that is kept, but times of links and directories: busybox' tar leaves those."""
    found = {}
    base = os.fsencode(root)
    for path, _, names in os.walk(base):
        for name in [*names, b"."]:
            full = os.path.join(path, name)
            info = os.lstat(full)
            entry = [stat.filemode(info.st_mode)]
            if stat.S_ISREG(info.st_mode):
                with open(full, "rb") as file:
                    entry += [file.read(), info.st_nlink, info.st_mtime]
            elif stat.S_ISLNK(info.st_mode):
                entry.append(os.readlink(full))
            found[os.path.relpath(full, base)] = entry
    return found


def tar_of(source, to, program="tar"):
    subprocess.run([*program.split(), "-C", source, "-cf", to, "."], check=True)


def tree_open(guest, files, path, name="tree"):
    return guest.run("tree_open", files, encoded(name), encoded(path))


def start_unpack(guest, files, path, tree=".", name=NAME):
    return guest.start("tree_unpack", files, name, encoded(tree), encoded(path))


def unpack(guest, files, path, tree=".", name=NAME):
    return start_unpack(guest, files, path, tree, name).answer()


def start_pack(guest, files, path, pack=1):
    return guest.start("tree_pack", files, NAME, pack, encoded(path))


def pack(guest, files, path, pack=1):
    return start_pack(guest, files, path, pack).answer()


def drop(guest, files, *place):
    return guest.run("tree_drop", files, NAME, *map(encoded, place))


def must_be_clean(guest, files):
    """Nothing hidden anywhere, and only small notes in the session's directory."""
    hidden = [path for path in guest.folder.rglob(".pve*") if files not in path.parents]
    assert hidden == []
    left = {path.name.removeprefix(NAME) for path in files.iterdir()}
    assert not left & {".tar", ".part"}, left


# ---- tree_open.sh ----

def test_open(guest, files):
    (guest.folder / "dir").mkdir()
    (guest.folder / "dir/tree").mkdir()
    (guest.folder / "file").write_bytes(b"")
    (guest.folder / "dir/taken").write_bytes(b"")
    (guest.folder / "nowhere").symlink_to("nothing")
    (guest.folder / "to-dir").symlink_to("dir")
    at = guest.folder
    # busybox has a tar inside, which it prefers.
    form = "gnu" if guest.name == "ash" else "pax"
    assert tree_open(guest, files, at / "new").words == ["ok", form, "0"]
    assert tree_open(guest, files, f"{at}/new/").words == ["ok", form, "0"]
    assert tree_open(guest, files, at / "dir").words == ["ok", form, "1"]
    assert tree_open(guest, files, at / "to-dir").words == ["ok", form, "1"]
    assert tree_open(guest, files, at / "dir", name="other").words == ["ok", form, "1"]
    assert tree_open(guest, files, at / "dir", name=".").words == ["ok", form, "0"]
    assert tree_open(guest, files, "/").words == ["ok", form, "1"]
    assert tree_open(guest, files, at / "dir", name="taken").words == ["notdir"]
    assert tree_open(guest, files, at / "file").words == ["notdir"]
    assert tree_open(guest, files, at / "nowhere").words == ["notdir"]
    assert tree_open(guest, files, at / "no/new").words == ["noparent"]
    assert tree_open(guest, files, at / "file/new").words == ["noparent"]


def test_open_makes_the_directory(guest):
    path = guest.tmp / "new"
    assert tree_open(guest, path, guest.folder / "tree").state == "ok"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert tree_open(guest, guest.tmp / "no/such", guest.folder / "tree").words == ["tmp"]


@HIDES_TOOLS
def test_open_without_tar(guest, files):
    guest.hide("tar")
    assert tree_open(guest, files, guest.folder / "tree").words == ["notool"]
    assert pack(guest, files, guest.folder).words == ["notool"]


def use_busybox_tar(guest):
    guest.hide("tar")
    (guest.folder / "bin/tar").symlink_to(shutil.which("busybox"))


@HIDES_TOOLS
def test_open_with_a_plain_tar(guest, files):
    use_busybox_tar(guest)
    assert tree_open(guest, files, guest.folder / "tree").words == ["ok", "gnu", "0"]


# ---- tree_unpack.sh ----

def test_unpack(guest, files):
    make_tree(guest.folder / "tree")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    target = guest.folder / "new"
    assert unpack(guest, files, target).words == ["ok"]
    assert manifest(target) == manifest(guest.folder / "tree")
    must_be_clean(guest, files)


@HIDES_TOOLS
def test_unpack_with_a_plain_tar(guest, files):
    use_busybox_tar(guest)
    make_tree(guest.folder / "tree")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar", "busybox tar")
    target = guest.folder / "new"
    assert unpack(guest, files, target).words == ["ok"]
    assert manifest(target) == manifest(guest.folder / "tree")
    must_be_clean(guest, files)


@pytest.mark.parametrize("name", ODD)
def test_unpack_under_odd_names(guest, files, name):
    (guest.folder / "tree").mkdir()
    (guest.folder / "tree/file").write_bytes(b"x")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    (guest.folder / "dir").mkdir()
    assert unpack(guest, files, guest.folder / "dir", name).words == ["ok"]
    placed = os.path.join(os.fsencode(guest.folder), b"dir", os.fsencode(name))
    assert os.listdir(placed) == [b"file"]
    must_be_clean(guest, files)


def test_unpack_again(guest, files):
    (guest.folder / "tree").mkdir()
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    assert unpack(guest, files, guest.folder / "new").words == ["ok"]
    (guest.folder / "new/mine").write_bytes(b"")
    assert unpack(guest, files, guest.folder / "new").words == ["ok"]
    assert os.listdir(guest.folder / "new") == ["mine"]


def test_unpack_concurrently(guest, files):
    make_tree(guest.folder / "tree")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    target = guest.folder / "new"
    calls = [start_unpack(guest, files, target) for _ in range(5)]
    assert [call.answer().words for call in calls] == [["ok"]] * 5
    assert manifest(target) == manifest(guest.folder / "tree")
    must_be_clean(guest, files)


def test_unpack_without_what_was_sent(guest, files):
    assert unpack(guest, files, guest.folder / "new").words == ["gone"]
    assert unpack(guest, guest.tmp / "no-such", guest.folder / "new").words == ["gone"]
    assert not (guest.folder / "new").exists()


def interrupted(guest, files, target, part):
    """A run whose script and tar were killed while tar had done a part."""
    (guest.folder / "tree").mkdir()
    (guest.folder / "tree/a").write_bytes(b"a" * 100000)
    (guest.folder / "tree/b").write_bytes(b"b" * 100000)
    age(guest.folder / "tree")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    os.mkfifo(guest.folder / "tree.fifo")
    shutil.move(files / f"{NAME}.tar", guest.folder / "whole")
    (files / f"{NAME}.tar").symlink_to(guest.folder / "tree.fifo")
    call = start_unpack(guest, files, target)
    with open(guest.folder / "tree.fifo", "wb") as fifo:
        fifo.write((guest.folder / "whole").read_bytes()[:part])
        fifo.flush()
        guest.wait_for(lambda: list(target.parent.glob(".pve*/[ab]")))
        guest.stop()
    (files / f"{NAME}.tar").unlink()
    shutil.move(guest.folder / "whole", files / f"{NAME}.tar")
    return call


def test_unpack_after_a_run_was_killed(guest, files):
    target = guest.folder / "new"
    interrupted(guest, files, target, 120000)
    assert not target.exists()
    assert unpack(guest, files, target).words == ["ok"]
    assert manifest(target) == manifest(guest.folder / "tree")
    must_be_clean(guest, files)


def test_unpack_after_a_run_was_killed_before_its_end(guest, files):
    """It had shown the tree and not said so."""
    target = guest.folder / "new"
    (guest.folder / "tree").mkdir()
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    assert unpack(guest, files, target).words == ["ok"]
    (files / f"{NAME}.s").unlink()
    assert unpack(guest, files, target).words == ["ok"]
    must_be_clean(guest, files)


def test_unpack_after_a_run_was_killed_at_its_start(guest, files):
    """It had made its claim and not said whose that is."""
    (guest.folder / "tree").mkdir()
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    (files / f"{NAME}.c1").write_bytes(b"")
    assert unpack(guest, files, guest.folder / "new").words == ["ok"]
    assert (guest.folder / "new").is_dir()


def test_unpack_after_a_reboot(guest, files):
    """Whoever has the pid now is somebody else."""
    (guest.folder / "tree").mkdir()
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    (files / f"{NAME}.c1").write_text(f"{os.getpid()} another-boot\n")
    assert unpack(guest, files, guest.folder / "new").words == ["ok"]


def test_claim_on_a_full_disk(guest, small_disk):
    (guest.folder / "tree").mkdir()
    files = small_disk / "session.files"
    files.mkdir()
    with open(small_disk / "filler", "wb") as filler, pytest.raises(OSError):
        filler.write(bytes(200000))
    assert pack(guest, files, guest.folder / "tree").words == ["tmp"]


def merge_trees(guest, files, target):
    """`target` and the tree have some in common."""
    (target / "both/deep").mkdir(parents=True)
    (target / "both/deep/old").write_bytes(b"old")
    (target / "both/deep/changed").write_bytes(b"old")
    (target / "both").chmod(0o1777)
    (target / "stays").write_bytes(b"stays")
    (target / "to-file").symlink_to("stays")
    tree = guest.folder / "tree"
    (tree / "both/deep").mkdir(parents=True)
    (tree / "both/deep/changed").write_bytes(b"new")
    (tree / "both/new-dir").mkdir(mode=0o710)
    (tree / "both/new-dir/inner").write_bytes(b"inner")
    (tree / "both").chmod(0o700)
    (tree / "to-file").write_bytes(b"no link")
    for name in ODD:
        with open(os.path.join(os.fsencode(tree), b"both", os.fsencode(name)), "wb") as file:
            file.write(b"odd")
    tar_of(tree, files / f"{NAME}.tar")


def must_be_merged(target):
    assert (target / "both/deep/old").read_bytes() == b"old"
    assert (target / "both/deep/changed").read_bytes() == b"new"
    assert (target / "both/new-dir/inner").read_bytes() == b"inner"
    assert (target / "to-file").read_bytes() == b"no link"
    assert (target / "stays").read_bytes() == b"stays"
    assert stat.S_IMODE((target / "both").stat().st_mode) == 0o1777, "directories stay as they are"
    assert stat.S_IMODE((target / "both/new-dir").stat().st_mode) == 0o710
    names = {os.fsencode(name) for name in ODD} | {b"deep", b"new-dir"}
    assert set(os.listdir(os.path.join(os.fsencode(target), b"both"))) == names


def test_merge(guest, files):
    target = guest.folder / "target"
    merge_trees(guest, files, target)
    assert unpack(guest, files, target).words == ["ok"]
    must_be_merged(target)
    must_be_clean(guest, files)


@HIDES_TOOLS
def test_merge_without_stat(guest, files):
    guest.hide("stat")
    target = guest.folder / "target"
    merge_trees(guest, files, target)
    assert unpack(guest, files, target).words == ["ok"]
    must_be_merged(target)
    must_be_clean(guest, files)


def test_merge_follows_links_to_directories(guest, files):
    """As /bin is one in most guests."""
    target = guest.folder / "target"
    (target / "usr/bin").mkdir(parents=True)
    (target / "bin").symlink_to("usr/bin")
    (guest.folder / "tree/bin").mkdir(parents=True)
    (guest.folder / "tree/bin/tool").write_bytes(b"x")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    assert unpack(guest, files, target).words == ["ok"]
    assert (target / "usr/bin/tool").read_bytes() == b"x" and (target / "bin").is_symlink()


def test_merge_of_many_files(guest, files):
    """More than one mv takes."""
    target = guest.folder / "target"
    target.mkdir()
    (guest.folder / "tree").mkdir()
    for number in range(450):
        (guest.folder / f"tree/{number}").write_bytes(b"")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    assert unpack(guest, files, target).words == ["ok"]
    assert len(os.listdir(target)) == 450


@pytest.mark.parametrize("there", ["file", "link", "directory"])
def test_merge_of_what_cannot_be(guest, files, there):
    target = guest.folder / "target"
    (target / "sub").mkdir(parents=True)
    (guest.folder / "tree/sub").mkdir(parents=True)
    (guest.folder / "tree/sub/aaa").write_bytes(b"new")
    if there == "directory":
        (target / "sub/thing").mkdir()
        (guest.folder / "tree/sub/thing").write_bytes(b"file")
    else:
        (guest.folder / "tree/sub/thing").mkdir()
        if there == "file":
            (target / "sub/thing").write_bytes(b"file")
        else:
            (target / "sub/thing").symlink_to("nowhere")
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    answer = unpack(guest, files, target)
    assert answer.words == ["clash"] and b"sub/thing is" in answer.out
    assert os.listdir(target) == ["sub"] and os.listdir(target / "sub") == ["thing"]
    must_be_clean(guest, files)
    again = unpack(guest, files, target)
    assert (again.words, again.out) == (answer.words, answer.out)


def mounted(path, size):
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "pq-test", path]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs")


def test_merge_across_file_systems(guest, files):
    target = guest.folder / "target"
    merge_trees(guest, files, target)
    kept = {path.name: path.read_bytes() for path in (target / "both/deep").iterdir()}
    shutil.rmtree(target / "both/deep")
    mounted(target / "both/deep", "1m")
    try:
        for name, content in kept.items():
            (target / "both/deep" / name).write_bytes(content)
        assert unpack(guest, files, target).words == ["ok"]
        must_be_merged(target)
        assert sorted(os.listdir(target / "both/deep")) == ["changed", "old"]
        must_be_clean(guest, files)
    finally:
        guest.stop()
        subprocess.run(["umount", "-l", target / "both/deep"], check=True)


def test_unpack_on_a_full_disk(guest, files):
    (guest.folder / "tree").mkdir()
    (guest.folder / "tree/file").write_bytes(os.urandom(300000))
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    small = guest.folder / "small"
    mounted(small, "100k")
    try:
        assert unpack(guest, files, small / "new").words == ["full"]
        assert os.listdir(small) == []
        must_be_clean(guest, files)
    finally:
        guest.stop()
        subprocess.run(["umount", "-l", small], check=True)


def test_unpack_of_what_is_no_tar(guest, files):
    (files / f"{NAME}.tar").write_bytes(b"no tar" * 1000)
    answer = unpack(guest, files, guest.folder / "new")
    assert answer.words[0] == "tar" and b"tar" in answer.out
    assert not (guest.folder / "new").exists()
    must_be_clean(guest, files)


# ---- tree_pack.sh ----

def test_pack(guest, files):
    make_tree(guest.folder / "tree")
    assert pack(guest, files, guest.folder / "tree").words == ["ok"]
    assert sorted(path.name for path in files.glob("*.tar")) == [f"{NAME}.tar"]
    (guest.folder / "back").mkdir()
    subprocess.run(["tar", "-C", guest.folder / "back", "-xpf", files / f"{NAME}.tar"], check=True)
    assert manifest(guest.folder / "back") == manifest(guest.folder / "tree")
    assert drop(guest, files).words == ["ok"]
    must_be_clean(guest, files)


def test_pack_of_other_things(guest, files):
    (guest.folder / "file").write_bytes(b"")
    (guest.folder / "nowhere").symlink_to("nothing")
    (guest.folder / "dir").mkdir()
    assert pack(guest, files, guest.folder / "file").words == ["file"]
    assert pack(guest, files, "/dev/null").words == ["file"]
    assert pack(guest, files, guest.folder / "no-such").words == ["missing"]
    assert pack(guest, files, guest.folder / "nowhere").words == ["missing"]
    assert pack(guest, files, guest.folder / "dir", pack=0).words == ["dir"]
    assert list(files.iterdir()) == []


def test_pack_tells_what_tar_remarks(guest, files):
    (guest.folder / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(guest.folder / "tree")
        server.bind("socket")
        os.chdir("/")
        answer = pack(guest, files, guest.folder / "tree")
    assert answer.words == ["ok"] and b"socket ignored" in answer.out
    again = pack(guest, files, guest.folder / "tree")
    assert (again.words, again.out) == (answer.words, answer.out)


@HIDES_TOOLS
def test_pack_of_a_file_that_changes(guest, files):
    """GNU tar's exit status 1 is a remark."""
    guest.hide("tar")
    fake = guest.folder / "bin/tar"
    fake.write_text('#!/bin/sh\ncase $1 in --version) echo "tar (GNU tar) 1.34"; exit ;; esac\n'
                    "echo 'tar: ./x: file changed as we read it' >&2\n"
                    'while [ "$1" != -f ]; do shift; done; echo packed >"$2"; exit 1\n')
    fake.chmod(0o755)
    answer = pack(guest, files, guest.folder)
    assert answer.words == ["ok"] and b"changed as we read it" in answer.out


@HIDES_TOOLS
def test_pack_when_tar_fails(guest, files):
    guest.hide("tar")
    fake = guest.folder / "bin/tar"
    fake.write_text('#!/bin/sh\necho "tar: ./x: Cannot open: Permission denied" >&2; exit 2\n')
    fake.chmod(0o755)
    answer = pack(guest, files, guest.folder)
    assert answer.words == ["tar", "2"] and b"Permission denied" in answer.out
    must_be_clean(guest, files)


def test_pack_on_a_full_disk(guest, small_disk):
    (guest.folder / "tree").mkdir()
    (guest.folder / "tree/file").write_bytes(os.urandom(300000))
    files = small_disk / "session.files"
    files.mkdir()
    assert pack(guest, files, guest.folder / "tree").words == ["full"]
    must_be_clean(guest, files)


def test_pack_again_and_concurrently(guest, files):
    make_tree(guest.folder / "tree")
    calls = [start_pack(guest, files, guest.folder / "tree") for _ in range(4)]
    assert [call.answer().words for call in calls] == [["ok"]] * 4
    whole = (files / f"{NAME}.tar").read_bytes()
    assert pack(guest, files, guest.folder / "tree").words == ["ok"]
    assert (files / f"{NAME}.tar").read_bytes() == whole


# ---- tree_drop.sh ----

def slow_tar(guest):
    """A tar that stops until it is killed."""
    guest.hide("tar")
    fake = guest.folder / "bin/tar"
    fake.write_text('#!/bin/sh\ncase $1 in --version) exit ;; esac\n'
                    f'echo x >"{guest.folder}/began"; exec sleep 1000\n')
    fake.chmod(0o755)


@HIDES_TOOLS
def test_drop_while_packing(guest, files):
    slow_tar(guest)
    (guest.folder / "tree").mkdir()
    call = start_pack(guest, files, guest.folder / "tree")
    guest.wait_for((guest.folder / "began").exists)
    assert drop(guest, files).words == ["stop"]
    assert call.answer().words == ["stop"]
    must_be_clean(guest, files)
    assert pack(guest, files, guest.folder / "tree").words == ["stop"]
    guest.must_be_idle()


@HIDES_TOOLS
def test_drop_while_unpacking(guest, files):
    slow_tar(guest)
    (files / f"{NAME}.tar").write_bytes(b"x")
    call = start_unpack(guest, files, guest.folder / "new")
    guest.wait_for((guest.folder / "began").exists)
    assert drop(guest, files, ".", guest.folder / "new").words == ["stop"]
    assert call.answer().words == ["stop"]
    assert not (guest.folder / "new").exists()
    must_be_clean(guest, files)
    guest.must_be_idle()


def test_drop_before_unpacking(guest, files):
    """The call is delivered after it was given up."""
    (files / f"{NAME}.tar").write_bytes(b"x")
    assert drop(guest, files, ".", guest.folder / "new").words == ["stop"]
    assert unpack(guest, files, guest.folder / "new").words == ["stop"]
    assert not (guest.folder / "new").exists()
    must_be_clean(guest, files)


def test_drop_after_unpacking(guest, files):
    (guest.folder / "tree").mkdir()
    tar_of(guest.folder / "tree", files / f"{NAME}.tar")
    assert unpack(guest, files, guest.folder / "new").words == ["ok"]
    assert drop(guest, files, ".", guest.folder / "new").words == ["ok"]
    assert (guest.folder / "new").is_dir()


def test_drop_after_a_run_was_killed(guest, files):
    target = guest.folder / "new"
    interrupted(guest, files, target, 120000)
    assert drop(guest, files, ".", target).words == ["stop"]
    assert not target.exists()
    must_be_clean(guest, files)
    assert unpack(guest, files, target).words == ["stop"]


def test_drop_of_what_was_never_there(guest):
    assert drop(guest, guest.tmp / "no-such", ".", guest.folder / "new").words == ["stop"]
    assert drop(guest, guest.tmp / "no-such").words == ["stop"]


def test_drop_before_packing(guest):
    """The call that would make the directory is delivered after it was given up."""
    files = guest.tmp / "no-such"
    (guest.folder / "tree").mkdir()
    assert drop(guest, files).words == ["stop"]
    assert pack(guest, files, guest.folder / "tree").words == ["stop"]
    must_be_clean(guest, files)
