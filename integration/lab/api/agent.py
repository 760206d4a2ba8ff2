"""``/nodes/{node}/qemu/{vmid}/agent/...``: the calls that reach the agent in a guest.

Every command is preceded by a ping on a connection of its own, as PVE does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from .. import channel
from ..cluster import VM
from ..errors import ApiError
from ..profiles import Profile
from ..schema import VM_PARAMS, Param
from .method import Call, Method

MAX_INPUT_CHARS = 64 * 1024
MAX_CONTENT_CHARS = 60 * 1024
MAX_READ_BYTES = 16 * 1024 * 1024
_READ_PIECE_BYTES = 1024 * 1024

_AUDIT = (["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"], ["VM.Monitor"])
_FREEZE = (["VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted"], ["VM.Monitor"])
_FREEZE_STATUS = (["VM.GuestAgent.Audit", *_FREEZE[0]], ["VM.Monitor"])
_READ = (["VM.GuestAgent.FileRead", "VM.GuestAgent.Unrestricted"], ["VM.Monitor"])
_WRITE = (["VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"], ["VM.Monitor"])
_UNRESTRICTED = (["VM.GuestAgent.Unrestricted"], ["VM.Monitor"])


def _assert_available(vm: VM) -> None:
    if not vm.agent_enabled:
        raise ApiError(500, "No QEMU guest agent configured\n")
    if not vm.running or vm.guest is None:
        raise ApiError(500, f"VM {vm.vmid} is not running\n")
    try:
        channel.run(str(vm.guest.socket_path), "guest-ping", timeout_s=channel.PING_TIMEOUT_S)
    except (channel.ChannelError, channel.AgentCommandError):
        raise ApiError(500, "QEMU guest agent is not running\n") from None


def _monitor(call: Call, vm: VM, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """One command without a ping before it."""
    try:
        return _result(call, vm, command, arguments)
    except channel.AgentCommandError as error:
        raise ApiError(500, f"Agent error: {error}\n") from None


def _result(call: Call, vm: VM, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """What the agent returned; its own errors are the caller's to handle."""
    try:
        result = channel.run(str(vm.live_guest().socket_path), command, arguments)
    except channel.ChannelError as error:
        raise ApiError(500, f"VM {vm.vmid} qga command '{command}' failed - {error}\n") from None
    call.env.observer.count_act(vm.vmid, command)
    return result


def _command(call: Call, vm: VM, command: str, arguments: dict[str, Any] | None = None) -> Any:
    _assert_available(vm)
    return _monitor(call, vm, command, arguments)


