"""pve-qga-shell, and pve-qga-rsh -t, on a terminal: the guest's is one, and ours is put back."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab
from program import until
from rsh import RSH, Rsh
from screen import Line, Screen

SHELL = RSH.with_name("pve-qga-shell")
PROMPT = b"# "

Open = Callable[..., Line]


@pytest.fixture
def line(rsh: Rsh, clean: None) -> Iterator[Open]:
    """Starts pve-qga-shell, or another program of the same place, on a terminal's line."""
    lines: list[Line] = []

    def start(*arguments: object, program: Path = SHELL, **environment: str) -> Line:
        command = [str(program), *map(str, arguments)]
        lines.append(Line(command, {**rsh.environment, **environment}))
        return lines[-1]

    yield start
    for opened in lines:
        opened.close()


@pytest.fixture
def screen(rsh: Rsh, tmp_path: Path, clean: None) -> Iterator[Screen]:
    path = f"{SHELL.parent}:{rsh.environment['PATH']}"
    terminal = Screen(tmp_path, {**rsh.environment, "PATH": path})
    yield terminal
    terminal.close()


def prompted(session: Line) -> Line:
    session.until(PROMPT)
    return session


@contextmanager
def server_away(lab: Lab) -> Iterator[None]:
    """Nobody takes a connection meanwhile."""
    lab.close_api()
    try:
        yield
    finally:
        lab.open_api()


def pid_of_shell(session: Line) -> int:
    session.type(b"echo $$\r")
    session.until(b"\r\n")
    return int(re.findall(rb"(\d+)\r\n", session.until(PROMPT))[0])


def until_gone(lab: Lab, pid: int) -> None:
    until(lambda: lab.guest(100).run(["kill", "-0", str(pid)]).exit_code != 0, "the guest's shell is gone")


def until_clean(lab: Lab) -> None:
    until(lambda: not lab.guest(100).run(["sh", "-c", "ls -d /tmp/.pve-qga-run*"]).stdout, "the guest is clean")


# ---- what the session is ----


def test_login_shell(line: Open) -> None:
    session = prompted(line(100))
    session.type(b"tty; stty size; echo $TERM $HOME $PWD; shopt -q login_shell && echo is login; exit 7\r")
    session.until(b"\r\n/dev/pts/")
    session.until(b"\r\n30 100\r\ndumb /root /root\r\nis login\r\n")
    session.until(b"logout")
    session.until(b"Connection to 100 closed.")
    assert session.end() == 7


@pytest.mark.parametrize("command, status", [("exit 3", 3), ("kill -TERM $$", 143), ("stty size", 0)])
def test_command(line: Open, command: str, status: int) -> None:
    session = line(100, command)
    assert session.end() == status
    assert (b"30 100\r\n" in session.seen) == (status == 0)


def test_words_are_joined_as_by_ssh(line: Open) -> None:
    session = line(100, "echo", "'a  b'", "c")
    assert session.end() == 0 and b"a  b c\r\n" in session.seen


def test_user(line: Open) -> None:
    session = line("--executable=/bin/sh", "nobody@100", 'id -un; test "$(stat -c %U $(tty))" = nobody && echo owned')
    assert session.end() == 0 and b"nobody\r\nowned\r\n" in session.seen
    session = line("--executable=/bin/sh", "-l", "nobody", 100, "id -un")
    assert session.end() == 0 and b"nobody\r\n" in session.seen


def test_locale(line: Open) -> None:
    session = line(100, "echo $LANG $LC_TIME; stty -a", LANG="C.UTF-8", LC_TIME="de_DE.UTF-8")
    assert session.end() == 0 and b"C.UTF-8 de_DE.UTF-8\r\n" in session.seen


def test_modes_are_those_of_the_user(line: Open, rsh: Rsh) -> None:
    text = f"stty erase ^H intr ^G iutf8; exec '{SHELL}' 100 'stty -a'"
    session = line("-c", text, program=Path("/bin/sh"))
    while session.process.poll() is None:
        session.read(0.05)
    assert b"intr = ^G" in session.seen and b"erase = ^H" in session.seen
    assert re.search(rb"\siutf8", session.seen)


