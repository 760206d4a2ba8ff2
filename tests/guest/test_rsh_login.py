"""shim/rsh/guest/login.sh: becoming a user, finding his shell and the SFTP server."""
import os
import pwd
import shlex
import shutil
import subprocess

import pytest

from conftest import HIDES_TOOLS, ROOT

SCRIPT = (ROOT / "shim/rsh/guest/login.sh").read_text()
USER = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody")


def start(guest, command="", kind="command", user="", shell="", **environment):
    """Starts the script as /bin/sh of the guest would, with its variables as login.c sets them."""
    given = {"user": user, "kind": kind, "command": command, "shell": shell}
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items())
    program = shutil.which(guest.shell[0])
    return subprocess.Popen([program, *guest.shell[1:], "-c", head + SCRIPT, "sh"], cwd="/",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={"SHELL": "/bin/dash", **guest.environment, **environment})


def login(guest, command="", stdin=b"", **more):
    """Runs it to its end."""
    with start(guest, command, **more) as process:
        out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess([], process.returncode, out, err)


def give(guest, **programs):
    """Puts programs, by name and as shell text, in front of the others."""
    path = guest.folder / "given"
    path.mkdir(exist_ok=True)
    for name, text in programs.items():
        (path / name).write_text(f"#!/bin/dash\n{text}\n")
        (path / name).chmod(0o755)
    guest.environment["PATH"] = f"{path}:{guest.environment['PATH']}"


@pytest.fixture
def home(guest):
    """The home of a user who is nobody otherwise, and has a login shell."""
    guest.folder.chmod(0o755)
    for parent in guest.folder.parents:
        if parent.owner() != "root" or parent.stat().st_mode & 0o001:
            continue
        parent.chmod(parent.stat().st_mode | 0o001)
    path = guest.folder / "a home"
    path.mkdir()
    path.chmod(0o755)
    nobody = pwd.getpwnam(USER)
    give(guest, getent=f"echo '{USER}:x:{nobody.pw_uid}:{nobody.pw_gid}::{path}:/bin/dash'")
    return path


FACTS = 'echo "$(id -u) $(id -g) $USER $LOGNAME $SHELL $0"; echo "$HOME"; pwd; echo "$PATH"'


def expect_nobody(done, home):
    nobody = pwd.getpwnam(USER)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        f"{nobody.pw_uid} {nobody.pw_gid} {USER} {USER} /bin/dash /bin/dash", str(home), str(home),
        "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"]


def test_the_agents_user(guest):
    done = login(guest, "echo $0 $HOME; echo 'x  y' >&2; exit 7", HOME="/root")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"/bin/dash /root\n", b"x  y\n")
    assert login(guest, "echo $0", shell="/bin/sh").stdout == b"/bin/sh\n"


def test_a_user(guest, home):
    expect_nobody(login(guest, FACTS, user=USER), home)


@HIDES_TOOLS
@pytest.mark.parametrize("tool", ["runuser", "su", "busybox su"])
def test_other_ways_to_become_one(guest, home, tool):
    path = guest.environment["PATH"]
    guest.hide()
    words = tool.split()
    if len(words) == 1:
        (guest.folder / "bin" / tool).symlink_to(shutil.which(tool, path=path))
    else:
        give(guest, su='exec busybox su "$@"')
    give(guest)
    expect_nobody(login(guest, FACTS, user=USER), home)
    done = login(guest, "kill -s KILL $$", user=USER)
    assert done.returncode in (128 + 9, -9)


@HIDES_TOOLS
def test_no_way_to_become_one(guest, home):
    guest.hide()
    give(guest)
    done = login(guest, "id", user=USER)
    assert done.returncode == 255 and b"setpriv" in done.stderr and done.stderr.count(b"\n") == 1


def test_signals_and_stdin_reach_the_command_itself(guest, home):
    # busybox finds its own setpriv first, which cannot do it.
    killed = 128 + 15 if guest.name == "ash" else -15
    assert login(guest, "kill -s TERM $$", user=USER).returncode == killed
    data = os.urandom(5000)
    assert login(guest, "cat", user=USER, stdin=data).stdout == data


def test_root_by_name(guest):
    done = login(guest, "id -u; echo $PATH", user="root")
    assert done.stdout.decode().split() == ["0", guest.environment["PATH"]]


@HIDES_TOOLS
def test_users_of_passwd_without_getent(guest):
    path = guest.environment["PATH"]
    guest.hide()
    for tool in ("setpriv", "true"):
        (guest.folder / "bin" / tool).symlink_to(shutil.which(tool, path=path))
    done = login(guest, "id -u", user=USER, shell="/bin/sh")
    assert done.stdout.decode().split() == [str(pwd.getpwnam(USER).pw_uid)]


@pytest.mark.parametrize("user", ["nosuchuser", "a b", "*", "$(id)", "'"])
def test_unknown_users(guest, user):
    done = login(guest, "id", user=user)
    assert done.returncode == 255
    assert done.stderr.decode() == f"pve-qga-rsh: the guest has no user '{user}'\n"


def test_a_login_shell(guest, home):
    (home / ".profile").write_text("PROFILE=read\n")
    done = login(guest, kind="shell", user=USER, stdin=b"echo $PROFILE $USER\npwd\n")
    assert done.stdout.decode().splitlines() == [f"read {USER}", str(home)]
    done = login(guest, kind="shell", stdin=b"echo $PROFILE $USER\nexit 3\n", HOME=str(home))
    assert (done.returncode, done.stdout.strip()) == (3, b"read")


def test_a_home_that_is_not_there(guest, home):
    home.rmdir()
    assert login(guest, "pwd", user=USER).stdout == b"/\n"


def test_environment_goes_along(guest, home):
    done = login(guest, "echo $LC_X $MAIL", user=USER, LC_X="a  b", MAIL="/root")
    assert done.stdout == b"a b\n"


# Nothing is asked of it: SSH_FXP_INIT is answered with SSH_FXP_VERSION.
INIT = b"\0\0\0\x05\x01\0\0\0\x03"


@pytest.mark.parametrize("user", ["", USER])
def test_sftp(guest, home, user):
    with start(guest, "sftp", kind="sftp", user=user) as process:
        process.stdin.write(INIT)
        process.stdin.flush()
        assert process.stdout.read(9)[4:] == b"\x02\0\0\0\x03"
