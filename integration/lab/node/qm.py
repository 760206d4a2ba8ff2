"""``qm``: the subcommands that have to do with the agent, ``list`` and ``status``, after qemu-server's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from .. import channel
from . import qm_agent
from .checks import check_integer, check_vmid
from .lablink import LabLink
from .perl import Command, Died, bad_parameters, parse, print_json, run, warn
from .qm_fault import Fault

_MAX_INPUT_BYTES = 1024 * 1024
_DEFAULT_TIMEOUT_S = 30
_POLL_S = 1.0

_EXEC = Command(
    "qm guest exec", ("vmid",), {"synchronous": "boolean", "timeout": "integer", "pass-stdin": "boolean"}, rest=True
)
_EXEC_STATUS = Command("qm guest exec-status", ("vmid", "pid"), {})
_CMD = Command("qm guest cmd", ("vmid", "command"), {})
_LIST = Command("qm list", (), {"full": "boolean"})
_STATUS = Command("qm status", ("vmid",), {"verbose": "boolean"})

_AGENT_COMMANDS = (
    "fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name",
    "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus",
    "info", "network-get-interfaces", "ping", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram",
)  # fmt: skip


def _exec(link: LabLink, argv: list[bytes]) -> None:
    params = parse(_EXEC, argv)
    vmid = check_vmid(_EXEC, params)
    synchronous = params.get("synchronous", True)
    timeout_s = _DEFAULT_TIMEOUT_S
    if "timeout" in params:
        timeout_s = check_integer(_EXEC, params, "timeout", minimum=0)
        if not synchronous:
            raise bad_parameters(_EXEC, {"synchronous": "needs to be set for 'timeout'"})
    input_data = _read_input() if params.get("pass-stdin") else None
    vm = qm_agent.load_vm(link, vmid)
    with Fault(link, "qm-exec", vmid, "guest-exec") as fault:
        result = qm_agent.start(vm, params["extra-args"], input_data)
        fault.acted()
        if synchronous:
            result = _await_end(vm, result, timeout_s)
        fault.answer(_rendered(result))


def _read_input() -> bytes:
    data = sys.stdin.buffer.read(_MAX_INPUT_BYTES + 1)
    if len(data) > _MAX_INPUT_BYTES:
        raise Died("'input-data' (STDIN) is limited to 1 MiB, aborting\n")
    return data


def _await_end(vm: qm_agent.Vm, started: dict[str, Any], timeout_s: int) -> dict[str, Any]:
    """Ask once a second until the command has ended; its pid if it does not in time."""
    begun = int(time.time())
    while timeout_s == 0 or int(time.time()) - begun < timeout_s:
        status = qm_agent.status(vm, started["pid"])
        if status.get("exited"):
            return status
        time.sleep(_POLL_S)
    warn("timeout reached, returning pid\n")
    return started


def _exec_status(link: LabLink, argv: list[bytes]) -> None:
    params = parse(_EXEC_STATUS, argv)
    vmid = check_vmid(_EXEC_STATUS, params)
    pid = check_integer(_EXEC_STATUS, params, "pid")
    vm = qm_agent.load_vm(link, vmid)
    with Fault(link, "qm-exec-status", vmid, "guest-exec-status") as fault:
        result = qm_agent.status(vm, pid)
        fault.acted()
        fault.answer(_rendered(result))


def _cmd(link: LabLink, argv: list[bytes]) -> None:
    params = parse(_CMD, argv)
    vmid = check_vmid(_CMD, params)
    name = params["command"]
    if name not in _AGENT_COMMANDS:
        listed = ", ".join(_AGENT_COMMANDS)
        raise bad_parameters(_CMD, {"command": f"value '{name}' does not have a value in the enumeration '{listed}'"})
    vm = qm_agent.load_vm(link, vmid)
    with Fault(link, "qm-cmd", vmid, f"guest-{name}") as fault:
        try:
            result = qm_agent.command(vm, f"guest-{name}")
        except channel.AgentCommandError as error:
            # Nobody looks at the agent's errors here: they are a result like any other.
            result = {"error": error.error}
        fault.acted()
        fault.answer(_rendered(result))


def _rendered(result: Any) -> bytes:
    """What is printed of an agent's result: nothing of an empty object, a plain value as it is, JSON of the rest."""
    if result is None or result == {}:
        return b""
    if isinstance(result, (dict, list)):
        return print_json(result)
    text = str(result).rstrip("\n")
    return f"{text}\n".encode() if text.strip() else b""


def _list(link: LabLink, argv: list[bytes]) -> None:
    parse(_LIST, argv)
    vms = sorted(link.vms(), key=lambda vm: int(vm["vmid"]))
    if vms:
        print(f"{'VMID':>10} {'NAME':<20} {'STATUS':<10} {'MEM(MB)':<10} {'BOOTDISK(GB)':>12} {'PID':<10}")
    for vm in vms:
        pid = 1000 + vm["vmid"] if vm["running"] else 0
        print(f"{vm['vmid']:>10} {vm['name']:<20} {vm['status']:<10} {1024:<10} {8:>12.2f} {pid:<10}")


def _status(link: LabLink, argv: list[bytes]) -> None:
    params = parse(_STATUS, argv)
    vm = qm_agent.load_vm(link, check_vmid(_STATUS, params))
    print(f"status: {'running' if vm.running else 'stopped'}")


Handler = Callable[[LabLink, list[bytes]], None]
_GUEST: dict[str, Handler] = {"cmd": _cmd, "exec": _exec, "exec-status": _exec_status}
_TOP = ("guest", "list", "status")


def _dispatch(link: LabLink, argv: list[bytes]) -> None:
    words = [word.decode("utf-8", "replace") for word in argv]
    if not words:
        raise _misused("no command specified")
    if words[0] == "agent":
        return _cmd(link, argv[1:])
    top = _expand(words[0], _TOP)
    if top == "list":
        return _list(link, argv[1:])
    if top == "status":
        return _status(link, argv[1:])
    if top != "guest":
        raise _misused(f"unknown command 'qm {words[0]}'")
    if len(words) < 2:
        raise _misused("incomplete command 'qm guest'")
    name = _expand(words[1], tuple(_GUEST))
    if name not in _GUEST:
        raise _misused(f"unknown command 'qm guest {words[1]}'")
    _GUEST[name](link, argv[2:])


def _expand(word: str, commands: tuple[str, ...]) -> str:
    """A command by its name or by a beginning that only one has."""
    fitting = [name for name in commands if name.startswith(word)]
    return word if word in commands or len(fitting) != 1 else fitting[0]


def _misused(text: str) -> Died:
    return Died(f"ERROR: {text}\nUSAGE: qm <COMMAND> [ARGS] [OPTIONS]\n")


def main(node: str) -> int:
    """The program ``qm`` of a node."""
    return run(node, _dispatch)
