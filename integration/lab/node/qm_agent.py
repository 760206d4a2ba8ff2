"""Agent commands as ``qm`` gives them: each after a ping on a connection of its own, as in the API."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Any

from .. import channel
from .lablink import LabLink
from .perl import ENOENT_STATUS, Died

_SOCKETS = "/var/run/qemu-server"


@dataclass(frozen=True)
class Vm:
    """A VM of this node, as its configuration and its process tell."""

    link: LabLink
    vmid: int
    running: bool
    agent: bool

    @property
    def socket(self) -> str:
        """The agent's socket on this node."""
        return f"{_SOCKETS}/{self.vmid}.qga"


def load_vm(link: LabLink, vmid: int) -> Vm:
    """The VM, if its configuration is on this node."""
    for vm in link.vms():
        if vm["vmid"] == vmid:
            return Vm(link, vmid, vm["running"], vm["agent"])
    text = f"Configuration file 'nodes/{link.node}/qemu-server/{vmid}.conf' does not exist\n"
    raise Died(text, ENOENT_STATUS)


def command(vm: Vm, name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Run an agent command; the agent's own error is raised as AgentCommandError."""
    _assert_available(vm)
    if not os.path.exists(vm.socket):
        raise Died("unable to open monitor socket\n")
    try:
        result = channel.run(vm.socket, name, arguments)
    except channel.ChannelError as error:
        raise timed_out(vm.vmid, name, str(error)) from None
    vm.link.count_act(vm.vmid, name)
    return result


def checked(vm: Vm, name: str, arguments: dict[str, Any]) -> Any:
    """The same, the agent's error being the end."""
    try:
        return command(vm, name, arguments)
    except channel.AgentCommandError as error:
        raise Died(f"Agent error: {error}\n") from None


def timed_out(vmid: int, name: str, reason: str = "got timeout") -> Died:
    """The failure of a command on its way."""
    return Died(f"VM {vmid} qga command '{name}' failed - {reason}\n")


def not_running() -> Died:
    """What comes of an agent that does not answer the ping."""
    return Died("QEMU guest agent is not running\n")


def _assert_available(vm: Vm) -> None:
    if not vm.agent:
        raise Died("No QEMU guest agent configured\n")
    if not vm.running:
        raise Died(f"VM {vm.vmid} is not running\n")
    if not os.path.exists(vm.socket):
        raise not_running()
    try:
        channel.run(vm.socket, "guest-ping", timeout_s=channel.PING_TIMEOUT_S)
    except (channel.ChannelError, channel.AgentCommandError):
        raise not_running() from None


def start(vm: Vm, argv: list[str], input_data: bytes | None) -> dict[str, Any]:
    """``guest-exec``; returns the object with the pid."""
    arguments: dict[str, Any] = {"capture-output": True}
    if argv:
        arguments |= {"path": argv[0], "arg": argv[1:]}
    if input_data is not None:
        arguments["input-data"] = base64.b64encode(input_data).decode()
    if not argv and input_data is None:
        raise Died("command or input-data (or both) required\n")
    result: dict[str, Any] = checked(vm, "guest-exec", arguments)
    return result


def status(vm: Vm, pid: int) -> dict[str, Any]:
    """``guest-exec-status``, output decoded into one character for each byte, flags as numbers."""
    result: dict[str, Any] = checked(vm, "guest-exec-status", {"pid": pid})
    for key in ("out-data", "err-data"):
        if key in result:
            result[key] = base64.b64decode(result[key]).decode("latin-1")
    return {key: int(value) if isinstance(value, bool) else value for key, value in result.items()}
