"""stream.sh and pump.sh: a command whose input and outputs travel while it runs."""
import os
import signal

import pytest

from conftest import base64_items, escape


class Stream:
    """A client as simple as it can be: it knows what it was told, and has read all of that."""

    def __init__(self, guest, *items, flags="f", period=60, number=1, limit=65536, **environment):
        self.guest, self.number = guest, number
        self.launcher = guest.start("stream", guest.dir, number, "-", "s" + flags, "-", limit,
                                    period, *items, **environment)
        self.turn = self.piece = 0
        self.known = {"o": 0, "e": 0}
        self.forgotten = {"o": 0, "e": 0}
        self.at = {"o": 0, "e": 0}
        self.ended = {"o": False, "e": False}
        self.out, self.err = b"", b""
        guest.wait_for(lambda: guest.file(f"{number}.p").exists() or self.has_ended())

    def has_ended(self):
        return self.launcher.process.poll() is not None

    def start(self, wait="-", items=(), limit=65536):
        self.turn += 1
        what = [" ".join(map(str, (self.forgotten[s], self.known[s], self.known[s], self.at[s])))
                for s in "oe"]
        piece = "-"
        if items:
            piece, self.piece = self.piece, self.piece + 1
        return self.guest.start("pump", self.guest.dir, self.number, self.turn, wait, *what, limit,
                                piece, *items)

    def take(self, answer):
        """What an answer says of the outputs; all of it must have come along."""
        self.out += self.take_stream("o", answer, answer.out)
        self.err += self.take_stream("e", answer, answer.err)
        return answer

    def take_stream(self, stream, answer, data):
        first, ended, inline, *sizes = map(int, answer.named[stream].split("/"))
        assert first == self.known[stream]
        assert len(data) == sum(sizes[:inline])
        data = data[self.at[stream]:] if inline else b""
        if inline:
            self.at[stream] = 0
        grown = int(answer.named.get(stream.upper(), 0))
        if grown:
            segment = self.guest.file(f"{self.number}.{stream}.{first}").read_bytes()
            data, self.at[stream] = segment[self.at[stream]:grown], grown
        self.forgotten[stream] = self.known[stream]
        self.known[stream] += inline
        self.ended[stream] = bool(ended) and inline == len(sizes)
        return data

    def pump(self, wait="-", items=(), **more):
        return self.take(self.start(wait, items, **more).answer())

    def send(self, data, wait="-"):
        return self.pump(wait, ("P", escape(data)))

    def send_piece(self, data):
        """As what is too long to ride on a turn."""
        answer = self.guest.run("piece", self.guest.dir, self.number, "i", self.piece, "-",
                                *base64_items(data, 300))
        self.piece += 1
        assert answer.state == "running"

    def end_input(self):
        answer = self.guest.run("piece", self.guest.dir, self.number, "i", self.piece, self.piece)
        assert answer.state in ("running", "end")

    def finish(self):
        """Pumps until no output can follow; the launcher's answer."""
        while not all(self.ended.values()):
            self.pump("a")
        return self.launcher.answer()


def command(text):
    return ("c", escape(text))


def test_short_command_is_one_call(guest):
    stream = Stream(guest, *command("echo out; echo err >&2; exit 7"), flags="")
    answer = stream.take(stream.launcher.answer())
    assert (answer.state, answer.fields[:2]) == ("end", ["7", "0"])
    assert (stream.out, stream.err) == (b"out\n", b"err\n")
    assert all(stream.ended.values())
    guest.must_be_idle()


def test_stdin_is_empty_without_input(guest):
    stream = Stream(guest, *command("cat; echo end"), flags="")
    assert stream.take(stream.launcher.answer()).out == b"end\n"


def test_death_by_signal(guest):
    stream = Stream(guest, *command("kill -TERM $$"), flags="")
    assert stream.launcher.answer().fields[:2] == ["143", "15"]


