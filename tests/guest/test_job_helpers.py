"""piece.sh, look.sh, kill.sh, slice.sh and close.sh."""
import os
import time

import pytest

from conftest import HIDES_TOOLS, base64_items, escape


def start_sleeper(guest, command="sleep 100", **more):
    call = guest.start_job("c", f"echo x >>{guest.ran}; {command}", **more)
    guest.wait_for(lambda: guest.times_run() and guest.file("1.p").exists()
                   and guest.file("1.p").read_text())
    return call


# ---- piece.sh ----

def test_piece_of_stdin_makes_no_directory(guest):
    assert guest.run("piece", guest.dir, 1, "i", 0, "-", "p", "x").state == "gone"
    assert not guest.dir.exists()


def test_piece_of_text_makes_the_directory(guest):
    assert guest.run("piece", guest.dir, 1, "x", 0, "-", "p", "x").state == "none"
    assert guest.dir.stat().st_mode & 0o7777 == 0o700


def test_piece_without_a_place(guest):
    gone = guest.run("piece", guest.folder / "a" / "b", 1, "x", 0, "-", "p", "x")
    assert gone.state == "gone"


def test_piece_is_taken_once_and_whole(guest):
    data = os.urandom(100000)
    guest.dir.mkdir()
    calls = [guest.start("piece", guest.dir, 1, "i", 0, "-", *base64_items(data, 60000))
             for _ in range(8)]
    assert {call.answer().state for call in calls} == {"none"}
    assert guest.file("1.i.0").read_bytes() == data
    assert {path.name for path in guest.dir.iterdir()} == {"1.i.0", "1.w"}


def test_piece_that_was_used_is_not_taken_again(guest):
    guest.dir.mkdir()
    guest.file("1.n").write_text("3\n")
    answer = guest.run("piece", guest.dir, 1, "i", 2, "-", "p", "x")
    assert answer.named["used"] == "3"
    assert not guest.file("1.i.2").exists()


def test_piece_that_comes_while_the_feeder_writes_its_count(guest):
    """The count's file is empty for a moment: no reason to throw the piece away."""
    guest.dir.mkdir()
    guest.file("1.n").write_text("")
    guest.run("piece", guest.dir, 1, "i", 2, "-", "p", "x")
    assert guest.file("1.i.2").read_text() == "x"


def test_piece_tells_the_end(guest):
    guest.dir.mkdir()
    guest.run("piece", guest.dir, 1, "i", 0, 7)
    assert guest.file("1.i.end").read_text() == "7\n"


def test_piece_of_text_is_put_together(guest):
    for index, total in ((1, "-"), (0, "-"), (2, 3), (2, 3)):
        guest.run("piece", guest.dir, 1, "x", index, total, "p", f"part {index}\\n")
    assert guest.file("1.x").read_text() == "part 0\npart 1\npart 2\n"


def test_piece_on_a_full_disk(guest, small_disk):
    guest.dir.mkdir()
    answer = guest.run("piece", guest.dir, 1, "i", 0, "-", *base64_items(bytes(150000), 90000))
    assert answer.state == "full"
    assert not list(guest.dir.iterdir())


# ---- look.sh ----

def test_look(guest):
    start_sleeper(guest, "printf out; printf err >&2; sleep 100")
    guest.wait_for(lambda: guest.file("1.e").read_bytes() == b"err")
    answer = guest.run("look", guest.dir, 1, 0, 0, 16, "-")
    assert answer.out == b"out" and answer.err == b"err"
    assert answer.state == "running" and int(answer.fields[0]) > 1
    assert answer.named["used"] == "0"


def test_look_from_a_block_on(guest):
    data = os.urandom(20000)
    guest.dir.mkdir()
    guest.file("1.o").write_bytes(data)
    guest.file("1.e").write_bytes(data)
    answer = guest.run("look", guest.dir, 1, 1, 3, 2, "-")
    assert answer.state == "none"
    assert answer.out == data[4096:3 * 4096] and answer.err == data[3 * 4096:]
    beyond = guest.run("look", guest.dir, 1, 100, 100, 2, "-")
    assert beyond.out == b"" and beyond.err == b""


