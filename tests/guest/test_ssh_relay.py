"""The relay that runs on a node: framing, taking turns on an agent's socket, and its bounds."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

RELAY = pathlib.Path(__file__).resolve().parents[2] / "transport/ssh/relay.pl"


class Agent:
    """Serves a VM's socket as QEMU does: one client at a time, which finds what the last one left unread."""

    def __init__(self, folder: pathlib.Path, vmid: int) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / f"{vmid}.qga"))
        self.listener.listen(1)
        self.requests: list[dict] = []
        self.clients = 0
        self.left_unread = b""
        self.silent: set[str] = set()
        self.leaves: set[str] = set()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.clients += 1
            with client:
                client.sendall(self.left_unread)
                self.left_unread = b""
                self.talk(client)

    def talk(self, client: socket.socket) -> None:
        for line in client.makefile("rb"):
            request = json.loads(line.lstrip(b"\xff"))
            self.requests.append(request)
            name = request["execute"]
            if name in self.leaves:
                return
            if name in self.silent:
                continue
            mark = b"\xff" if name == "guest-sync-delimited" else b""
            client.sendall(mark + json.dumps(self.answer(name, request.get("arguments", {}))).encode() + b"\n")

    def answer(self, name: str, arguments: dict) -> dict:
        if name == "guest-sync-delimited":
            return {"return": arguments["id"]}
        if name == "guest-file-open":
            if arguments["path"] == "/missing":
                return {"error": {"class": "GenericError", "desc": "failed to open"}}
            return {"return": 1000}
        if name == "guest-file-read":
            return {"error": {"desc": "no"}} if arguments["count"] == 0 else {"return": {"buf-b64": "YQ=="}}
        return {"return": {"name": name}}

    def names(self) -> list[str]:
        return [request["execute"].removeprefix("guest-") for request in self.requests]


