"""The nodes and VMs that the endpoint shows."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .daemon import Daemon
from .errors import ApiError
from .guests.base import Guest, GuestError


def node_address(index: int) -> str:
    """The address of a node, by its place among the nodes: each has one of its own on loopback."""
    return f"127.0.0.{index + 1}"


@dataclass
class VM:
    """A virtual machine: its configuration and where it runs."""

    vmid: int
    name: str
    node: str
    kind: str
    guest: Guest | None
    running: bool = True
    agent_enabled: bool = True
    template: bool = False
    tags: list[str] = field(default_factory=list)
    pool: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self) -> None:
        """Bring the VM up; a guest that fails to start leaves nothing behind."""
        with self.lock:
            if self.running:
                return
            if self.guest is not None:
                try:
                    self.guest.start()
                except BaseException:
                    self.guest.stop()
                    raise
            self.running = True

    def stop(self) -> None:
        """Switch the VM off."""
        with self.lock:
            if self.running and self.guest is not None:
                self.guest.stop()
            self.running = False

    def summary(self) -> dict[str, Any]:
        """What a client of the lab is told of it."""
        status = "running" if self.running else "stopped"
        return {"vmid": self.vmid, "name": self.name, "node": self.node, "kind": self.kind, "status": status}

    def live_guest(self) -> Guest:
        """The guest, which a VM that never runs lacks."""
        if self.guest is None:
            raise GuestError(f"VM {self.vmid} of kind {self.kind} has nothing in it")
        return self.guest


class Cluster:
    """All nodes, the workers of each, and all VMs. The first node is the one that clients talk to."""

    def __init__(self, nodes: list[str], vms: list[VM]) -> None:
        self.nodes = nodes
        self.daemons = {node: Daemon(node) for node in nodes}
        self._vms = {vm.vmid: vm for vm in vms}

    @property
    def local_node(self) -> str:
        return self.nodes[0]

    def vms(self) -> list[VM]:
        return list(self._vms.values())

    def vm(self, vmid: int) -> VM:
        """The VM of that number, wherever it is; for the control side."""
        if vmid not in self._vms:
            raise GuestError(f"the lab has no VM {vmid}")
        return self._vms[vmid]

    def resolve_node(self, node: str) -> str:
        """The node that a call names; ``localhost`` is the one asked."""
        if node == "localhost":
            return self.local_node
        if node not in self.daemons:
            reason = f"failed to get address info for: {node}: Name or service not known"
            raise ApiError(500, f"hostname lookup '{node}' failed - {reason}\n")
        return node

    def load_config(self, node: str, vmid: int) -> VM:
        """The VM if its configuration file is on that node."""
        vm = self._vms.get(vmid)
        if vm is None or vm.node != node:
            raise ApiError(500, f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist\n")
        return vm

    def move(self, vmid: int, node: str) -> None:
        """Migrate a VM; what runs in it does not notice."""
        if node not in self.daemons:
            raise GuestError(f"the lab has no node {node}")
        self.vm(vmid).node = node

    def agent_traffic(self) -> dict[str, Any]:
        """What reached the agents of all guests that have a relay, and came back."""
        commands: Counter[str] = Counter()
        bytes_in = bytes_out = 0
        for vm in self.vms():
            if vm.guest is not None:
                named, to_agent, from_agent = vm.guest.traffic.counts()
                commands += named
                bytes_in += to_agent
                bytes_out += from_agent
        return {"commands": dict(commands), "bytes_in": bytes_in, "bytes_out": bytes_out}

    def reset_agent_traffic(self) -> None:
        for vm in self.vms():
            if vm.guest is not None:
                vm.guest.traffic.reset()

    def close(self) -> None:
        for vm in self.vms():
            vm.stop()
        for daemon in self.daemons.values():
            daemon.stop()