def _bytes(text: str, where: str) -> bytes:
    """The bytes that Perl's encode_base64 sees: characters above U+00FF have none."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ApiError(500, f"Wide character in subroutine entry at /usr/share/perl5/PVE/{where}.\n") from None


def _split_list(text: str) -> list[str]:
    """How a command given as one string becomes a program and arguments."""
    if "\0" in text:
        parts = text.split("\0")
        while parts and not parts[-1]:
            parts.pop()
        return parts
    return text.replace(",", " ").replace(";", " ").split()


def _exec_schema(profile: Profile) -> dict[str, Param]:
    command = Param("array") if profile.command_is_array else Param(optional=True)
    return {**VM_PARAMS, "command": command, "input-data": Param(max_length=MAX_INPUT_CHARS, optional=True)}


def _exec(call: Call) -> Any:
    vm = call.vm()
    command = call.params.get("command")
    argv = command if call.profile.command_is_array else _split_list(command or "")
    arguments: dict[str, Any] = {"capture-output": True}
    if argv:
        arguments |= {"path": argv[0], "arg": argv[1:]}
    if (data := call.params.get("input-data")) is not None:
        arguments["input-data"] = base64.b64encode(_bytes(data, "QemuServer/Agent.pm line 135")).decode()
    if "path" not in arguments and "input-data" not in arguments:
        raise ApiError(500, "command or input-data (or both) required\n")
    return _command(call, vm, "guest-exec", arguments)


def _exec_status(call: Call) -> Any:
    result = _command(call, call.vm(), "guest-exec-status", {"pid": call.params["pid"]})
    for key in ("out-data", "err-data"):
        if key in result:
            result[key] = base64.b64decode(result[key]).decode("latin-1")
    return {key: int(value) if isinstance(value, bool) else value for key, value in result.items()}


def _file_write(call: Call) -> None:
    vm = call.vm()
    content = call.params["content"]
    if call.params.get("encode", True):
        content = base64.encodebytes(_bytes(content, "API2/Qemu/Agent.pm line 624")).decode()
    handle = _command(call, vm, "guest-file-open", {"path": call.params["file"], "mode": "wb"})
    _command(call, vm, "guest-file-write", {"handle": handle, "buf-b64": content})
    _command(call, vm, "guest-file-close", {"handle": handle})


def _file_read_schema(profile: Profile) -> dict[str, Param]:
    schema = {**VM_PARAMS, "file": Param()}
    if profile.file_read_ranges:
        schema["count"] = Param("integer", optional=True, minimum=1, maximum=MAX_READ_BYTES)
        schema["offset"] = Param("integer", optional=True, minimum=0)
        schema["decode"] = Param("boolean", optional=True)
    return schema


def _file_read(call: Call) -> Any:
    vm = call.vm()
    count = call.params.get("count", MAX_READ_BYTES)
    decode = call.params.get("decode", True)
    handle = _command(call, vm, "guest-file-open", {"path": call.params["file"]})
    if call.params.get("offset"):
        seek = {"handle": handle, "offset": call.params["offset"], "whence": "set"}
        _monitor(call, vm, "guest-file-seek", seek)
    total, pieces, eof = 0, [], False
    while total < count and not eof:
        piece = {"handle": handle, "count": min(count - total, _READ_PIECE_BYTES)}
        answer = _monitor(call, vm, "guest-file-read", piece)
        pieces.append(_decode(answer["buf-b64"]) if decode else answer["buf-b64"])
        total += answer["count"]
        eof = answer.get("eof", False)
    _monitor(call, vm, "guest-file-close", {"handle": handle})
    result: dict[str, Any] = {"content": "".join(pieces), "bytes-read": total}
    return result if eof else {**result, "truncated": 1}


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text).decode("latin-1")
    except binascii.Error as error:
        raise ApiError(500, f"{error}\n") from None


def _simple(command: str) -> Callable[[Call], Any]:
    """A command without arguments. PVE looks at no error of the agent's here: it is a result like any other."""

    def handler(call: Call) -> Any:
        vm = call.vm()
        _assert_available(vm)
        try:
            return {"result": _result(call, vm, f"guest-{command}")}
        except channel.AgentCommandError as error:
            return {"result": {"error": error.error}}

    return handler


def _agent(verb: str, name: str, handler: Any, privileges: Any, schema: Any = None) -> Method:
    path = "/nodes/{node}/qemu/{vmid}/agent/" + name
    return Method(verb, path, name, handler, schema or VM_PARAMS, privileges, protected=True)


_STATUS_SCHEMA = {**VM_PARAMS, "pid": Param("integer")}
_WRITE_SCHEMA = {
    **VM_PARAMS,
    "file": Param(),
    "content": Param(max_length=MAX_CONTENT_CHARS),
    "encode": Param("boolean", optional=True),
}

METHODS = [
    _agent("POST", "ping", _simple("ping"), _AUDIT),
    _agent("POST", "exec", _exec, _UNRESTRICTED, _exec_schema),
    _agent("GET", "exec-status", _exec_status, _UNRESTRICTED, _STATUS_SCHEMA),
    _agent("POST", "file-write", _file_write, _WRITE, _WRITE_SCHEMA),
    _agent("GET", "file-read", _file_read, _READ, _file_read_schema),
    *(
        _agent("GET", name, _simple(name), _AUDIT)
        for name in ("info", "get-osinfo", "get-host-name", "get-fsinfo", "get-time", "network-get-interfaces")
    ),
    _agent("POST", "fsfreeze-status", _simple("fsfreeze-status"), _FREEZE_STATUS),
    _agent("POST", "fsfreeze-freeze", _simple("fsfreeze-freeze"), _FREEZE),
    _agent("POST", "fsfreeze-thaw", _simple("fsfreeze-thaw"), _FREEZE),
]
