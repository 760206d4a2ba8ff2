"""The qemu guest: a real virtual machine under software emulation, its agent on a real virtio-serial port."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Any

from .. import channel
from .agentlink import AgentLink
from .base import Guest, GuestError, RunResult, SshAccess
from .images import boot_files
from .nsinit import parse_stat
from .ssh import SshServer

_BOOT_TIMEOUT_S = 90.0
_POLL_S = 0.05
# Ends the machine when standard input ends, so that it does not outlive a lab that was killed.
_SHEPHERD = """
exec 3<&0
"$@" </dev/null &
machine=$!
{ read -r _ <&3; kill -9 $machine; } &
watch=$!
wait $machine
kill $watch
"""


class QemuGuest(Guest):
    """Runs ``qemu-system-x86_64`` without KVM, so that it needs no rights and shows a slow guest's timing."""

    def __init__(self, directory: Path, root: str, memory_mib: int, ssh: bool) -> None:
        super().__init__(directory)
        self._root = root
        self._memory_mib = memory_mib
        self._ssh = SshServer(self.directory) if ssh else None
        self._process: subprocess.Popen[bytes] | None = None
        self._link: AgentLink | None = None

    def start(self) -> None:
        files = boot_files(self._root)
        control = self.directory / "control.qga"
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-m", str(self._memory_mib), "-nodefaults", "-no-reboot",
            "-display", "none",
            "-kernel", str(files.kernel), "-initrd", str(files.initramfs),
            "-append", "console=ttyS0 quiet panic=-1", "-serial", f"file:{self.directory}/console.log",
            "-device", "virtio-serial",
            "-chardev", f"socket,path={self.socket_path},server=on,wait=off,id=qga0",
            "-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0",
            "-chardev", f"socket,path={control},server=on,wait=off,id=lab0",
            "-device", "virtserialport,chardev=lab0,name=lab.control",
            *(self._ssh.prepare() if self._ssh is not None else ()),
        ]  # fmt: skip
        deadline = time.monotonic() + _BOOT_TIMEOUT_S
        with open(self.directory / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _SHEPHERD, "sh", *command], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        self._link = self._connect(self._process, control, deadline)
        self._link.sync(deadline)
        self._await_agent(deadline)
        if self._ssh is not None:
            self._ssh.start(self._link, deadline)

    def _connect(self, process: subprocess.Popen[bytes], control: Path, deadline: float) -> AgentLink:
        """Connect once QEMU listens, which is a moment after the socket's file has appeared."""
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                if self.socket_path.exists():
                    return AgentLink(control)
            time.sleep(_POLL_S)
        raise GuestError(f"QEMU did not start; see {self.directory}/qemu.log")

    def _await_agent(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            with contextlib.suppress(channel.ChannelError):
                channel.run(str(self.socket_path), "guest-ping", timeout_s=2.0)
                return
        raise GuestError(f"the agent in {self.directory} does not answer; see console.log there")

    def stop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None
        for name in ("vm.qga", "control.qga"):
            (self.directory / name).unlink(missing_ok=True)

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        if self._link is None:
            raise GuestError("the guest is stopped")
        return self._link.run(argv, stdin, timeout_s)

    def restart_agent(self) -> None:
        self.run(["agentctl", "restart"])
        self._await_agent(time.monotonic() + _BOOT_TIMEOUT_S)

    def stop_agent(self) -> None:
        self.run(["agentctl", "stop"])

    def signal_agent(self, number: int) -> None:
        done = self.run(["sh", "-c", f"kill -{number} $(cat /run/agent.pid)"])
        if done.exit_code:
            raise GuestError(done.stderr.decode("utf-8", "replace"))

    def ssh(self) -> SshAccess:
        if self._ssh is None:
            raise self._unsupported("ssh")
        return self._ssh.access

    def processes(self) -> list[dict[str, Any]]:
        agent = self.run(["cat", "/run/agent.pid"]).stdout.strip()
        found = [
            parse_stat(line) for line in self.run(["agentctl", "list"]).stdout.decode("utf-8", "replace").splitlines()
        ]
        listed = [entry for entry in found if entry["state"] != "Z" and str(entry["pid"]).encode() != agent]
        for entry in listed:
            arguments = self.run(["cat", f"/proc/{entry['pid']}/cmdline"]).stdout
            entry["argv"] = arguments.decode("utf-8", "replace").split("\0")[:-1]
        return listed