def test_text_of_other_languages(line: Open) -> None:
    session = prompted(line(100))
    session.type("printf '%s' '汉语 ü' | od -An -tx1; exit\r".encode())
    session.until(b"e6 b1 89 e8 af ad 20 c3 bc")
    assert session.end() == 0


# ---- keys ----


def test_interrupt_end_and_stop(line: Open) -> None:
    session = prompted(line(100))
    session.type(b"sleep 100\r")
    session.until(b"sleep 100\r\n")
    session.type(b"\x03")
    prompted(session)
    session.type(b"echo status $?\r")
    session.until(b"status 130")
    prompted(session).type(b"sleep 1000\r")
    session.until(b"sleep 1000\r\n")
    session.type(b"\x1a")
    session.until(b"Stopped")
    prompted(session).type(b"kill %1; wait; echo killed\r")
    session.until(b"\nkilled")
    prompted(session).type(b"\x04")
    assert session.end() == 0
    assert b"logout" in session.seen


def test_interrupt_of_a_command(line: Open) -> None:
    session = line(100, "echo ready; sleep 100")
    session.until(b"ready")
    session.type(b"\x03")
    assert session.end() == 130


def test_much_output(line: Open) -> None:
    session = line(100, "stty -onlcr; seq 10000")
    assert session.end() == 0
    assert b"".join(b"%d\n" % number for number in range(1, 10001)) in session.seen


