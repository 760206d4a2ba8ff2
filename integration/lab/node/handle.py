"""``NodeHandle``: steers one node of a lab and makes things go wrong there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..guests.base import RunResult

if TYPE_CHECKING:
    from ..client import Lab


@dataclass(frozen=True)
class NodeHandle:
    """Acts on a node without SSH. ``name`` None is the node whose API clients talk to."""

    lab: Lab
    name: str | None = None

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        """Run a command as root on the node and wait for its end."""
        done = self._ask("run", argv=argv, stdin=base64.b64encode(stdin).decode(), timeout_s=timeout_s)
        return RunResult(done["exit_code"], base64.b64decode(done["stdout"]), base64.b64decode(done["stderr"]))

    def connections(self) -> int:
        """How many clients are connected to the SSH server."""
        return int(self._ask("connections"))

    def log(self) -> str:
        """The SSH server's log: who logged in and how, channels opened."""
        return str(self._ask("log"))

    def cut(self) -> None:
        """Kill all SSH sessions at once; what they started on the node is left to itself."""
        self._ask("cut")

    def freeze(self) -> None:
        """Stop all SSH sessions where they stand: the connection stays, nothing answers."""
        self._ask("freeze")

    def unfreeze(self) -> None:
        """Let frozen sessions go on."""
        self._ask("unfreeze")

    def stop_sshd(self) -> None:
        """Refuse new SSH connections; sessions go on."""
        self._ask("stop_sshd")

    def start_sshd(self) -> None:
        """Take SSH connections again."""
        self._ask("start_sshd")

    def change_host_keys(self) -> list[str]:
        """Have other host keys from the next connection on; returns the new lines of ``known_hosts``."""
        return list(self._ask("change_host_keys"))

    def hide(self, path: str) -> None:
        """Take a file away: ``/usr/sbin/qm``, ``/usr/bin/perl``, ``/run/qemu-server/100.qga``, ..."""
        self._ask("hide", path=path)

    def restore(self, path: str) -> None:
        """Bring back what was hidden."""
        self._ask("restore", path=path)

    def set_sudoers(self, rules: list[str] | None = None) -> None:
        """Replace sudo's rules by these lines; without any, bring the first ones back."""
        self._ask("set_sudoers", rules=rules)

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return self.lab.ask(f"node_{operation}", node=self.name, **arguments)
