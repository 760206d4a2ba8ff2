"""The real ``ssh`` against a lab, without any of this machine's settings."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Lab

SOCKS_CONNECT = Path(__file__).with_name("socks_connect.py")


@dataclass(frozen=True)
class Answer:
    """How a command on the node ended, as ssh tells it; 255 may be ssh's own."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Ssh:
    """Runs commands on a node; one connection each."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory

    def __call__(self, command: str, stdin: bytes = b"", **options: Any) -> Answer:
        """Run a shell command line on the node."""
        done = subprocess.run(
            self.argv(command, **options), input=stdin, capture_output=True, timeout=60, env=self._environment(options)
        )
        return Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def start(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a shell command line on the node."""
        pipe = subprocess.PIPE
        environment = self._environment(options)
        return subprocess.Popen(
            self.argv(command, **options), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment
        )

    def qm(self, *argv: str, stdin: bytes = b"", **options: Any) -> Answer:
        """Run ``qm``."""
        return self(shlex.join(["qm", *argv]), stdin, **options)

    def argv(
        self,
        command: str,
        user: str = "root",
        key: str | None = "ed25519",
        node: str = "pve1",
        password: str | None = None,
        agent: bool = False,
        method: str | None = None,
        extra: tuple[str, ...] = (),
        socks: bool = False,
    ) -> list[str]:
        """ssh's arguments. A key's passphrase is not told here: see ``password``, which answers whatever is asked."""
        told = self._lab.ssh
        argv = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={told['known_hosts']}", "-o", "ConnectTimeout=10"]
        argv += ["-o", f"BatchMode={'no' if password else 'yes'}", "-o", f"IdentitiesOnly={'no' if agent else 'yes'}"]
        argv += ["-o", "NumberOfPasswordPrompts=1", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"]
        argv += ["-i", told["keys"][key]["file"]] if key else []
        argv += ["-o", f"PreferredAuthentications={method}"] if method else []
        argv += ["-o", f"ProxyCommand={self._proxy_command()}"] if socks else []
        return [*argv, *extra, "-p", str(told["port"]), f"{user}@{told['nodes'][node]['host']}", command]

    def _proxy_command(self) -> str:
        socks = self._lab.ssh["socks"]
        words = [sys.executable, str(SOCKS_CONNECT), str(socks["port"]), socks["user"], socks["password"]]
        return f"{shlex.join(words)} %h %p"

    def _environment(self, options: dict[str, Any]) -> dict[str, str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._directory)}
        if options.get("agent"):
            environment["SSH_AUTH_SOCK"] = self._lab.ssh["agent_socket"]
        if password := options.get("password"):
            program = self._directory / "askpass"
            program.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password)}\n")
            program.chmod(0o700)
            environment |= {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}
        return environment