def test_paste(line: Open, there: Path) -> None:
    """A MiB of lines, echoed while it comes."""
    session = line(100, "cat >/tmp/there/file; echo over")
    until((there / "file").exists, "the command runs")
    text = b"".join(b"%062d\n" % number for number in range(2**20 // 63))
    session.type(text + b"\x04")
    session.until(b"over\r\n", 120)
    assert session.end() == 0
    assert hashlib.sha256((there / "file").read_bytes()).digest() == hashlib.sha256(text).digest()


def test_paste_into_a_shell(line: Open, there: Path) -> None:
    """Which echoes more than it is given."""
    session = prompted(line(100))
    text = b"".join(b"echo line %06d >>/tmp/there/file\r" % number for number in range(2000))
    session.type(text + b"exit\r")
    assert session.end(120) == 0
    assert (there / "file").read_bytes() == b"".join(b"line %06d\n" % number for number in range(2000))


def test_keys_that_come_early(line: Open) -> None:
    """^D while there is no session yet is not the end of all keys."""
    session = line(100, "echo ready; cat")
    session.type(b"\x04")
    session.until(b"ready")
    session.type(b"later\r")
    session.until(b"later\r\n")
    session.until(b"later\r\n")
    session.type(b"\x03")
    session.end()


def test_signals_are_as_for_any_login(line: Open) -> None:
    """Nothing is ignored that a shell could not set right again."""
    session = line(100, "yes | head -n 1; grep SigIgn /proc/self/status")
    assert session.end() == 0
    assert b"y\r\nSigIgn:\t0000000000000000\r\n" in session.seen


def test_flood_is_left(line: Open) -> None:
    session = line(100, "yes")
    session.until(b"y\r\ny\r\n")
    session.type(b"\r~.")
    session.until(b"Connection to 100 closed.", 60)
    session.out = b""
    assert session.end() == 255
    assert b"y" not in session.out, "the user's own terminal is left alone"


# ---- keys for us ----


def test_disconnect(line: Open, lab: Lab) -> None:
    session = prompted(line(100))
    session.type(b"(trap '' HUP; exec sleep 4321) &\r")
    prompted(session)
    session.type(b"\r~.")
    session.until(b"Connection to 100 closed.")
    assert session.end() == 255
    left = [process for process in lab.guest(100).processes() if "4321" in str(process)]
    assert left, "what was put into the background goes on, as with ssh"
    lab.guest(100).run(["pkill", "-f", "sleep 4321"])


def test_help_and_the_character_itself(line: Open) -> None:
    session = prompted(line(100))
    session.type(b"\r~?")
    session.until(b"end the session")
    session.type(b"\r~~\r")
    session.until(b"directory")  # bash: /root: Is a directory
    session.type(b"exit\r")
    session.end()


def test_other_escape_characters(line: Open) -> None:
    session = prompted(line("-e", "^B", 100))
    session.type(b"\r~.\r\x02.")
    session.until(b"Connection to 100 closed.")
    assert session.end() == 255
    session = prompted(line("--escape-char=none", 100))
    session.type(b"\r~.\rexit 4\r")
    assert session.end() == 4


def test_suspended(screen: Screen) -> None:
    screen.command("pve-qga-shell", "100")
    screen.until("vm:~#")
    screen.type("Enter", "~", "C-z")
    screen.until("Stopped")
    screen.type("stty -a | grep -q ' icanon' && echo cooked $((40 + 2))", "Enter")
    screen.until("cooked 42")
    screen.resize(40, 90)
    screen.type("clear; fg", "Enter")
    screen.type("stty size", "Enter")
    screen.until("40 90")
    screen.type("exit", "Enter")
    screen.until("closed")
    # The guest is cleaned up behind that; the shell here goes on when it is.
    screen.type("echo over $((40 + 2))", "Enter")
    screen.until("over 42")


# ---- size, programs of the whole screen ----


def test_size_follows(line: Open) -> None:
    session = line(100, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done")
    session.until(b"ready")
    for rows, columns in ((50, 132), (10, 20), (31, 99)):
        session.resize(rows, columns)
        session.until(b"%d %d\r\n" % (rows, columns))
    # In quick succession the last one counts.
    for number in range(40, 60):
        session.resize(number, number)
    session.until(b"59 59\r\n")
    session.type(b"\x03")
    session.end()


def test_programs_of_the_whole_screen(screen: Screen, there: Path) -> None:
    (there / "text").write_text("".join(f"line {number}\n" for number in range(1, 1001)))
    screen.type("stty -g >before; pve-qga-shell 100", "Enter")
    screen.until("vm:~#")
    screen.type("less /tmp/there/text", "Enter")
    screen.until("line 29")
    screen.type("G")
    screen.until("line 1000")
    screen.type("q", "clear", "Enter")
    screen.type("top", "Enter")
    screen.until("load average")
    screen.until("PID")
    screen.type("q")
    screen.type("clear", "Enter")
    screen.type("vi /tmp/there/text", "Enter")
    screen.until("line 1")
    screen.type("G", "o", "written", "Escape", ":wq", "Enter")
    until(lambda: (there / "text").read_text().endswith("\nwritten\n"), "vi has written")
    screen.type("clear; echo $((40 + 2)); exit 42", "Enter")
    screen.until("Connection to 100 closed.")
    screen.type("echo status $?; stty -g | cmp - before && echo as before $((40 + 3))", "Enter")
    screen.until("status 42")
    screen.until("as before 43")


# ---- ends ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ended_by_a_signal(line: Open, lab: Lab, number: signal.Signals) -> None:
    session = prompted(line(100))
    shell = pid_of_shell(session)
    session.process.send_signal(number)
    assert session.end() == 128 + number
    until_gone(lab, shell)


def test_server_that_goes_away_for_a_while(line: Open, lab: Lab) -> None:
    """Nothing typed meanwhile is lost."""
    session = prompted(line(100))
    with server_away(lab):
        session.type(b"echo still $((40 + 2))\r")
        session.until(b"trying again")
        session.resize(40, 80)
    session.until(b"still 42\r\n")
    prompted(session).type(b"stty size; exit 6\r")
    session.until(b"40 80")
    assert session.end() == 6


def test_server_that_stays_away(line: Open, lab: Lab) -> None:
    session = prompted(line("--abandon-after=12", "--connect-timeout=5", 100))
    with server_away(lab):
        session.type(b"echo lost\r")
        session.until(b"trying again")
        session.resize(40, 80)
        session.until(b"Connection to 100 closed.", 60)
        session.until(b"Failed to connect")
        assert session.end() == 255
    until_clean(lab)


def test_left_while_the_server_is_away(line: Open, lab: Lab) -> None:
    session = prompted(line("--abandon-after=10", 100))
    with server_away(lab):
        session.type(b"\r~.")
        session.until(b"Connection to 100 closed.")
        assert session.end(10) == 255
    until_clean(lab)


def test_outage_that_the_guest_waits_for(line: Open, lab: Lab) -> None:
    session = prompted(line("--abandon-after=20", 100))
    with server_away(lab):
        time.sleep(5.5)  # at least ten seconds after the last turn, which came up to four before
    session.type(b"echo still $((40 + 2))\r")
    session.until(b"still 42\r\n")
    prompted(session).type(b"exit\r")
    assert session.end() == 0


def test_client_that_is_killed(line: Open, lab: Lab) -> None:
    session = prompted(line("--abandon-after=10", 100))
    shell = pid_of_shell(session)
    session.process.kill()
    until_gone(lab, shell)
    until_clean(lab)


# ---- without terminals ----


def test_our_stdin_is_no_terminal(rsh: Rsh, clean: None) -> None:
    done = rsh.tool(SHELL, "100", stdin=b"tty\n~.; exit 5\n")
    assert done.status == 5 and b"/dev/pts/" in done.stdout


def test_guest_that_cannot_make_one(rsh: Rsh) -> None:
    done = rsh.tool(SHELL, "103", stdin=b"")
    done.failed("neither script(1) nor Python")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), ("no VM was named",)),
        (("@100",), ("no user",)),
        (("-e", "xy", "100"), ("--escape-char", "'xy'")),
        (("nosuchuser@100",), ("no user 'nosuchuser'",)),
        (("nosuchvm",), ("nosuchvm",)),
        (("off",), ("not running",)),
    ],
)
def test_refusals(rsh: Rsh, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = rsh.tool(SHELL, *arguments, stdin=b"")
    assert done.status == 255
    said = done.stderr + done.stdout
    for word in words:
        assert word.encode() in said, said


# ---- pve-qga-rsh ----


def test_rsh_has_a_terminal_as_ssh(line: Open, rsh: Rsh) -> None:
    session = line("-t", "web", "tty; exit 4", program=RSH)
    assert session.end() == 4 and b"/dev/pts/" in session.seen
    session = line("-T", "web", "tty", program=RSH)
    assert session.end() == 1 and b"not a tty" in session.seen
    session = prompted(line("web", program=RSH))
    session.type(b"\r~.")
    assert session.end() == 255
    assert rsh.run("-tt", "web", "tty").stdout.startswith(b"/dev/pts/")
    done = rsh.run("-t", "web", "tty")
    assert done.status == 1 and b"Pseudo-terminal will not be allocated" in done.stderr


def test_echo_takes_no_longer_than_a_command(line: Open, rsh: Rsh) -> None:
    """Roughly; integration/bench has the figures. No key waits for a poll that has become lazy."""
    session = prompted(line(100))
    times = []
    for key in b"abcdefghij":
        time.sleep(0.3)
        began = time.monotonic()
        session.type(bytes([key]))
        session.until(bytes([key]))
        times.append(time.monotonic() - began)
    session.type(b"\x15exit\r")
    session.end()
    assert sorted(times)[5] < 1


def test_idle_session_is_quiet(line: Open, lab: Lab) -> None:
    session = prompted(line(100))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        session.read(0.1)
    calls = len(lab.log())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        session.read(0.1)
    assert len(lab.log()) - calls <= 10 + 1
    session.type(b"exit\r")
    session.end()


def test_shown_help(rsh: Rsh) -> None:
    done = rsh.tool(SHELL, "--help")
    assert done.status == 0 and b"[USER@]VM [COMMAND...]" in done.stdout
    assert all(len(text) <= 80 for text in done.stdout.decode().splitlines())
    assert subprocess.run([SHELL, "--version"], capture_output=True, check=True).stdout.startswith(b"pve-qga-shell ")