def test_conversation(guest):
    stream = Stream(guest, *command("while IFS= read -r line; do printf '<%s>\\n' \"$line\"; done; echo bye"))
    for line in (b"one", b"two\\n", b" a  b ", b"\xff\xc3", b"-n"):
        stream.send(line + b"\n", "w")
        while not stream.out.endswith(b">\n"):
            stream.pump("w")
        assert stream.out == b"<" + line + b">\n"
        stream.out = b""
    stream.end_input()
    answer = stream.finish()
    assert (answer.state, answer.fields[:2], stream.out) == ("end", ["0", "0"], b"bye\n")
    guest.must_be_idle()


def test_every_byte_both_ways(guest):
    stream = Stream(guest, *command("cat"))
    data = bytes(range(256)) * 2
    stream.send(data)
    stream.send_piece(data)
    for byte in range(256):
        stream.send(bytes([byte]))
    stream.end_input()
    stream.finish()
    assert stream.out == data + data + bytes(range(256))
    guest.must_be_idle()


def test_many_small_pieces_leave_few_files(guest):
    stream = Stream(guest, *command("cat"))
    for number in range(200):
        stream.send(b"%d\n" % number)
    guest.wait_for(lambda: guest.file("1.n").read_text().split() == ["200"])
    guest.wait_for(lambda: len(list(guest.dir.glob("1.k.*"))) < 64)
    stream.end_input()
    stream.finish()
    assert stream.out == b"".join(b"%d\n" % number for number in range(200))


def test_a_piece_is_taken_once(guest):
    stream = Stream(guest, *command("cat"))
    for _ in range(3):
        stream.piece = 0
        stream.send(b"once ")
    stream.piece = 1
    for _ in range(2):
        stream.send_piece(b"and no more")
        stream.piece = 1
    stream.piece = 2
    stream.end_input()
    stream.finish()
    assert stream.out == b"once and no more"


def test_output_can_be_asked_for_again(guest):
    stream = Stream(guest, *command("echo text; read -r x"))
    first = stream.start("w").answer()
    assert first.out == b"text\n"
    assert stream.start("w").answer().out == b"text\n"
    stream.take(first)
    assert stream.pump().out == b""
    stream.end_input()
    stream.finish()
    assert stream.out == b"text\n"


def test_a_later_turn_ends_the_one_before(guest):
    stream = Stream(guest, *command("cat"))
    waiting = stream.start("w")
    guest.wait_for(lambda: guest.file("1.t.1").exists())
    stream.send(b"x", "w")
    assert waiting.answer().state == "running"
    guest.wait_for(lambda: stream.out == b"x" or stream.pump())
    stream.end_input()
    stream.finish()


def test_a_turn_that_comes_late_does_not_wait(guest):
    stream = Stream(guest, *command("cat"))
    stream.turn = 5
    stream.pump()
    stream.turn = 3
    assert stream.pump("w").state == "running"
    stream.turn = 6
    stream.end_input()
    stream.finish()


def test_a_turn_waits_for_the_end(guest):
    stream = Stream(guest, *command("read -r x; exit 3"))
    waiting = stream.start("w")
    guest.wait_for(lambda: guest.file("1.t.1").exists())
    stream.end_input()
    answer = waiting.answer()
    assert answer.state in ("running", "end")
    assert stream.launcher.answer().fields[:2] == ["3", "0"]
    guest.must_be_idle()


