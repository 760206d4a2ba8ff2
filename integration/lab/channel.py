"""The node's client of a VM's agent socket: one connection per command, as PVE's QMPClient makes them.

Two of its properties matter to every user of the API and are reproduced here on purpose: it sends as many
*bytes* of a message as the message has *characters*, which cuts off the end of a message with non-ASCII text;
and its reader searches the whole answer again for every piece that arrives, so that long answers cost time
that grows with the square of their length, up to the point where the call times out and the answer is lost.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import time
from typing import Any

from .pace import gap_seconds, trip_seconds

PING_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 5.0
_LONG_COMMANDS_S = {"guest-fsfreeze-freeze": 3600.0, "guest-fsfreeze-thaw": 180.0}
_CONNECT_RETRY_S = 0.1
_RECV_BYTES = 256 * 1024

_ids = itertools.count(1)


class ChannelError(Exception):
    """The command failed on the way; the text is PVE's."""


class AgentCommandError(Exception):
    """The agent answered with an error object; the text is its ``desc``."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("desc", ""))
        self.error = error


def run(socket_path: str, command: str, arguments: dict[str, Any] | None = None, timeout_s: float | None = None) -> Any:
    """Run one agent command on a connection of its own and return its ``return`` value."""
    timeout_s = timeout_s or _LONG_COMMANDS_S.get(command, COMMAND_TIMEOUT_S)
    sync_id = int(f"{os.getpid()}0{next(_ids)}")
    sync = {"execute": "guest-sync-delimited", "arguments": {"id": sync_id}}
    message = f"{json.dumps(sync)}\n{_perl_json({'execute': command, 'arguments': arguments or {}})}\n"
    payload = message.encode("utf-8", "surrogatepass")[: len(message)]
    with _connect(socket_path, timeout_s) as sock:
        deadline = time.monotonic() + timeout_s
        answer = _exchange(sock, payload, sync_id, command, deadline)
    time.sleep(gap_seconds())
    if "error" in answer:
        raise AgentCommandError(answer["error"])
    return answer.get("return")


def _perl_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _connect(path: str, timeout_s: float) -> socket.socket:
    started = time.monotonic()
    for attempt in itertools.count(1):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(path)
            return sock
        except OSError as error:
            sock.close()
            if error.errno != errno.EAGAIN:
                raise ChannelError(f"unable to connect to qga socket - {os.strerror(error.errno or 0)}") from None
        if time.monotonic() - started >= timeout_s:
            raise ChannelError(f"unable to connect to qga socket - timeout after {attempt} retries")
        time.sleep(_CONNECT_RETRY_S)
    raise AssertionError


def _exchange(sock: socket.socket, payload: bytes, sync_id: int, command: str, deadline: float) -> dict[str, Any]:
    """Send a message and read until the answer to it is complete; stale answers are skipped."""
    started = time.monotonic()
    try:
        sock.settimeout(_left(deadline))
        sock.sendall(payload)
        pieces: list[bytes] = []
        while True:
            sock.settimeout(_left(deadline))
            piece = sock.recv(_RECV_BYTES)
            if not piece:
                raise ChannelError("client closed connection")
            pieces.append(piece)
            if not piece.endswith(b"\n"):
                continue
            answer = _parse(b"".join(pieces), sync_id)
            if answer is None:
                continue
            least_s = trip_seconds(command, len(payload), sum(map(len, pieces)))
            time.sleep(min(_left(deadline), max(0.0, started + least_s - time.monotonic())))
            _left(deadline)
            return answer
    except TimeoutError:
        raise ChannelError("got timeout") from None
    except OSError:
        raise ChannelError("client closed connection") from None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _parse(data: bytes, sync_id: int) -> dict[str, Any] | None:
    """Return the command's answer once both lines of it are there: ``FF``, the sync answer, the answer."""
    lines = data[data.rfind(b"\xff") + 1 :].split(b"\n") if b"\xff" in data else []
    if len(lines) < 3:
        return None
    seen = json.loads(lines[0]).get("return")
    if not seen:
        raise ChannelError("received response without command id")
    if int(seen) < sync_id:
        return None
    if int(seen) != sync_id:
        raise ChannelError(f"got wrong command id '{seen}' (expected {sync_id})")
    answer: dict[str, Any] = json.loads(lines[1])
    return answer
