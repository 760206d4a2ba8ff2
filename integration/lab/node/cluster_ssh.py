"""All nodes of a lab and what a client needs to reach them by SSH."""

from __future__ import annotations

import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..cluster import Cluster, node_address
from ..guests.base import GuestError
from ..guests.cache import output
from ..socks import SocksProxy
from .etc import ACCOUNTS
from .keys import ClientKeys
from .node import Node, NodePlace

DEFAULT_QM_START_S = 0.7
_PROGRAMS = ("/usr/sbin/sshd", "/usr/bin/sudo", "/usr/bin/ssh-agent", "/usr/bin/perl")


def missing_programs() -> list[str]:
    """What the nodes need and this machine lacks."""
    return [path for path in _PROGRAMS if not Path(path).exists()]


class ClusterSsh:
    """The SSH side of the cluster: one server per node, all on the same port of different loopback addresses."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.qm_start_s = DEFAULT_QM_START_S
        self._cluster = cluster
        self._keys = ClientKeys(directory / "ssh")
        self._passwords = {account.name: f"CANARY-password-{secrets.token_hex(6)}" for account in ACCOUNTS}
        self._known_hosts = directory / "ssh" / "known_hosts"
        addresses = {name: node_address(index) for index, name in enumerate(cluster.nodes)}
        self.port = _free_port(list(addresses.values()))
        self._nodes = {
            name: Node(NodePlace(name, address, self.port, directory)) for name, address in addresses.items()
        }
        self.socks = SocksProxy(addresses)

    def node(self, name: str | None) -> Node:
        """A node by name; the local one unless told."""
        name = name or self._cluster.local_node
        if name not in self._nodes:
            raise GuestError(f"the lab has no node {name}")
        return self._nodes[name]

    def start(self) -> None:
        """Make the keys and bring all nodes up at once."""
        self._keys.make()
        hashes = {name: _hash(password) for name, password in self._passwords.items()}
        hosts = [(node.place.name, node.place.address) for node in self._nodes.values()]
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda node: node.start(hashes, self._keys.authorized(), hosts), self._nodes.values()))
        self._keys.start_agent(self.node(None).enter(), "/run/lab/ssh")
        lines = [line for node in self._nodes.values() for line in node.known_hosts()]
        self._known_hosts.write_text("".join(f"{line}\n" for line in lines))
        self.place_sockets()
        self.socks.start()

    def stop(self) -> None:
        self.socks.stop()
        for node in self._nodes.values():
            node.stop()
        self._keys.stop()

    def place_sockets(self) -> None:
        """Bring every node's ``/run/qemu-server`` in line with where the VMs are."""
        for node in self._nodes.values():
            node.place_sockets(self._cluster.vms())

    def describe(self) -> dict[str, Any]:
        """Everything a client needs."""
        local = self.node(None).place
        return {
            "host": local.address, "port": self.port,
            "nodes": {
                name: {"host": node.place.address, "port": self.port, "known_hosts": node.known_hosts()}
                for name, node in self._nodes.items()
            },
            "users": {
                account.name: {"password": self._passwords[account.name], "methods": account.methods, "sudo": account.sudo}
                for account in ACCOUNTS
            },
            **self._keys.describe(), "known_hosts": str(self._known_hosts), "socks": self.socks.describe(),
        }  # fmt: skip


def _hash(password: str) -> str:
    return output("openssl", "passwd", "-6", password).strip()


def _free_port(addresses: list[str]) -> int:
    """A port that is free on all of the addresses."""
    while True:
        with socket.socket() as first:
            first.bind((addresses[0], 0))
            port: int = first.getsockname()[1]
            try:
                for address in addresses[1:]:
                    with socket.socket() as other:
                        other.bind((address, port))
            except OSError:
                continue
            return port
