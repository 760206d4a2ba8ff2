"""shim/rsh/guest/pty.sh and pty_relay.py: a line on a terminal of its own."""
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import HIDES_TOOLS, ROOT

SCRIPT = (ROOT / "shim/rsh/guest/pty.sh").read_text()
RELAY = (ROOT / "shim/rsh/guest/pty_relay.py").read_text()


class Terminal:
    """The script with its streams on pipes, as a stream of the guest has them."""

    def __init__(self, guest, line, settings="iutf8 rows 33 cols 77", **environment):
        head = f"line={shlex.quote(line)}\nsettings={shlex.quote(settings)}\nrelay={shlex.quote(RELAY)}\n"
        program = shutil.which(guest.shell[0])
        self.process = subprocess.Popen(
            [program, *guest.shell[1:], "-c", head + SCRIPT, "sh"], cwd="/", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={"TERM": "xterm", **guest.environment, **environment})
        self.out = b""

    def until(self, text, seconds=20):
        """Waits for some output, which is what the next wait begins behind."""
        deadline = time.monotonic() + seconds
        while text not in self.out:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert data, f"no {text!r} in {self.out[-500:]!r}; {self.process.poll()}"
            self.out += data
        before, _, self.out = self.out.partition(text)
        return before

    def type(self, keys):
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def end(self):
        """All that is left of the output, and what was said on stderr."""
        out, err = self.process.communicate(timeout=30)
        return self.out + out, err.decode().splitlines()


@pytest.fixture(params=["script", "python"])
def terminal(guest, request):
    """What makes a terminal, with each program that can and without the other."""
    guest.hide("python3")
    for name in ("stty", "tty", "seq", "tee"):
        os.symlink(shutil.which(name), guest.folder / "bin" / name)
    if request.param == "python":
        os.symlink(sys.executable, guest.folder / "bin/python3")
    else:
        os.symlink(shutil.which("script"), guest.folder / "bin/script")

    def start(*arguments, **more):
        return Terminal(guest, *arguments, **more)

    return start


def test_what_the_line_finds(terminal):
    shown = terminal("tty; stty size; stty -a; echo \"$TERM <$SHELL>\"; env", SHELL="/bin/dash")
    out, said = shown.end()
    lines = out.decode().split("\r\n")
    assert lines[0].startswith("/dev/pts/") and lines[1] == "33 77"
    assert said == [f"pq1 tty {lines[0]}", "pq1 end 0"]
    modes = " ".join(lines)
    assert " echo " in modes and " iutf8" in modes and " icanon " in modes
    assert "xterm </bin/dash>" in lines and "PVE_QGA" not in out.decode()


def test_without_a_shell_of_its_own(terminal):
    out, said = terminal('echo "<${SHELL-none}>"').end()
    # bash has one in any case.
    assert out in (b"<none>\r\n", b"</bin/bash>\r\n") and said[-1] == "pq1 end 0"


def test_settings_that_are_not_known(terminal):
    out, _ = terminal("stty size", settings="nosuchmode rows 12 cols 34").end()
    assert out == b"12 34\r\n"


@pytest.mark.parametrize("line,code", [("exit 7", 7), ("kill -TERM $$", 143), ("nosuchcommand", 127)])
def test_exit_status(terminal, line, code):
    _, said = terminal(line).end()
    assert said[-1] == f"pq1 end {code}"


def test_keys(terminal):
    shown = terminal("cat; echo over")
    shown.type(b"line\n")
    shown.until(b"line\r\nline\r\n")
    shown.type(b"\x04")
    shown.until(b"over\r\n")
    assert shown.end()[1][-1] == "pq1 end 0"


def test_interrupt(terminal):
    shown = terminal("trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done")
    shown.until(b"ready\r\n")
    shown.type(b"\x03")
    shown.until(b"caught")
    assert shown.end()[1][-1] == "pq1 end 9"


