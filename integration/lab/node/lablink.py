"""How a program on a node asks the lab: for what the cluster's configuration says, and for planned faults."""

from __future__ import annotations

import json
import socket
from typing import Any

from .. import pace

_SOCKET = "/run/lab/control.sock"


class LinkError(Exception):
    """The lab refused; the text is what an API method said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class LabLink:
    """A connection to the lab's control socket, which only root of the node can reach."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(_SOCKET)
        self._answers = self._socket.makefile("rb")

    def begin(self) -> float:
        """Take over the lab's pace; returns how long a tool of Proxmox VE takes to load, in seconds."""
        told = self._ask("program_begin")
        pace.set_pace(told["pace"])
        return float(told["start_s"])

    def vms(self) -> list[dict[str, Any]]:
        """The VMs of this node."""
        return list(self._ask("program_vms", node=self.node))

    def fault(self, kind: str, vmid: int | None) -> dict[str, Any] | None:
        """Count a call of that kind; returns the fault that meets it."""
        rule: dict[str, Any] | None = self._ask("program_fault", kind=kind, vmid=vmid)
        return rule

    def count_act(self, vmid: int, command: str) -> None:
        """Count an agent command that was carried out."""
        self._ask("program_act", vmid=vmid, command=command)

    def api_get(self, path: str, params: dict[str, str]) -> Any:
        """The result of an API method; LinkError if it failed."""
        told = self._ask("program_api", node=self.node, path=path, params=params)
        if "error" in told:
            raise LinkError(told["error"])
        return told["data"]

    def _ask(self, op: str, **arguments: Any) -> Any:
        self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        answer = json.loads(self._answers.readline())
        if not answer["ok"]:
            raise LinkError(answer["error"])
        return answer["result"]
