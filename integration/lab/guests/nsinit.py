"""The first process of a socket guest: builds the guest's root, runs the agent, reaps what it leaves.

Runs as process 1 of a private mount and pid namespace, so that the kernel ends every process of the guest
when this one ends, and it ends when its standard input does: nothing outlives the lab. The root is an overlay
over the machine's own root (or a busybox tree), so that nothing the guest writes reaches the machine.

Without a namespace (``isolate`` false) the agent runs on the machine itself; then its descendants are ended
one by one.

Standalone: run by path with a JSON object as its argument, it imports nothing of the lab. It reads one JSON
command per line and answers each with one JSON line.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_PR_SET_CHILD_SUBREAPER = 36
_FITHAW = 0xC0045878
_DISK_BYTES = 8 * 1024 * 1024
_TOOL_DIRS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_AGENT_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_BUSYBOX_ENV = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "HOME": "/"}
_FREEZE = "guest-fsfreeze-freeze,guest-fsfreeze-freeze-list"
_HARMFUL = (
    "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-time,"
    "guest-set-vcpus,guest-set-memory-blocks,guest-set-user-password"
)

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2), creating the mount point."""
    target.mkdir(parents=True, exist_ok=True)
    if _libc.mount(source.encode(), bytes(target), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"mount {kind} on {target}")