@pytest.mark.parametrize("terminal", ["python"], indirect=True)
def test_much_both_ways(terminal):
    """More than a terminal holds, to a command that is slow to read it and says as much."""
    shown = terminal("stty raw -echo; echo ready; sleep 1; head -c 300000 | tee /dev/stderr | tail -c 5; seq 20000")
    shown.until(b"ready")
    keys = b"".join(b"%08d\n" % number for number in range(34000))[:300000]
    os.set_blocking(shown.process.stdin.fileno(), False)
    sent = 0
    while sent < len(keys):
        ready, room, _ = select.select([shown.process.stdout], [shown.process.stdin], [], 20)
        assert ready or room, f"{sent} bytes were taken"
        if ready:
            shown.out += os.read(shown.process.stdout.fileno(), 65536)
        if room:
            sent += os.write(shown.process.stdin.fileno(), keys[sent:sent + 4096])
    os.set_blocking(shown.process.stdin.fileno(), True)
    out, said = shown.end()
    assert keys in out and keys[-5:] in out.partition(keys)[2]
    numbers = b"".join(b"%d\n" % number for number in range(1, 20001))
    assert out.endswith(numbers) and said[-1] == "pq1 end 0"


def test_end_of_input_is_a_key(terminal):
    shown = terminal("cat; echo over")
    shown.process.stdin.close()
    shown.process.stdin = None
    out, said = shown.end()
    assert out.endswith(b"over\r\n") and said[-1] == "pq1 end 0"


def test_what_stays_in_the_background_is_not_waited_for(terminal, guest):
    shown = terminal(f"(trap '' HUP; exec sleep 1000) & echo $! >'{guest.folder}/pid'; echo over")
    out, said = shown.end()
    assert out == b"over\r\n" and said[-1] == "pq1 end 0"
    os.kill(int((guest.folder / "pid").read_text()), 9)


def test_ended_from_outside(terminal, guest):
    """Who has the terminal open is told by HUP."""
    shown = terminal(f"trap 'echo x >\"{guest.folder}/hup\"; exit' HUP; echo ready; while :; do sleep 0.1; done")
    shown.until(b"ready")
    os.killpg(shown.process.pid, 15)
    shown.end()
    guest.wait_for((guest.folder / "hup").exists)


@HIDES_TOOLS
def test_nothing_makes_a_terminal(guest):
    guest.hide("python3")
    out, said = Terminal(guest, "echo text").end()
    assert out == b"" and said == ["pq1 none"]


@pytest.mark.parametrize("terminal", ["python"], indirect=True)
def test_signals_that_were_ignored(terminal):
    """As in a job in the background, which the script is in a guest."""
    before = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)]
    try:
        shown = terminal("grep SigIgn /proc/self/status")
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGQUIT), before):
            signal.signal(number, handler)
    assert shown.end()[0] == b"SigIgn:\t0000000000000000\r\n"


@pytest.mark.parametrize("terminal", ["python"], indirect=True)
def test_key_behind_the_end(terminal, guest):
    """All that was shown comes, though a key finds nobody any more."""
    shown = terminal(f"seq 9000; echo x >'{guest.folder}/over'")
    guest.wait_for((guest.folder / "over").exists)
    shown.type(b"x")
    out, said = shown.end()
    assert out.endswith(b"9000\r\n") and said[-1] == "pq1 end 0"


@pytest.mark.parametrize("terminal", ["python"], indirect=True)
def test_background_that_goes_on_writing(terminal, guest):
    shown = terminal(f"(trap '' HUP; while [ ! -e '{guest.folder}/stop' ]; do echo more; done) & echo over")
    out, said = shown.end()
    (guest.folder / "stop").touch()
    assert b"over" in out and said[-1] == "pq1 end 0"


def test_size_is_changed(terminal, guest):
    """resize.sh"""
    shown = terminal("trap 'stty size; exit' WINCH; tty; while :; do sleep 0.1; done")
    tty = shown.until(b"\r\n").decode()
    assert guest.run("resize", tty, 50, 132).state == "ok"
    assert shown.until(b"\r\n") == b"50 132"
    shown.end()
    assert guest.run("resize", tty + "x", 50, 132).state == "failed"
