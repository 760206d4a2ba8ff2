"""The guest scripts under each shell that guests have. Needs only Python's library and pytest."""
import base64
import gzip
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "ash": ["busybox", "ash"]}

# What guests may have; a test hides some of it.
TOOLS = """base64 basename cat chmod chown cksum cp cut dd env fallocate find grep gzip head id
kill ln ls mkdir mkfifo mv openssl perl python3 readlink rm sed setsid sh sha256sum sleep stat tail
tar touch tr wc""".split()

NAMES = ["plain", "-n", "a b", "new\nline\n", b"\xff\x80", "'\"\\$(id)", "\u00e4", "*", "end\\"]

LAUNCHERS = {"job", "stream"}
STREAM_SCRIPTS = {"stream", "pump"}
FILE_SCRIPTS = {"put", "open", "sum", "pack", "adopt"}


def script_text(name):
    """A script as exec and filexfer send it."""
    parts = ["exec/guest/common.sh"]
    if name in LAUNCHERS:
        parts.append("exec/guest/launch.sh")
    if name in LAUNCHERS or name in STREAM_SCRIPTS:
        parts.append("exec/guest/text.sh")
    if name in STREAM_SCRIPTS:
        parts.append("exec/guest/stream_common.sh")
    tree = name.startswith("tree_")
    if name in FILE_SCRIPTS or tree:
        parts.append("filexfer/guest/file_common.sh")
    if tree:
        parts.append("filexfer/guest/tree_common.sh")
    folders = ("exec/guest", "filexfer/guest", "shim/rsh/guest")
    parts.append(next(f"{folder}/{name}.sh" for folder in folders if (ROOT / folder / f"{name}.sh").exists()))
    return "".join((ROOT / part).read_text() for part in parts)


def escape(data):
    """For printf %b."""
    if isinstance(data, str):
        data = os.fsencode(data)
    return "".join(chr(c) if 0x20 <= c <= 0x7E and c != 0x5C else f"\\0{c:03o}" for c in data)


def base64_items(data, size=3000):
    """Items "b TEXT"."""
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    return [word for piece in pieces for word in ("b", base64.b64encode(piece).decode())]


def gzip_items(data, size=3000):
    """Items "z TEXT"."""
    packed = gzip.compress(data, 1)
    return ["z" if word == "b" else word for word in base64_items(packed, size)]


def cksum(data):
    """As the scripts write it: "CRC-BYTES"."""
    crc, size, *_ = subprocess.run(["cksum"], input=data, capture_output=True,
                                   check=True).stdout.split()
    return f"{crc.decode()}-{size.decode()}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Answer:
    def __init__(self, out, err, status):
        match = re.search(rb"\npq1 ([^\n]*)\n\Z", out)
        assert match, f"no trailer in {out[-200:]!r} (status {status}, {err[-500:]!r})"
        self.out = out[:match.start()]
        self.err = err
        self.status = status
        self.words = match[1].decode().split(" ")
        self.state = self.words[0]
        self.fields = [word for word in self.words[1:] if "=" not in word]
        self.named = dict(word.split("=", 1) for word in self.words[1:] if "=" in word)


class Call:
    """A script that runs."""

    def __init__(self, process):
        self.process = process

    def answer(self):
        out, err = self.process.communicate(timeout=30)
        return Answer(out, err, self.process.returncode)

# For tests that hide tools: busybox has its own inside.
HIDES_TOOLS = pytest.mark.parametrize("guest", ["dash", "bash"], indirect=True)


class Guest:
    def __init__(self, shell, folder):
        self.shell = SHELLS[shell]
        self.name = shell
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.dir = self.tmp / ".pve-qga-run-test"
        self.ran = folder / "ran"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.calls = []

    def hide(self, *tools):
        """Leaves the guest without some tools."""
        path = self.folder / "bin"
        path.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool, path=self.environment["PATH"])
            if found and tool not in tools:
                (path / tool).symlink_to(found)
        for shell in ("dash", "bash", "busybox"):
            if shutil.which(shell):
                (path / shell).symlink_to(shutil.which(shell))
        self.environment["PATH"] = str(path)

    def start(self, script, *arguments, stdin=b"", **environment):
        # A session of its own, so that nothing we test can signal us.
        program = shutil.which(self.shell[0])
        process = subprocess.Popen(
            [program, *self.shell[1:], "-c", script_text(script), "sh", *map(str, arguments)],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd="/", env={**self.environment, **environment},
            start_new_session=True, umask=0o022)
        if stdin:
            process.stdin.write(stdin)
            process.stdin.flush()
        self.calls.append(process)
        return Call(process)

    def run(self, script, *arguments, **more):
        return self.start(script, *arguments, **more).answer()

    def start_job(self, *items, number=1, retry="-", flags="", done="-", limit=65536, **more):
        return self.start("job", self.dir, number, retry, flags, done, limit, *items, **more)

    def job(self, *items, **more):
        return self.start_job(*items, **more).answer()

    def sh(self, command, *items, **more):
        return self.job("c", escape(command), *items, **more)

    def file(self, name):
        return self.dir / name

    def fifo(self, name):
        path = self.folder / name
        if not path.exists():
            os.mkfifo(path)
        return path

    def times_run(self):
        return len(self.ran.read_text().split()) if self.ran.exists() else 0

    def processes(self):
        """Pids of what the calls have started and that still runs."""
        sessions = {call.pid for call in self.calls}
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                text = (entry / "stat").read_text()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            state, _, _, session = text.rpartition(")")[2].split()[:4]
            ours = int(session) in sessions or os.fsencode(str(self.folder)) in environment
            if ours and state != "Z":
                found.append(int(entry.name))
        return found

    def name_of(self, pid):
        """A process's name, or nothing if it is gone."""
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    def wait_for(self, condition):
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.005)

    def must_be_idle(self):
        self.wait_for(lambda: not self.processes())

    def stop(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for call in self.calls:
            if call.returncode is None:
                call.kill()
            call.communicate()


@pytest.fixture(params=SHELLS)
def guest(request, tmp_path):
    if shutil.which(SHELLS[request.param][0]) is None:
        pytest.skip(f"no {request.param} here")
    guest = Guest(request.param, tmp_path)
    # Marks all processes of this test.
    guest.environment["PQ_TEST_FOLDER"] = str(tmp_path)
    yield guest
    guest.stop()


@pytest.fixture
def small_disk(guest):
    """A file system of 100 KiB at guest.dir's place."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "pq-test", guest.tmp],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a tmpfs")
    yield guest.tmp
    guest.stop()
    subprocess.run(["umount", "-l", guest.tmp], check=True)