def build_root(config: dict[str, Any]) -> Path:
    """Mount the guest's root file system and return where it is."""
    base = Path(config["mount_point"])
    mount("tmpfs", base, "tmpfs")
    root = base / "root"
    if config["root"] == "busybox":
        shutil.copytree(config["tree"], root, symlinks=True)
    else:
        for name in ("upper", "work"):
            (base / name).mkdir()
        mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={base}/upper,workdir={base}/work")
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    mount("/dev", root / "dev", "", _MS_BIND | _MS_REC)
    for name in ("tmp", "var/tmp", "run"):
        mount("tmpfs", root / name, "tmpfs", 0, "mode=1777")
    if config["shell"] == "bash":
        shell = root / "usr/bin/sh"
        shell.unlink()
        shell.symlink_to("bash")
    for tool in config["hide"]:
        for directory in _TOOL_DIRS:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (root / directory / tool).unlink()
    for path, size in config["tmpfs"]:
        mount("tmpfs", root / path.lstrip("/"), "tmpfs", 0, f"mode=1777,size={size}")
    for path in config["read_only"]:
        target = root / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        mount(str(target), target, "", _MS_BIND)
        mount("", target, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    if config["disk"]:
        mount_disk(base / "disk.img", root / config["disk"].lstrip("/"))
    return root


def mount_disk(image: Path, target: Path) -> None:
    """Mount a small real file system, without which the agent has nothing to freeze."""
    target.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(target)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(0, done.stderr.strip(), command[0])


def has_foreign_disks(own: str) -> bool:
    """Whether freezing would stop a file system of the machine: the agent freezes mounts of a device path."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        split = [line.split(" - ") for line in mounts]
    return any(kind.split()[1].startswith("/") and place.split()[4] != own for place, kind in split)


def thaw(path: str) -> None:
    """Thaw a disk, since a frozen one could never be unmounted."""
    disk = os.open(path, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.ioctl(disk, _FITHAW, 0)
    os.close(disk)


class Supervisor:
    """Starts, restarts and ends the one agent of this guest."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._state_dir = os.open(config["state_dir"], os.O_DIRECTORY | os.O_CLOEXEC)
        self._log = os.open(
            "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644, dir_fd=self._state_dir
        )
        self._isolated = bool(config["isolate"])
        self._agent_pid = 0
        if self._isolated:
            os.chroot(build_root(config))
            os.chdir("/")
        else:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        blocked = [*config["block"], _HARMFUL]
        if not self._isolated or has_foreign_disks(config["disk"]):
            blocked.append(_FREEZE)
        self._argv = [
            "qemu-ga",
            "--method=unix-listen",
            "--path=unused",
            "--statedir=/run",
            f"--block-rpcs={','.join(blocked)}",
        ]

    def start(self) -> int:
        """Start the agent; it gets its listening socket as from systemd, so that no path in the root is needed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink("qga.sock", dir_fd=self._state_dir)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{self._state_dir}/qga.sock")
        listener.listen(1)
        pid = os.fork()
        if pid == 0:
            self._exec_agent(listener.fileno())
        listener.close()
        self._agent_pid = pid
        return pid

    def _exec_agent(self, listener: int) -> None:
        """The child's side of start: a session of its own, a clean environment, three standard descriptors."""
        try:
            os.setsid()
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.umask(0o022)
            os.chdir("/")
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(self._log, 1)
            os.dup2(self._log, 2)
            os.dup2(listener, 3)
            env = _BUSYBOX_ENV if self._config["root"] == "busybox" else _AGENT_ENV
            env = {**env, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
            os.execve("/usr/sbin/qemu-ga", self._argv, env)
        except (OSError, ValueError) as error:
            os.write(2, f"cannot start the agent: {error}\n".encode())
        finally:
            os._exit(127)

    def stop(self) -> None:
        """End the agent and every other process of the guest, as the end of a systemd service does."""
        while True:
            victims = self._descendants()
            if not victims:
                break
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.reap(block=True)
        self._agent_pid = 0
        if self._isolated and self._config["disk"]:
            thaw(self._config["disk"])

    def _descendants(self) -> list[int]:
        return [entry["pid"] for entry in self.processes(everything=True)]

    def processes(self, everything: bool = False) -> list[dict[str, Any]]:
        """The guest's processes except this one and, unless asked for, the agent and zombies."""
        table = {entry["pid"]: entry for entry in map(_read_process, os.listdir("/proc")) if entry}
        me, found = os.getpid(), []
        for pid, entry in table.items():
            ancestors, parent = set(), entry["ppid"]
            while parent in table and parent not in ancestors:
                ancestors.add(parent)
                parent = table[parent]["ppid"]
            mine = pid != me and (self._isolated or me in ancestors)
            if mine and (everything or (pid != self._agent_pid and entry["state"] != "Z")):
                found.append(entry)
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the agent itself."""
        if self._agent_pid:
            os.kill(self._agent_pid, number)

    def reap(self, block: bool = False) -> None:
        """Collect what has ended, orphans of the guest included."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, 0 if block else os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._agent_pid:
                    self._agent_pid = 0
                block = False

    @property
    def agent_pid(self) -> int:
        return self._agent_pid


def parse_stat(text: str) -> dict[str, Any]:
    """What a line of ``/proc/PID/stat`` says; the command in it may hold spaces and parentheses."""
    command, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    pid, (ppid, pgid, sid) = int(text.split(" ", 1)[0]), map(int, rest[1:4])
    return {"pid": pid, "state": rest[0], "ppid": ppid, "pgid": pgid, "sid": sid, "comm": command}


def _read_process(name: str) -> dict[str, Any] | None:
    if not name.isdigit():
        return None
    try:
        with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
        with open(f"/proc/{name}/cmdline", "rb") as file:
            argv = file.read().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return None
    return {**parse_stat(text), "argv": argv}


def _answer(supervisor: Supervisor, request: dict[str, Any]) -> dict[str, Any]:
    match request["op"]:
        case "start":
            return {"pid": supervisor.agent_pid or supervisor.start()}
        case "stop":
            supervisor.stop()
            return {}
        case "restart":
            supervisor.stop()
            return {"pid": supervisor.start()}
        case "signal":
            supervisor.signal(request["number"])
            return {}
        case "processes":
            return {"processes": supervisor.processes(), "agent_pid": supervisor.agent_pid}
    return {"error": f"unknown operation {request['op']}"}


def main() -> None:
    """Serve commands until standard input ends."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = Supervisor(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    pending = b""
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            supervisor.reap()
        if 0 not in readable:
            continue
        data = os.read(0, 65536)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            try:
                answer = _answer(supervisor, json.loads(line))
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    supervisor.stop()


if __name__ == "__main__":
    main()
