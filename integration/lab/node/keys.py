"""Key pairs made for one lab with OpenSSH's own programs, and an ``ssh-agent`` that holds one of them."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..guests.base import GuestError
from ..guests.cache import output

_AGENT_WAIT_S = 10.0
_POLL_S = 0.02
_RSA_BITS = "2048"


@dataclass(frozen=True)
class ClientKey:
    """A private key that a client may use; ``container`` is the form of its file."""

    file: str
    type: str
    container: str
    passphrase: str | None = None


def make_pair(path: Path, kind: str, passphrase: str = "") -> None:
    """Make a key pair in OpenSSH's own form; the public key goes to ``PATH.pub``."""
    bits = ["-b", _RSA_BITS] if kind == "rsa" else []
    output("ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "lab", "-f", str(path))


def _rewrite(source: Path, target: Path, container: str, passphrase: str) -> None:
    """Copy a key without passphrase into another form."""
    for suffix in ("", ".pub"):
        shutil.copy2(f"{source}{suffix}", f"{target}{suffix}")
    form = ["-m", "PEM"] if container == "pem" else []
    output("ssh-keygen", "-q", "-p", *form, "-P", "", "-N", passphrase, "-f", str(target))


class ClientKeys:
    """The keys that the nodes accept, one that they do not, and the agent; all in a private directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._agent: subprocess.Popen[bytes] | None = None
        self.agent_socket = directory / "agent.sock"
        self.keys: dict[str, ClientKey] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make(self) -> None:
        """Make all pairs."""
        for kind in ("ed25519", "rsa"):
            self._add(kind, kind, "openssh")
        self._add("unknown", "ed25519", "openssh")
        for source, name, kind, container, locked in (
            ("ed25519", "ed25519-passphrase", "ed25519", "openssh", True),
            ("rsa", "rsa-pem", "rsa", "pem", False),
            ("rsa", "rsa-pem-passphrase", "rsa", "pem", True),
        ):
            passphrase = f"CANARY-passphrase-{secrets.token_hex(6)}" if locked else None
            _rewrite(self._path(source), self._path(name), container, passphrase or "")
            self.keys[name] = ClientKey(str(self._path(name)), kind, container, passphrase)
        make_pair(self._path("agent"), "ed25519")

    def _add(self, name: str, kind: str, container: str) -> None:
        make_pair(self._path(name), kind)
        self.keys[name] = ClientKey(str(self._path(name)), kind, container)

    def _path(self, name: str) -> Path:
        return self._directory / f"id-{name}"

    def authorized(self) -> str:
        """The public keys that the nodes accept, one a line."""
        return "".join(self._path(name).with_suffix(".pub").read_text() for name in ("ed25519", "rsa", "agent"))

    def start_agent(self, enter: list[str], directory: str) -> None:
        """Start the agent and hand it its key, which is in no file from then on.

        ``enter`` is the beginning of a command that runs in a node, so that the agent ends with that node at the
        latest; ``directory`` is what this directory is called there.
        """
        self._agent = subprocess.Popen(
            [*enter, "ssh-agent", "-D", "-a", f"{directory}/{self.agent_socket.name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _AGENT_WAIT_S
        while not self.agent_socket.is_socket():
            if time.monotonic() > deadline or self._agent.poll() is not None:
                raise GuestError("ssh-agent did not start")
            time.sleep(_POLL_S)
        output("env", f"SSH_AUTH_SOCK={self.agent_socket}", "ssh-add", "-q", str(self._path("agent")))
        self._path("agent").unlink()

    def describe(self) -> dict[str, Any]:
        """What a client needs of them."""
        return {
            "keys": {name: asdict(key) for name, key in self.keys.items()},
            "agent_socket": str(self.agent_socket),
        }

    def stop(self) -> None:
        """Wait for the end of the agent, whose node has ended."""
        if self._agent is not None:
            self._agent.wait()
            self._agent = None