def test_unread_output_holds_the_command_up(guest):
    stream = Stream(guest, *command(f"echo >'{guest.ran}'; head -c 40000000 /dev/zero; echo all >>'{guest.ran}'"),
                    flags="")
    guest.wait_for(lambda: guest.file("1.o.31").exists())
    on_disk = sum(path.stat().st_size for path in guest.dir.glob("1.o.*"))
    assert on_disk < 20_000_000
    assert guest.ran.read_text() == "\n"
    answer = stream.pump(limit=0)
    total = 0
    while True:
        first, ended, inline, *sizes = map(int, answer.named["o"].split("/"))
        assert (first, inline) == (stream.known["o"], 0)
        for number, size in enumerate(sizes, first):
            assert guest.file(f"1.o.{number}").stat().st_size == size
        total += sum(sizes)
        stream.known["o"] = first + len(sizes)
        if ended:
            break
        stream.turn += 1
        answer = guest.run("pump", guest.dir, 1, stream.turn, "a",
                           f"{first} {first + len(sizes)} {first + len(sizes)} 0", "0 0 0 0", 0, "-")
    assert total == 40_000_000
    assert guest.ran.read_text() == "\nall\n"
    stream.launcher.answer()
    guest.run("pump", guest.dir, 1, stream.turn + 1, "x", f"0 0 {stream.known['o']} 0", "0 0 0 0",
              0, "-")
    guest.must_be_idle()


def test_a_segment_that_grows_is_told(guest):
    """Output that follows a burst is seen, even if its segment is not complete."""
    script = f"head -c 300000 /dev/zero; while [ ! -e '{guest.folder}/go' ]; do sleep 0.05; done; echo more; read -r x"
    stream = Stream(guest, *command(script))
    known = size = 0
    while not size or known + size < 300_000:
        answer = stream.start(limit=0).answer()
        first, _, _, *sizes = map(int, answer.named["o"].split("/"))
        known += sum(sizes)
        stream.known["o"] = first + len(sizes)
        size = int(answer.named.get("O", 0))
        if known == 300_000:
            break
    stream.at["o"] = size
    waiting = stream.start("w")
    (guest.folder / "go").touch()
    answer = waiting.answer()
    first, _, inline, *sizes = map(int, answer.named["o"].split("/"))
    grown = int(answer.named.get("O", 0))
    assert known + (sum(sizes) if sizes else grown) == 300_005
    stream.known["o"] += len(sizes)
    stream.end_input()
    stream.launcher.answer()


def test_child_in_the_background_is_not_waited_for(guest):
    stream = Stream(guest, *command("sleep 30 & echo $!"), flags="")
    while stream.pump().state != "end" or not stream.out:
        pass
    assert not stream.has_ended()
    stream.pump("x")
    assert stream.launcher.answer().fields[:2] == ["0", "0"]
    os.kill(int(stream.out), signal.SIGKILL)
    guest.must_be_idle()


def test_client_that_is_gone(guest):
    stream = Stream(guest, *command("trap '' HUP; cat; sleep 100"), period=1)
    stream.send(b"x")
    waiting = stream.start("w")
    stream.launcher.process.wait(timeout=20)
    waiting.process.wait(timeout=20)
    guest.wait_for(lambda: not guest.dir.exists())
    guest.must_be_idle()


def test_client_that_is_gone_before_it_read_all(guest):
    stream = Stream(guest, *command("head -c 5000000 /dev/zero"), flags="", period=1)
    assert stream.launcher.answer().state == "end"
    guest.wait_for(lambda: not guest.dir.exists())
    guest.must_be_idle()


def test_stays_while_turns_come(guest):
    """Each turn comes when the warden has looked once more, which it tells by its next sleep."""
    stream = Stream(guest, *command("cat"), period=1)
    seen = set()
    while len(seen) < 5:
        stream.pump()
        seen |= {pid for pid in guest.processes() if guest.name_of(pid) == "sleep"}
        assert not guest.file("1.s").exists()
    stream.end_input()
    stream.finish()


def test_runs_once(guest):
    items = command(f"echo >>'{guest.ran}'; cat")
    stream = Stream(guest, *items)
    again = guest.run("stream", guest.dir, 1, 1, "sf", "-", 65536, 60, *items)
    assert again.state == "running"
    stream.end_input()
    stream.finish()
    again = guest.run("stream", guest.dir, 1, 1, "sf", "-", 65536, 60, *items)
    assert again.state == "end"
    assert guest.ran.read_text() == "\n"


