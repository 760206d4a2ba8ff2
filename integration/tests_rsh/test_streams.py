"""stdin, stdout, stderr and exit status, as programs find them that start a remote shell."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from lab import Lab
from program import ended, finish, until
from rsh import RSH, Rsh

def cksum(data: bytes) -> bytes:
    return subprocess.run(["cksum"], input=data, stdout=subprocess.PIPE, check=True).stdout


EVERY_BYTE = bytes(range(256)) * 40


def test_output_and_status(rsh: Rsh, clean: None) -> None:
    done = rsh.run("web", "printf 'a\\000b'; echo err >&2; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, b"a\0b", b"err\n")
    assert rsh.run("100", "true").succeeded().stdout == b""


def test_words_are_joined_for_the_login_shell(rsh: Rsh) -> None:
    done = rsh.run("root@web", "echo", "$HOME", "'a", " b'", '"$SHELL"; echo $0')
    assert done.succeeded().stdout == b"/root a  b /bin/bash\n/bin/bash\n"


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
def test_death_by_signal(rsh: Rsh, name: str) -> None:
    done = rsh.run("web", f"kill -s {name} $$")
    assert (done.status, done.stdout, done.stderr) == (128 + signal.Signals[f"SIG{name}"], b"", b"")


@pytest.mark.parametrize("size", [0, 1, 4095, 65537, 5_000_000])
def test_there_and_back(rsh: Rsh, clean: None, size: int) -> None:
    data = os.urandom(size)
    assert rsh.run("web", "cat", stdin=data).succeeded().stdout == data
    assert rsh.run("web", "cat", stdin=EVERY_BYTE).succeeded().stdout == EVERY_BYTE


def test_conversation(rsh: Rsh) -> None:
    """Each answer comes before the next question is asked."""
    process = rsh.start("web", "while read -r line; do echo \"got $line\"; done; echo end >&2", stdin=subprocess.PIPE)
    with ended(process):
        assert process.stdin and process.stdout
        for number in range(5):
            process.stdin.write(b"%d\n" % number)
            assert process.stdout.readline() == b"got %d\n" % number
        assert finish(process).stderr == b"end\n"
        assert process.returncode == 0


def test_long_commands(rsh: Rsh) -> None:
    """GNU parallel and others send whole scripts as a command."""
    word = "'a\"b$c'" * 4000
    assert rsh.run("web", f"printf %s {word} | cksum").succeeded().stdout == cksum(word.replace("'", "").encode())


def test_half_close(rsh: Rsh) -> None:
    """The end of stdin is the command's, whose output goes on."""
    done = rsh.run("web", "cat >/tmp/half; sleep 0.3; wc -c </tmp/half; cat /tmp/half", stdin=b"x" * 100000)
    assert done.succeeded().stdout == b"100000\n" + b"x" * 100000


def test_command_that_closes_its_stdin(rsh: Rsh) -> None:
    process = rsh.start("web", "exec <&-; echo closed; exit 4", stdin=subprocess.PIPE)
    with ended(process):
        assert process.stdin
        done = finish(process)
    assert (done.status, done.stdout) == (4, b"closed\n")


def test_command_that_reads_nothing(rsh: Rsh) -> None:
    assert rsh.run("web", "echo done", stdin=os.urandom(3_000_000)).succeeded().stdout == b"done\n"


def test_no_stdin(rsh: Rsh) -> None:
    read, write = os.pipe()
    try:
        assert rsh.run("-n", "web", "cat; echo end", stdin=read).succeeded().stdout == b"end\n"
        assert rsh.run("-oStdinNull=yes", "web", "cat; echo end", stdin=read).succeeded().stdout == b"end\n"
    finally:
        os.close(read)
        os.close(write)


