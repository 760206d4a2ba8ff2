"""PROTOCOL.md's examples, replayed against the program byte for byte.

    PVE_QGA_TEST_SERVE   the command that serves; without it the build in build/dev
    PVE_QGA_TEST_VM      a Linux guest it can reach; without one the examples that need a guest are skipped

The command finds its endpoint and credentials in its own environment or configuration.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "transport" / "proto" / "PROTOCOL.md"
SECONDS = 60

sys.path.insert(0, str(ROOT / "integration" / "client"))
from pve_qga_client import Client  # noqa: E402


@dataclass
class Example:
    name: str
    hello: bool = False
    guest: bool = False
    exit_status: int = 0
    frames: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    """Who sends it ("C" or "S"), the header with its LF, the payload."""


ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)")
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}


def unescape(text: str) -> bytes:
    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if len(code) == 3 else ESCAPED[code]

    return ESCAPE.sub(byte, text.encode())


def add_line(example: Example, line: str) -> None:
    kind, text = line[:3], line[3:]
    if kind in ("C: ", "S: "):
        assert text.endswith("\\n"), line
        example.frames.append((kind[0], text[:-2].encode() + b"\n", b""))
    else:
        side, header, payload = example.frames.pop()
        assert kind == f"{side}+ ", line
        example.frames.append((side, header, payload + unescape(text)))


def parse_document(text: str) -> Iterator[Example]:
    for words, body in re.findall(r"^```frames (.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        name, *marks = words.split()
        example = Example(name, "hello" in marks, "guest" in marks)
        for mark in marks:
            if mark.startswith("exit="):
                example.exit_status = int(mark[5:])
        for line in body.splitlines():
            add_line(example, line)
        yield example


EXAMPLES = list(parse_document(DOCUMENT.read_text(encoding="utf-8")))
HELLO = EXAMPLES[0].frames[:2]


class Conversation:
    """The server of one example."""

    def __init__(self, command: list[str], places: dict[str, str]) -> None:
        self.places = places
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.watchdog = threading.Timer(SECONDS, self.process.kill)
        self.watchdog.start()

    def fill(self, header: bytes) -> bytes:
        for name, value in self.places.items():
            header = header.replace(f"@{name}@".encode(), value.encode())
        return header

    def send(self, header: bytes, payload: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(self.fill(header) + payload)
        self.process.stdin.flush()

    def receive(self) -> bytes:
        """The next message that is neither log nor progress; empty at the end."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            if not line:
                return b""
            header = json.loads(line)
            payload = self.process.stdout.read(header.get("payload", 0))
            if header.get("method") not in ("log", "progress"):
                return line + payload

    def expect(self, header: bytes, payload: bytes) -> None:
        assert self.receive() == self.fill(header) + payload

    def end(self) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.receive() == b""
        return self.process.wait(SECONDS)

    def abandon(self) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def replay(example: Example, command: list[str], places: dict[str, str]) -> None:
    frames = (HELLO if example.hello else []) + example.frames
    last_of_client = max(i for i, frame in enumerate(frames) if frame[0] == "C")
    conversation = Conversation(command, places)
    try:
        for i, (side, header, payload) in enumerate(frames):
            if side == "S":
                conversation.expect(header, payload)
            else:
                conversation.send(header, payload)
            if i == last_of_client:
                close_side(conversation.process.stdin)
        assert conversation.end() == example.exit_status
    finally:
        conversation.abandon()


def close_side(stream: BinaryIO | None) -> None:
    assert stream is not None
    stream.close()


@pytest.fixture(scope="module")
def command() -> list[str]:
    return shlex.split(os.environ.get("PVE_QGA_TEST_SERVE", f"{ROOT}/build/dev/bin/pve-qga-run serve"))


@pytest.fixture(scope="module")
def version() -> str:
    match = re.search(r"^project\(\S+ VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert match is not None
    return match[1]


@pytest.fixture
def guest_places(command: list[str], tmp_path: Path) -> Iterator[dict[str, str]]:
    vm = os.environ.get("PVE_QGA_TEST_VM")
    if not vm:
        pytest.skip("PVE_QGA_TEST_VM is not set")
    with Client(command, vm=vm) as client:
        remote = client.exec_command("mktemp -d /tmp/protocol.XXXXXX").stdout.decode().strip()
        yield {"VM": vm, "REMOTE": remote, "LOCAL": str(tmp_path)}
        client.exec_command('rm -rf -- "$REMOTE"', env={"REMOTE": remote})


def named(examples: list[Example]) -> list[object]:
    return [pytest.param(example, id=example.name) for example in examples]


def test_document_has_the_examples() -> None:
    assert len([example for example in EXAMPLES if not example.guest]) >= 13
    assert len([example for example in EXAMPLES if example.guest]) >= 7
    assert not EXAMPLES[0].hello


@pytest.mark.parametrize("example", named([example for example in EXAMPLES if not example.guest]))
def test_without_a_guest(example: Example, command: list[str], version: str) -> None:
    replay(example, command, {"VERSION": version})


@pytest.mark.parametrize("example", named([example for example in EXAMPLES if example.guest]))
def test_with_a_guest(
    example: Example, command: list[str], version: str, guest_places: dict[str, str], tmp_path: Path
) -> None:
    replay(example, command, {"VERSION": version, **guest_places})
    if example.name == "files":
        assert (tmp_path / "motd").read_bytes() == b"hello\n"
        assert (tmp_path / "motd").stat().st_mode & 0o7777 == 0o640
