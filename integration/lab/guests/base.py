"""What every kind of guest offers to the lab."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .traffic import Traffic


class GuestError(Exception):
    """The guest cannot do what was asked of it, or could not be started."""


@dataclass(frozen=True)
class RunResult:
    """How a command run inside a guest, outside the API, ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class SshAccess:
    """How to reach a guest's SSH server: with the private key ``key``, its own key being in ``known_hosts``."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path


class Guest(ABC):
    """A virtual machine's inside: something behind an agent socket, or nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.traffic = Traffic()
        """Of guests with a relay in front of their agent: all but those of kind ``qemu``."""
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def socket_path(self) -> Path:
        """The agent socket that the node connects to."""
        return self.directory / "vm.qga"

    @abstractmethod
    def start(self) -> None:
        """Bring the guest up; return when its agent answers, or at once where it never will."""

    @abstractmethod
    def stop(self) -> None:
        """End the guest and every process in it."""

    def restart_agent(self) -> None:
        """Restart the agent, which ends its children too."""
        raise self._unsupported("restart_agent")

    def stop_agent(self) -> None:
        """End the agent and its children; the VM stays up."""
        raise self._unsupported("stop_agent")

    def signal_agent(self, number: int) -> None:
        """Send a signal to the agent process."""
        raise self._unsupported("signal_agent")

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        """Run a command inside the guest without the API."""
        raise self._unsupported("run")

    def processes(self) -> list[dict[str, Any]]:
        """List what runs in the guest besides its init and its agent."""
        raise self._unsupported("processes")

    def path(self, path: str) -> Path:
        """Where the lab's machine sees a path of the guest."""
        raise self._unsupported("path")

    def ssh(self) -> SshAccess:
        """How to reach the guest's SSH server."""
        raise self._unsupported("ssh")

    def _unsupported(self, operation: str) -> GuestError:
        return GuestError(f"{type(self).__name__} has no {operation}")