def test_one_socket_for_both(rsh: Rsh) -> None:
    """As sftp and scp start their ssh; shutting down our writing side ends the command's stdin."""
    ours, theirs = socket.socketpair()
    data = os.urandom(400_000)
    with rsh._watched(subprocess.Popen([RSH, "web", "cat; echo end"], stdin=theirs, stdout=theirs,
                                       stderr=subprocess.PIPE, env=rsh.environment)) as process:  # fmt: skip
        theirs.close()
        sender = threading.Thread(target=lambda: (ours.sendall(data), ours.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while piece := ours.recv(65536):
            got += piece
        sender.join()
        assert process.stderr and process.stderr.read() == b""
    assert bytes(got) == data + b"end\n" and process.returncode == 0
    ours.close()


def test_nonblocking_stdout_with_a_slow_reader(rsh: Rsh) -> None:
    """As rsync leaves it: O_NONBLOCK. It stays so, and nothing is lost when the reader is late."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    count = 2_000_000
    process = rsh._watched(subprocess.Popen([RSH, "web", f"head -c {count} /dev/zero | tr '\\0' x"], stdout=theirs,
                                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=rsh.environment))  # fmt: skip
    with ended(process):
        got = 0
        while got < count:
            piece = ours.recv(20_000)
            assert piece and set(piece) == {ord("x")}
            got += len(piece)
            assert fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK
        assert process.wait(60) == 0
    theirs.close()
    assert ours.recv(1) == b""
    ours.close()


def test_flags_of_descriptors_stay(rsh: Rsh) -> None:
    read, write = os.pipe()
    before = fcntl.fcntl(write, fcntl.F_GETFL)
    process = rsh.start("web", "echo started; cat", stdin=subprocess.PIPE, stdout=write)
    with ended(process):
        assert os.read(read, 100) == b"started\n"
        assert fcntl.fcntl(write, fcntl.F_GETFL) == before
        assert process.stdin
        assert not fcntl.fcntl(process.stdin, fcntl.F_GETFL) & os.O_NONBLOCK
        assert finish(process).status == 0
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_are_passed_on(rsh: Rsh, clean: None, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    line = f"trap 'echo {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    process = rsh.start("web", line)
    with ended(process):
        assert process.stdout and process.stdout.readline() == b"ready\n"
        done = finish(process, number)
    # The shell may have to say something about its sleep, which has had the signal, too.
    assert (done.status, done.stdout) == (9, name.encode() + b"\n")
    assert b"pve-qga-rsh" not in done.stderr


def test_a_signal_ends_a_command_that_does_not_care(rsh: Rsh, clean: None) -> None:
    process = rsh.start("web", "echo ready; exec sleep 1000")
    with ended(process):
        assert process.stdout and process.stdout.readline() == b"ready\n"
        assert finish(process, signal.SIGTERM).status == 128 + signal.SIGTERM


def test_the_second_signal_ends_it(rsh: Rsh, clean: None) -> None:
    """A command that ignores TERM is killed; the status is that of the signal."""
    process = rsh.start("web", "trap 'echo no' TERM; echo ready; while :; do sleep 0.05; done")
    with ended(process):
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"no\n"
        assert finish(process, signal.SIGTERM).status == 128 + signal.SIGTERM


def test_a_reader_that_goes_away(rsh: Rsh, clean: None) -> None:
    process = rsh.start("web", "while :; do echo more; done")
    with ended(process):
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        said = process.stderr.read()
        assert process.wait(60) == 255
    assert b"stdout" in said and said.count(b"\n") == 1


def test_nobody_waits_for_background_children(rsh: Rsh) -> None:
    done = rsh.run("web", "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!")
    pid = int(done.succeeded().stdout)
    assert rsh.run("web", f"kill {pid}").status == 0


def test_environment(rsh: Rsh) -> None:
    sending = rsh.having(LC_TIME="a b", GIT_PROTOCOL="version=2", OTHER="x")
    done = sending.run("-oSendEnv=LC_* GIT_PROTOCOL", "-oSetEnv=A=1", "web", 'echo "$LC_TIME/$GIT_PROTOCOL/$OTHER/$A"')
    assert done.succeeded().stdout == b"a b/version=2//1\n"


def test_aliases_and_options_of_ours(rsh: Rsh) -> None:
    config = rsh.home / ".config"
    config.mkdir()
    (config / "pve-qga-run.conf").write_text("[vm box]\nvmid = 101\n")
    (rsh.home / "other.conf").write_text("[vm box]\nvmid = 100\nexecutable = /bin/dash\n")
    name = rsh.run("101", "cat /proc/sys/kernel/random/boot_id; hostname; echo $0").succeeded().stdout
    assert rsh.run("box", "cat /proc/sys/kernel/random/boot_id; hostname; echo $0").succeeded().stdout == name
    assert rsh.run("-o", f"pve.config={rsh.home}/other.conf", "box", "echo $0").succeeded().stdout == b"/bin/dash\n"
    assert rsh.run("-oHostName=db", "anything", "hostname").succeeded().stdout in name


def test_timeout(rsh: Rsh, clean: None) -> None:
    rsh.run("-opve.timeout=1", "web", "exec sleep 1000").failed("took too long", status=124)


def test_failures_are_255_and_one_line(rsh: Rsh) -> None:
    rsh.run("nosuchvm", "true").failed("nosuchvm")
    rsh.run("off", "true").failed("not running")
    rsh.run("-L", "1:localhost:2", "web").failed("-L", "ProxyCommand")
    rsh.run("-s", "web", "netconf").failed("subsystem")
    rsh.run("-O", "check", "web").failed("no shared connection")
    rsh.run("nosuchuser@web", "id").failed("nosuchuser")
    rsh.run("-opve.token-secret=x", "web", "id").failed("token-secret")
    rsh.having(PROXMOX_TOKEN_SECRET="wrong").run("web", "true").failed("authentication")


def test_answers_without_network(rsh: Rsh) -> None:
    nowhere = rsh.having(PROXMOX_HOST=None)
    listing = nowhere.run("-G", "-o", "SendEnv=GIT_PROTOCOL", "u@web").succeeded().stdout.decode()
    assert {"host web", "user u", "port 22"} <= set(listing.splitlines())
    assert nowhere.run("-V").stderr.startswith(b"pve-qga-rsh ")
    assert nowhere.run("-O", "stop", "web").succeeded().stdout == b""
    assert b"Usage: pve-qga-rsh" in nowhere.run("--help").succeeded().stdout


@pytest.mark.parametrize("vm", ["web", "small"])
def test_users(rsh: Rsh, lab: Lab, vm: str, tmp_path: Path) -> None:
    """On Debian with setpriv, on busybox with its su."""
    line = "user:x:1234:1234::/tmp/home:/bin/sh"
    rsh.run(vm, f"grep -q ^user: /etc/passwd || echo {line} >>/etc/passwd; mkdir -p /tmp/home; chown 1234:1234 /tmp/home")
    done = rsh.run("-l", "user", vm, "id -u; pwd; echo $HOME $USER $0; umask; touch here; exit 5")
    assert (done.status, done.stderr) == (5, b"")
    assert done.stdout.decode().split() == ["1234", "/tmp/home", "/tmp/home", "user", "/bin/sh", "0022"]
    assert rsh.run(f"user@{vm}", stdin=b"cd /; echo $HOME\nexit 6\n").status == 6
    assert rsh.run(f"user@{vm}", "kill -s KILL $$").status == 128 + signal.SIGKILL


def test_login_shell_reads_stdin(rsh: Rsh) -> None:
    done = rsh.run("-T", "web", stdin=b"echo one\necho two >&2\nshopt -q login_shell && echo login\nexit 3\n")
    assert (done.status, done.stdout, done.stderr) == (3, b"one\nlogin\n", b"two\n")


def test_lost_answers(rsh: Rsh, lab: Lab, clean: None) -> None:
    """Nothing is lost or doubled, and the command runs once."""
    lab.fault("exec", "cut-after", every=3)
    lab.fault("exec-status", "cut-after", every=4)
    lab.fault("file-read", "cut-before", every=5)
    data = os.urandom(3_000_000)
    done = rsh.run("web", "echo x >>/tmp/runs; cat", stdin=data)
    lab.clear_faults()
    assert done.succeeded().stdout == data
    assert lab.guest(100).run(["sh", "-c", "cat /tmp/runs; rm /tmp/runs"]).stdout == b"x\n"


def test_server_that_is_restarted(rsh: Rsh, lab: Lab, clean: None) -> None:
    """Both ways are in the middle of something when all connections end and no new one is taken for a while."""
    data = os.urandom(12_000_000)
    with ended(rsh.start("web", "echo x >>/tmp/runs; cat", stdin=subprocess.PIPE)) as process:
        assert process.stdin is not None and process.stdout is not None
        feeder = threading.Thread(target=lambda: (process.stdin.write(data), process.stdin.close()))  # type: ignore[union-attr]
        feeder.start()
        came = b""
        for stop in (2_000_000, 7_000_000):
            while len(came) < stop:
                came += process.stdout.read(65536)
            lab.close_api()
            lab.drop_connections()
            threading.Timer(1.5, lab.open_api).start()
        while more := process.stdout.read(65536):
            came += more
        feeder.join()
        assert process.wait(60) == 0
    assert came == data
    assert lab.guest(100).run(["sh", "-c", "cat /tmp/runs; rm /tmp/runs"]).stdout == b"x\n"


def test_client_that_is_killed(rsh: Rsh, lab: Lab, clean: None) -> None:
    """The guest ends its command, and removes all that was there of it, in the time that was asked for."""
    client = rsh.start("-o", "pve.abandon-after=10", "-n", "web", "echo ready; exec sleep 4321")
    assert client.stdout and client.stdout.read(6) == b"ready\n"

    def is_there() -> bool:
        left = lab.guest(100).run(["sh", "-c", "ls -d /tmp/.pve-qga-run*"]).exit_code == 0
        return left or any(process["argv"] == ["sleep", "4321"] for process in lab.guest(100).processes())

    assert is_there()
    client.kill()
    until(lambda: not is_there(), "the command is ended", 10)