class Relay:
    def __init__(self, folder: pathlib.Path) -> None:
        self.process = subprocess.Popen(
            ["perl", str(RELAY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env={**os.environ, "PVE_QGA_RELAY_DIR": str(folder)},
        )  # fmt: skip
        self.out = self.process.stdout.fileno()
        self.rest = b""
        assert self.line() == b"pve-qga-relay 1"

    def line(self) -> bytes:
        while b"\n" not in self.rest:
            more = os.read(self.out, 65536)
            assert more, "the relay ended"
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def ask(self, number: int, vmid: int, *commands: dict | str, ms: int = 5000) -> None:
        lines = "".join((c if isinstance(c, str) else json.dumps(c)) + "\n" for c in commands)
        self.process.stdin.write(f"{number} {vmid} {ms} {len(lines)}\n{lines}".encode())

    def answer(self) -> tuple[int, str, list]:
        number, what, length = self.line().split()
        while len(self.rest) < int(length):
            self.rest += os.read(self.out, 65536)
        text, self.rest = self.rest[: int(length)], self.rest[int(length) :]
        parsed = [json.loads(line) for line in text.splitlines()] if what == b"ok" else [text.decode()]
        return int(number), what.decode(), parsed


@pytest.fixture
def agent(tmp_path: pathlib.Path):
    agent = Agent(tmp_path, 100)
    yield agent
    agent.listener.close()


@pytest.fixture
def relay(tmp_path: pathlib.Path):
    relay = Relay(tmp_path)
    yield relay
    relay.process.stdin.close()
    assert relay.process.wait(timeout=10) == 0


PING = {"execute": "guest-ping"}
HANDLE = '"handle":@HANDLE@'
READ = (
    {"execute": "guest-file-open", "arguments": {"path": "/x"}},
    '{"execute":"guest-file-seek","arguments":{%s}}' % HANDLE,
    '{"execute":"guest-file-read","arguments":{%s,"count":5}}' % HANDLE,
    '{"execute":"guest-file-close","arguments":{%s}}' % HANDLE,
)


def test_a_call_begins_with_a_sync(agent: Agent, relay: Relay) -> None:
    agent.left_unread = b'{"return": {"stale": 1}}\n{"ret'
    relay.ask(7, 100, PING)
    assert relay.answer() == (7, "ok", [{"return": {"name": "guest-ping"}}])
    assert agent.names() == ["sync-delimited", "ping"]


def test_calls_that_wait_share_a_connection(agent: Agent, relay: Relay) -> None:
    for number in range(20):
        relay.ask(number, 100, PING)
    assert [relay.answer()[0] for _ in range(20)] == list(range(20))
    assert agent.clients == 1


def test_others_get_the_socket_when_there_is_nothing_to_do(agent: Agent, relay: Relay, tmp_path: pathlib.Path) -> None:
    relay.ask(1, 100, PING)
    relay.answer()
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(2)
        other.connect(str(tmp_path / "100.qga"))
        other.sendall(b'{"execute":"guest-info"}\n')
        assert json.loads(other.recv(4096)) == {"return": {"name": "guest-info"}}


def test_a_file_is_read_and_closed(agent: Agent, relay: Relay) -> None:
    relay.ask(1, 100, *READ)
    _, what, answers = relay.answer()
    assert (what, answers[0], answers[2]) == ("ok", {"return": 1000}, {"return": {"buf-b64": "YQ=="}})
    assert agent.names()[1:] == ["file-open", "file-seek", "file-read", "file-close"]
    assert [request["arguments"]["handle"] for request in agent.requests[2:]] == [1000] * 3


def test_a_file_is_closed_after_an_error(agent: Agent, relay: Relay) -> None:
    relay.ask(1, 100, READ[0], READ[2].replace("5", "0"), READ[1], READ[3])
    assert len(relay.answer()[2]) == 3
    assert agent.names()[1:] == ["file-open", "file-read", "file-close"]


def test_nothing_follows_a_file_that_cannot_be_opened(agent: Agent, relay: Relay) -> None:
    relay.ask(1, 100, {"execute": "guest-file-open", "arguments": {"path": "/missing"}}, *READ[1:])
    assert "error" in relay.answer()[2][0]
    assert agent.names()[1:] == ["file-open"]


def test_a_call_that_is_not_answered_may_have_acted(agent: Agent, relay: Relay) -> None:
    agent.silent = {"guest-exec"}
    relay.ask(1, 100, {"execute": "guest-exec"}, ms=200)
    relay.ask(2, 100, PING)
    number, what, text = relay.answer()
    assert (number, what) == (1, "unknown") and "got timeout" in text[0]
    assert relay.answer()[:2] == (2, "ok")


def test_an_agent_that_hangs_up(agent: Agent, relay: Relay) -> None:
    agent.leaves = {"guest-exec"}
    relay.ask(1, 100, {"execute": "guest-exec"})
    assert relay.answer()[:2] == (1, "unknown")
    agent.leaves = {"guest-sync-delimited"}
    time_before = time.monotonic()
    relay.ask(2, 100, PING)
    assert relay.answer()[:2] == (2, "none")
    assert time.monotonic() - time_before < 4


def test_a_vm_without_a_socket(relay: Relay, tmp_path: pathlib.Path) -> None:
    relay.ask(1, 999, PING)
    assert relay.answer() == (1, "none", ["VM 999 is not running"])
    (tmp_path / "999.pid").write_text("1\n")
    relay.ask(2, 999, PING)
    assert relay.answer() == (2, "none", ["No QEMU guest agent configured"])


def test_one_vm_does_not_hold_up_another(agent: Agent, relay: Relay, tmp_path: pathlib.Path) -> None:
    other = Agent(tmp_path, 101)
    agent.silent = {"guest-sync-delimited"}
    relay.ask(1, 100, PING)
    relay.ask(2, 101, PING)
    assert relay.answer()[:2] == (2, "ok")
    number, what, text = relay.answer()
    assert (number, what, text) == (1, "none", ["QEMU guest agent is not running"])
    other.listener.close()


def test_large_calls(agent: Agent, relay: Relay) -> None:
    relay.ask(1, 100, {"execute": "guest-ping", "arguments": {"x": "y" * 2_000_000}})
    assert relay.answer()[:2] == (1, "ok")
    assert len(agent.requests[1]["arguments"]["x"]) == 2_000_000
