"""The first process of a node: builds the node's root, runs its SSH server, reaps what that leaves.

It is process 1 of private mount, pid and host name namespaces, so that the kernel ends every process of the node when
this one ends, and it ends when its standard input does. The root is an overlay over the machine's own: users, sudo's
rules, host keys and programs of the node are nowhere else. The network is the machine's.

It reads its configuration, then commands, as one line of JSON each, and answers each with one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ..guests.nsinit import mount
from . import etc

_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_SSHD = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/lab_sshd_config"]
_SSHD_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_START_TIMEOUT_S = 20.0
_POLL_S = 0.02
_PROGRAM = """\
#!/bin/sh
if [ "$(id -u)" != 0 ]; then
    echo 'please run as root' >&2
    exit 255
fi
exec '{python}' -IBS -c 'import sys
sys.path.insert(0, "/usr/lib/lab")
from lab.node.{module} import main
sys.exit(main("{node}"))' "$@"
"""
_SHELL_FILES = (".bashrc", ".profile", ".bash_profile", ".bash_login", ".bash_aliases")
_PROGRAMS = {"usr/sbin/qm": "qm", "usr/bin/pvesh": "pvesh"}


def build_root(config: dict[str, Any]) -> Path:
    """Mount the node's root file system and return where it is."""
    base = Path(config["mount_point"])
    mount("tmpfs", base, "tmpfs")
    root = base / "root"
    for name in ("upper", "work"):
        (base / name).mkdir()
    mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={base}/upper,workdir={base}/work")
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    mount("/dev", root / "dev", "", _MS_BIND | _MS_REC)
    for name, mode in (("tmp", "1777"), ("var/tmp", "1777"), ("run", "0755")):
        mount("tmpfs", root / name, "tmpfs", 0, f"mode={mode}")
    (root / "run/sshd").mkdir(mode=0o755)
    for source, target in ((config["lab_dir"], "run/lab"), (config["sockets"], "run/qemu-server")):
        mount(source, root / target, "", _MS_BIND)
    library = root / "usr/lib/lab"
    mount(config["library"], library, "", _MS_BIND)
    mount("", library, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    shutil.rmtree(root / "root/.ssh", ignore_errors=True)
    for name in _SHELL_FILES:
        (root / "root" / name).unlink(missing_ok=True)
    etc.write(root, config)
    install_host_keys(root, Path(config["host_keys"]))
    for path, module in _PROGRAMS.items():
        program = root / path
        program.unlink(missing_ok=True)
        # Not a virtual environment's, which may lie where a node has a directory of its own.
        python = os.path.realpath(sys.executable)
        program.write_text(_PROGRAM.format(python=python, module=module, node=config["node"]))
        program.chmod(0o755)
    return root


def install_host_keys(root: Path, source: Path) -> None:
    """Give the server the host keys of a directory."""
    for key in source.iterdir():
        target = root / "etc/ssh" / key.name
        shutil.copyfile(key, target)
        target.chmod(0o644 if key.suffix == ".pub" else 0o600)


class Supervisor:
    """Starts and stops the one SSH server, and acts on its sessions."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._address = (config["address"], config["port"])
        self._host_keys = Path("/run/lab", Path(config["host_keys"]).relative_to(config["lab_dir"]))
        self._log = os.open(config["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._listener = 0
        os.chroot(build_root(config))
        os.chdir("/")
        socket.sethostname(config["node"])

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self._listener:
            return
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._log, 1),
            (os.POSIX_SPAWN_DUP2, self._log, 2),
        ]
        default = [signal.SIGINT, signal.SIGPIPE, signal.SIGHUP]
        pid = os.posix_spawn(_SSHD[0], _SSHD, _SSHD_ENV, file_actions=actions, setsid=True, setsigdef=default)
        self._listener = pid
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            self.reap()
            if not self._listener or time.monotonic() > deadline:
                raise OSError(0, "the SSH server did not start; it said why in sshd.log")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self._address, 1.0) as server:
            return server.recv(4) == b"SSH-"
        return False

    def stop(self) -> None:
        """Stop listening; sessions go on, as when systemd stops the service."""
        if self._listener:
            os.kill(self._listener, signal.SIGKILL)
            while self._listener:
                self.reap(block=True)

    def rekey(self) -> None:
        """Take the host keys that are in the lab's directory now, from the next connection on."""
        listening = bool(self._listener)
        self.stop()
        install_host_keys(Path("/"), self._host_keys)
        if listening:
            self.start()

    def sessions(self) -> list[int]:
        """The processes of the server besides its listener; a session has one or two of them."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != self._listener:
                with contextlib.suppress(OSError):
                    comm = Path("/proc", name, "comm").read_text(encoding="utf-8").strip()
                    if comm in ("sshd", "sshd-session", "sshd-auth"):
                        found.append(int(name))
        return found

    def connections(self) -> int:
        """How many clients are connected."""
        ours = set(self.sessions())
        return sum(_parent(pid) not in ours for pid in ours)

    def signal(self, number: int) -> None:
        """Send a signal to every process of every session; what they started is not touched."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def reap(self, block: bool = False) -> None:
        """Collect what has ended, orphans of the node included."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, 0 if block else os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._listener:
                    self._listener = 0
                    block = False


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text[text.rindex(")") + 2 :].split()[1])
    return 0


def _answer(supervisor: Supervisor, request: dict[str, Any]) -> dict[str, Any]:
    match request["op"]:
        case "start":
            supervisor.start()
        case "stop":
            supervisor.stop()
        case "rekey":
            supervisor.rekey()
        case "signal":
            supervisor.signal(request["number"])
        case "connections":
            return {"connections": supervisor.connections()}
        case _:
            return {"error": f"unknown operation {request['op']}"}
    return {}


def main() -> None:
    """Serve commands until standard input ends."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    supervisor: Supervisor | None = None
    pending = b""
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            if supervisor is not None:
                supervisor.reap()
        if 0 not in readable:
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            try:
                request = json.loads(line)
                if supervisor is None:
                    supervisor, answer = Supervisor(request), {}
                else:
                    answer = _answer(supervisor, request)
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
