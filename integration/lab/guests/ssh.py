"""The way into a QEMU guest by SSH: its keys, made for one lab, and a port of this machine that leads there."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

from .agentlink import AgentLink
from .base import GuestError, SshAccess
from .cache import output

_HOST = "127.0.0.1"
_USER = "root"
_POLL_S = 0.1
_CONNECT_TIMEOUT_S = 10.0


class SshServer:
    """The server in one guest; its keys are kept in the guest's private directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "ssh"
        self._port = 0

    def prepare(self) -> list[str]:
        """Make keys and choose a port; returns QEMU's arguments for a network card that it leads to."""
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700)
            for name in ("key", "host_key"):
                output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self._directory / name))
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            self._port = probe.getsockname()[1]
        host_key = (self._directory / "host_key.pub").read_text()
        self.access.known_hosts.write_text(f"[{_HOST}]:{self._port} {host_key}")
        forward = f"hostfwd=tcp:{_HOST}:{self._port}-:22"
        return ["-netdev", f"user,id=net0,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net0,romfile="]

    @property
    def access(self) -> SshAccess:
        """What a client needs."""
        return SshAccess(_HOST, self._port, _USER, self._directory / "key", self._directory / "known_hosts")

    def start(self, link: AgentLink, deadline: float) -> None:
        """Start the server in the guest and wait until it answers."""
        keys = (self._directory / "key.pub").read_bytes() + (self._directory / "host_key").read_bytes()
        done = link.run(["start-sshd"], keys, timeout_s=deadline - time.monotonic())
        if done.exit_code != 0:
            raise GuestError(f"no SSH server in the guest: {done.stderr.decode('utf-8', 'replace').strip()}")
        while not self._answers():
            if time.monotonic() > deadline:
                raise GuestError("the SSH server in the guest does not answer")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((_HOST, self._port), _CONNECT_TIMEOUT_S) as server:
            return server.recv(4) == b"SSH-"
        return False