def test_look_gives_disk_space_back(guest):
    guest.dir.mkdir()
    guest.file("1.o").write_bytes(bytes(range(256)) * 4096)
    before = guest.file("1.o").stat()
    answer = guest.run("look", guest.dir, 1, 255, 0, 16, 1040384)
    after = guest.file("1.o").stat()
    assert after.st_size == before.st_size
    assert answer.out == bytes(range(256)) * 16 and answer.err == b""
    if guest.name != "ash":
        assert after.st_blocks < before.st_blocks


def test_look_after_the_end(guest):
    guest.sh("printf out; exit 4")
    answer = guest.run("look", guest.dir, 1, 0, 0, 16, "-")
    assert answer.words[:5] == ["end", "4", "0", "-", "-"] and answer.out == b"out"


def test_look_where_nothing_is(guest):
    assert guest.run("look", guest.dir, 1, 0, 0, 16, "-").state == "none"


# ---- kill.sh ----

def test_kill_reaches_the_whole_group(guest):
    call = start_sleeper(guest, "sleep 100 & sleep 100 & wait")
    guest.run("kill", guest.dir, 1, "TERM")
    assert call.answer().fields[:2] == ["143", "15"]
    guest.must_be_idle()


@HIDES_TOOLS
def test_kill_without_setsid(guest):
    guest.hide("setsid")
    call = start_sleeper(guest, "exec sleep 100")
    guest.run("kill", guest.dir, 1, "KILL")
    assert call.answer().fields[:2] == ["137", "9"]


def test_kill_after_the_end_signals_nobody(guest):
    guest.sh("exit 3")
    bystander = guest.start("job", guest.dir, 2, "-", "", "-", 65536, "c", "sleep 100")
    guest.wait_for(lambda: guest.file("2.p").exists() and guest.file("2.p").read_text())
    guest.file("1.p").write_text(guest.file("2.p").read_text())
    assert guest.run("kill", guest.dir, 1, "KILL").words[:3] == ["end", "3", "0"]
    assert bystander.process.poll() is None
    assert guest.run("look", guest.dir, 2, 0, 0, 1, "-").state == "running"


def test_kill_of_nothing(guest):
    assert guest.run("kill", guest.dir, 1, "KILL").state == "none"


def test_kill_of_a_lost_job(guest):
    call = start_sleeper(guest)
    call.process.kill()
    call.process.wait()
    assert guest.run("kill", guest.dir, 1, "KILL").state == "lost"


# ---- slice.sh ----

def cut_slices(guest, path, first, count, blocks, base, old=0, keep=0):
    return guest.run("slice", guest.dir, 7, path, first, count, blocks, base, old, keep)


def read_slices(guest, answer, first):
    count, run = map(int, answer.fields)
    return b"".join(guest.file(f"7.r.{run}.{k}").read_bytes() for k in range(first, first + count))


def test_slices(guest):
    data = os.urandom(100000)
    source = guest.folder / "-odd \u00e4\n"
    source.write_bytes(data)
    path = escape(str(source))
    answer = cut_slices(guest, path, 0, 4, 2, 0)
    assert answer.state == "ok" and read_slices(guest, answer, 0) == data[:4 * 8192]
    for _ in range(2):
        answer = cut_slices(guest, path, 4, 4, 2, 8)
        assert answer.state == "ok" and read_slices(guest, answer, 4) == data[4 * 8192:8 * 8192]
    assert len(list(guest.dir.iterdir())) == 12, "what was not read stays"
    answer = cut_slices(guest, path, 8, 3, 2, 16, 0, 8)
    assert answer.state == "ok" and read_slices(guest, answer, 8) == data[8 * 8192:11 * 8192]
    assert len(list(guest.dir.iterdir())) == 3, "what was read goes, whichever delivery has cut it"


