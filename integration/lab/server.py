"""The lab as a whole: guests, cluster, endpoint and the description that clients get."""

from __future__ import annotations

import base64
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import pace, spec
from .api.method import Environment
from .auth import ALL_PRIVILEGES, Authority, Token, User
from .cluster import VM, Cluster
from .faults import FaultPlan
from .gateway import Gateway, Settings
from .guests.namespace import can_isolate
from .node.cluster_ssh import ClusterSsh, missing_programs
from .observe import Observer
from .profiles import PROFILES
from .proxy import Proxy
from .record import Recorder
from .tls import Identity

HOST = "127.0.0.1"
# The address of a unix socket has room for 107 bytes.
_MAX_DIRECTORY_CHARS = 80
_EVERYTHING = {"/": ALL_PRIVILEGES}


def canary_secret() -> str:
    """A token secret shaped like PVE's (a UUID) that can be searched for in logs and dumps."""
    digits = secrets.token_hex(12)
    return f"CANARY{digits[:2]}-{digits[2:6]}-4{digits[6:9]}-8{digits[9:12]}-{digits[12:24]}"


class LabServer:
    """Builds and runs everything; the control side and the command line work through it."""

    def __init__(
        self, directory: Path, profile: str, vms: list[str], nodes: list[str], port: int, ssh: bool = False
    ) -> None:
        if len(str(directory)) > _MAX_DIRECTORY_CHARS:
            raise spec.SpecError(f"{directory} is too long a path for the sockets in it")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        specs = [spec.parse(text) for text in vms]
        isolate = can_isolate()
        if not isolate:
            print("lab: no namespaces here (not root, or no unshare): socket guests run unprotected", file=sys.stderr)
        if ssh and not isolate:
            raise spec.SpecError("SSH to the nodes needs namespaces: run the lab as root, with unshare")
        if ssh and (missing := missing_programs()):
            raise spec.SpecError(f"SSH to the nodes needs {', '.join(missing)}: see lab/install.sh")
        names = nodes + [s.node for s in specs]
        self.cluster = Cluster(list(dict.fromkeys(names)), [spec.build(s, directory, isolate) for s in specs])
        self.authority = Authority()
        self.observer = Observer()
        self.recorder = Recorder()
        self.faults = FaultPlan()
        self.settings = Settings(PROFILES[profile])
        self._identity = Identity(directory, self.cluster.local_node)
        gateway = Gateway(Environment(self.cluster, self.authority, self.observer), self.settings, self.faults)
        context = self._identity.server_context()
        self.proxy = Proxy(gateway, self.observer, self.recorder, context, HOST, port)
        self.ssh = ClusterSsh(self.cluster, directory) if ssh else None
        self._add_credentials()

    def _add_credentials(self) -> None:
        self.authority.add_token(Token("root@pam!lab", canary_secret(), _EVERYTHING))
        self.authority.add_user(User("lab@pve", f"CANARY-password-{secrets.token_hex(6)}", _EVERYTHING))
        totp_secret = base64.b32encode(secrets.token_bytes(20)).decode()
        self.authority.add_user(User("totp@pve", f"CANARY-password-{secrets.token_hex(6)}", _EVERYTHING, totp_secret))

    def start(self) -> None:
        """Start all guests at once, then the endpoint."""
        wanted = [vm for vm in self.cluster.vms() if vm.kind != "stopped"]
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(VM.start, wanted))
        if self.ssh is not None:
            self.ssh.start()
        self.proxy.start()

    def stop(self) -> None:
        """End the endpoint and every guest."""
        self.proxy.stop()
        if self.ssh is not None:
            self.ssh.stop()
        self.cluster.close()

    def vms_changed(self) -> None:
        """Bring the nodes in line with where the VMs are now."""
        if self.ssh is not None:
            self.ssh.place_sockets()

    def set_pace(self, enabled: bool) -> None:
        """Switch the imitation of PVE's own slowness."""
        pace.set_pace(enabled)

    def describe(self) -> dict[str, Any]:
        """Everything a client needs."""
        token = self.authority.tokens()[0]
        return {
            "host": HOST, "port": self.proxy.port, "url": f"https://{HOST}:{self.proxy.port}",
            "fingerprint": self._identity.fingerprint(), "ca_file": str(self._identity.ca_file),
            "token_id": token.tokenid, "token_secret": token.secret,
            "users": [
                {"user": user.userid, "password": user.password, "totp_secret": user.totp_secret}
                for user in self.authority.users()
            ],
            "nodes": self.cluster.nodes, "vms": [vm.summary() for vm in self.cluster.vms()],
            "profile": self.settings.profile.name, "dir": str(self.directory),
            **({} if self.ssh is None else {"ssh": self.ssh.describe()}),
        }  # fmt: skip