def test_no_stream(guest):
    answer = guest.run("pump", guest.dir, 1, 1, "w", "0 0 0 0", "0 0 0 0", 65536, "-")
    assert answer.state == "none"


def test_stream_whose_launcher_was_killed(guest):
    stream = Stream(guest, *command("cat"))
    os.kill(stream.launcher.process.pid, signal.SIGKILL)
    stream.launcher.process.wait()
    assert stream.start("w").answer().state == "lost"


def test_full_disk(guest, small_disk):
    stream = Stream(guest, *command("head -c 1000000 /dev/zero"), flags="")
    answer = stream.launcher.answer()
    assert answer.state in ("end", "full")
    assert answer.state == "full" or answer.named["full"] == "1"


@pytest.mark.parametrize("what", [("x", "/no/such/shell"), ("w", "/no/such/folder")])
def test_refusals_leave_nothing(guest, what):
    name, value = what
    stream = Stream(guest, name, escape(value), *command("echo"), flags="")
    assert stream.launcher.answer().state == {"x": "noexec", "w": "nocwd"}[name]
    assert not list(guest.dir.glob("1.*"))
    guest.must_be_idle()


def test_guest_with_another_language(guest):
    stream = Stream(guest, *command("echo text"), flags="", LANG="de_DE.UTF-8", LC_MESSAGES="de_DE.UTF-8")
    assert stream.take(stream.launcher.answer()).out == b"text\n"


def test_outputs_that_the_command_has_closed(guest):
    """Its end is waited for all the same."""
    stream = Stream(guest, *command(f"exec >/dev/null 2>&1; while [ ! -e '{guest.folder}/go' ]; do sleep 0.05; done; exit 3"))
    guest.wait_for(lambda: stream.pump() and all(stream.ended.values()))
    waiting = stream.start("w")
    guest.wait_for(lambda: guest.file(f"1.t.{stream.turn % 2}").exists())
    assert waiting.process.poll() is None
    (guest.folder / "go").touch()
    assert waiting.answer().fields[:2] == ["3", "0"]
    stream.launcher.answer()


def test_a_turn_that_was_overtaken_by_far(guest):
    """What it lists has the right numbers, though it asks for what is long forgotten."""
    stream = Stream(guest, *command("while :; do echo line; read -r x || break; done"))
    sent = 0
    while stream.known["o"] <= 40:
        if stream.out.count(b"\n") > sent:
            stream.send(b"\n")
            sent += 1
        else:
            stream.pump("w")
    answer = guest.run("pump", guest.dir, 1, 1, "-", "0 0 0 0", "0 0 0 0", 65536, "-")
    first, _, _, *sizes = map(int, answer.named["o"].split("/"))
    assert first > 0 and answer.out == b""
    there = {number: guest.file(f"1.o.{number}") for number in range(first, first + len(sizes))}
    assert [path.stat().st_size for path in there.values() if path.exists()] == [
        size for size, path in zip(sizes, there.values()) if path.exists()]
    assert sizes and first + len(sizes) > 40
    stream.end_input()
    stream.finish()


def test_close_ends_what_still_runs(guest):
    stream = Stream(guest, *command("trap '' HUP; sleep 100"))
    assert guest.run("close", guest.dir, 0).state == "ok"
    stream.launcher.process.wait(timeout=20)
    guest.must_be_idle()


def test_close_leaves_sessions_that_are_alive(guest):
    stream = Stream(guest, *command("cat"))
    dead = guest.tmp / ".pve-qga-run-dead"
    dead.mkdir()
    for folder in (guest.dir, dead):
        os.utime(folder, (0, 0))
    assert guest.run("close", guest.tmp / ".pve-qga-run-other", 0).state == "ok"
    assert guest.dir.exists() and not dead.exists()
    stream.end_input()
    stream.finish()