def test_slices_to_the_end(guest):
    data = os.urandom(3 * 4096)
    source = guest.folder / "source"
    for size, count in ((2 * 4096, 3), (2 * 4096 - 1, 3), (2 * 4096 + 1, 4), (0, 1)):
        source.write_bytes(data[:size])
        answer = cut_slices(guest, source, 0, 8, 1, 0)
        assert answer.fields[0] == str(count), "one that is empty tells the end"
        assert read_slices(guest, answer, 0) == data[:size]


def test_slices_from_a_block_on(guest):
    data = os.urandom(100000)
    source = guest.folder / "source"
    source.write_bytes(data)
    answer = cut_slices(guest, source, 5, 3, 1, 10)
    assert read_slices(guest, answer, 5) == data[10 * 4096:13 * 4096]


def test_slices_of_what_cannot_be_read(guest):
    assert cut_slices(guest, "/no/such", 0, 4, 2, 0).state == "noread"


def test_slices_without_a_place(guest):
    source = guest.folder / "source"
    source.write_bytes(b"x")
    answer = guest.run("slice", guest.folder / "a" / "b", 7, source, 0, 4, 2, 0, 0, 0)
    assert answer.state == "tmp"


def test_slices_on_a_full_disk(guest, small_disk):
    data = os.urandom(200000)
    source = guest.folder / "source"
    source.write_bytes(data)
    answer = cut_slices(guest, source, 0, 4, 10, 0)
    assert answer.state == "ok" and answer.fields[0] == "2", "as many as there is space for"
    assert read_slices(guest, answer, 0) == data[:2 * 40960]
    assert len(list(guest.dir.iterdir())) == 2, "no part of a slice stays"
    assert cut_slices(guest, source, 2, 4, 10, 20).fields[0] == "0"
    assert cut_slices(guest, source, 2, 4, 10, 20, 0, 2).fields[0] == "2"


# ---- close.sh ----

def test_close(guest):
    guest.sh("true")
    (guest.tmp / f"{guest.dir.name}.files").mkdir()
    for _ in range(2):
        assert guest.run("close", guest.dir, 0).state == "ok"
        assert not list(guest.tmp.iterdir())


def test_close_removes_what_dead_sessions_left(guest):
    old = time.time() - 30 * 3600
    for name in (".pve-qga-run-dead", ".pve-qga-run-dead.files", ".pve-qga-run-young", "other"):
        (guest.tmp / name).mkdir()
        (guest.tmp / name / "file").touch()
        if name != ".pve-qga-run-young":
            os.utime(guest.tmp / name, (old, old))
    (guest.tmp / ".pve-qga-run-file").touch()
    os.utime(guest.tmp / ".pve-qga-run-file", (old, old))
    assert guest.run("close", guest.dir, 0).state == "ok"
    assert sorted(path.name for path in guest.tmp.iterdir()) == [".pve-qga-run-young", "other"]


def test_close_keeps_claims_for_calls_that_come_late(guest):
    guest.sh(f"echo x >>{guest.ran}")
    assert guest.run("close", guest.dir, 1).state == "ok"
    assert [path.name for path in guest.dir.iterdir()] == ["1.c"]
    assert guest.sh(f"echo x >>{guest.ran}").state in ("lost", "running")
    assert guest.times_run() == 1
    guest.wait_for(lambda: not guest.dir.exists())
    guest.must_be_idle()


def test_close_waits_for_a_script_that_still_writes(guest):
    guest.dir.mkdir()
    busy = guest.start("job", guest.folder / "elsewhere", 1, "-", "", "-", 65536, "c",
                       f"i=0; while [ $i -lt 3000 ]; do echo x >{guest.dir}/$i || exit; "
                       "i=$((i + 1)); done")
    answer = guest.run("close", guest.dir, 0)
    busy.answer()
    assert answer.state == "ok" and not guest.dir.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a file that root cannot remove")
def test_close_says_what_stays(guest):
    import subprocess
    guest.dir.mkdir()
    busy = guest.dir / "mounted"
    busy.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "pq-test", busy], check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs")
    try:
        assert guest.run("close", guest.dir, 0).state == "left"
    finally:
        subprocess.run(["umount", busy], check=True)
