"""serve: what a client may send wrongly, byte by byte; PROTOCOL.md's own examples are in test_protocol_doc.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import WEB
from lab import Lab
from program import PROGRAM, Program, ended

LINE_BYTES = 8 * 1024 * 1024
PAYLOAD_BYTES = 64 * 1024 * 1024


class Wire:
    """A server's two pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    def send(self, message: dict[str, Any] | bytes, payload: bytes = b"") -> None:
        line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        self.stdin.write(line + payload)
        self.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next message but log and progress, its payload under ``bytes``; empty at the end."""
        while line := self.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            message["bytes"] = self.stdout.read(message.get("payload", 0))
            if message.get("method") not in ("log", "progress"):
                return message
        return {}

    def ask(self, method: str, number: int = 1, **params: Any) -> dict[str, Any]:
        self.send({"id": number, "method": method, "params": params})
        return self.receive()

    def end(self) -> int:
        """The exit status, once everything was read."""
        self.stdin.close()
        while self.receive():
            pass
        return self.process.wait()


@pytest.fixture
def wire(program: Program) -> Iterator[Wire]:
    process = subprocess.Popen([PROGRAM, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=program.environment)
    with ended(process):
        wire = Wire(process)
        assert wire.ask("hello", 0, version=1, vm=WEB)["result"]["version"] == 1
        yield wire
        if process.poll() is None:
            wire.end()


def error_of(message: dict[str, Any]) -> tuple[Any, int, str]:
    return message["id"], message["error"]["code"], message["error"]["data"]["code"]


def test_limits_are_as_told(wire: Wire) -> None:
    blank = b'{"jsonrpc":"2.0","id":1,"method":"cancel","params":{"id":7}'
    wire.send(blank + b" " * (LINE_BYTES - len(blank) - 1) + b"}\n")
    assert wire.receive()["result"] == {"found": False}


def test_header_that_is_too_long(wire: Wire) -> None:
    try:
        wire.send(b" " * (LINE_BYTES + 1) + b"\n")
    except BrokenPipeError:
        pass
    assert error_of(wire.receive()) == (None, -32700, "protocol")
    assert wire.process.wait() == 255
    wire.process.stdin = None


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"{}{}\n", b'{"jsonrpc":"2.0","id":1,"method":"ping"\n', b"\xff\xfe\n", b'"text"x\n', b"[" * 40 + b"]" * 40 + b"\n",
        b'{"payload":-1}\n', b'{"payload":1.5}\n', b'{"payload":"6"}\n', b'{"payload":67108865}\n', b'{"payload":1,"payload":1}\n',
        b'{"a":"\x01"}\n', b'{"n":[' + b"1," * 20000 + b"1]}\n",
    ],
)  # fmt: skip
def test_malformed_frames(wire: Wire, line: bytes) -> None:
    wire.send(line)
    assert error_of(wire.receive()) == (None, -32700, "protocol")
    assert wire.end() == 255


def test_malformed_frame_lets_what_runs_end(wire: Wire) -> None:
    wire.send({"id": 5, "method": "exec_command", "params": {"cmd": "sleep 0.3; echo whole", "live": False}})
    wire.send(b"nonsense\n")
    assert error_of(wire.receive()) == (None, -32700, "protocol")
    assert wire.receive()["bytes"] == b"whole\n"
    assert wire.receive()["result"]["exit_code"] == 0
    assert wire.end() == 255


def test_members_given_twice(wire: Wire) -> None:
    wire.send(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"close"}\n')
    assert error_of(wire.receive()) == (None, -32600, "protocol")
    wire.send(b'{"jsonrpc":"2.0","id":1,"method":"exec_command","params":{"cmd":"echo a","cmd":"echo b"}}\n')
    assert error_of(wire.receive())[1:] == (-32600, "protocol")


def test_payload_that_is_cut_off_is_not_carried_out(wire: Wire, lab: Lab) -> None:
    wire.send({"id": 1, "method": "put_file", "params": {"out_path": "/tmp/cut"}, "payload": 10}, b"12345")
    wire.stdin.close()
    assert error_of(wire.receive()) == (None, -32700, "protocol")
    assert wire.process.wait() == 255
    assert not lab.guest(WEB).path("/tmp/cut").exists()


def test_members_that_are_unknown(wire: Wire) -> None:
    wire.send({"id": 1, "method": "exec_command", "params": {"cmd": "echo ok", "colour": "red", "cwd": None}, "extra": [1]})
    assert wire.receive()["bytes"] == b"ok\n"
    assert wire.receive()["result"]["exit_code"] == 0


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"cmd": 5}, "cmd"), ({}, "cmd"), ({"cmd_base64": "*"}, "cmd_base64"), ({"cmd": "x", "timeout": 0}, "timeout"),
        ({"cmd": "x", "env": {"a b": "c"}}, "a b"), ({"cmd": "x", "env": ["A=b"]}, "env"), ({"cmd": "x", "stdin": "x"}, "stdin"),
        ({"cmd": "x", "options": {"colour": "red"}}, "colour"), ({"cmd": "x", "options": {"port": 70000}}, "port"),
        ({"cmd": "x", "vm": [100]}, "vm"), ({"cmd": "x", "live": "no"}, "live"), ({"cmd": "x" * 1048577}, "cmd"),
    ],
)  # fmt: skip
def test_params_that_are_wrong(wire: Wire, lab: Lab, params: dict[str, Any], word: str) -> None:
    answer = wire.ask("exec_command", **params)
    assert error_of(answer) == (1, -32602, "protocol") and word in answer["error"]["message"]
    assert lab.agents()["commands"] == {}
    assert wire.ask("exec_command", cmd="echo still here", live=False)["bytes"] == b"still here\n"


def test_stdin_beyond_the_credit(wire: Wire) -> None:
    wire.send({"id": 1, "method": "exec_command", "params": {"cmd": "sleep 1000", "stdin": "stream"}})
    ready = wire.receive()
    assert (ready["method"], ready["params"]["bytes"]) == ("stdin_ready", 1048576)
    wire.send({"method": "stdin", "params": {"id": 1}, "payload": 1048577}, b"x" * 1048577)
    assert error_of(wire.receive())[:2] == (1, -32602)


def test_stdin_after_its_end(wire: Wire) -> None:
    wire.send({"id": 1, "method": "exec_command", "params": {"cmd": "cat >/dev/null; sleep 1000", "stdin": "stream"}})
    assert wire.receive()["method"] == "stdin_ready"
    wire.send({"method": "stdin", "params": {"id": 1, "eof": True}})
    wire.send({"method": "stdin", "params": {"id": 1}, "payload": 1}, b"x")
    assert error_of(wire.receive())[:2] == (1, -32602)


def test_stdin_for_nobody(wire: Wire) -> None:
    wire.send({"method": "stdin", "params": {"id": 99}, "payload": 5}, b"hello")
    assert wire.ask("cancel", id=99)["result"] == {"found": False}


def test_ids(wire: Wire) -> None:
    for number in (0, -(2**53) + 1, 2**53 - 1, "x" * 64, "~ !"):
        wire.send({"id": number, "method": "cancel", "params": {"id": 7}})
        assert wire.receive()["id"] == number
    for number in (2**53 + 2, "x" * 65, "", "ü", [1], True):
        wire.send({"id": number, "method": "cancel", "params": {"id": 7}})
        assert error_of(wire.receive()) == (None, -32600, "protocol"), number


def test_requests_behind_close(wire: Wire) -> None:
    wire.send({"id": 1, "method": "exec_command", "params": {"cmd": "sleep 0.3", "live": False}})
    wire.send({"id": 2, "method": "close"})
    wire.send({"id": 3, "method": "ping"})
    assert error_of(wire.receive()) == (3, -32600, "protocol")
    assert [wire.receive()["id"], wire.receive()["id"]] == [1, 2]
    assert wire.end() == 0


def test_bytes_that_are_no_text(wire: Wire, lab: Lab) -> None:
    """Commands and paths that are not UTF-8 travel as base64."""
    wire.send({"id": 1, "method": "exec_command", "params": {"cmd_base64": "cHJpbnRmICf//ic="}})
    assert wire.receive()["bytes"] == b"\xff\xfe"
    assert wire.receive()["result"]["exit_code"] == 0
    wire.send({"id": 2, "method": "put_file", "params": {"out_path_base64": "L3RtcC//"}, "payload": 1}, b"x")
    assert wire.receive()["result"]["bytes"] == 1
    assert lab.guest(WEB).path("/tmp/\udcff").read_bytes() == b"x"
    assert wire.ask("exec_command", cmd_base64="cm0gL3RtcC//", live=False)["result"]["exit_code"] == 0


def test_end_of_input_without_a_word(program: Program) -> None:
    result = program.run("serve", stdin=b"")
    assert (result.status, result.stdout) == (0, b"")
