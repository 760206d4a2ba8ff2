"""HTTP/1.1 as pveproxy speaks it: one request at a time, no chunked bodies, small headers."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import unquote

from .errors import REASONS, Disconnect, HttpError

MAX_HEADER_BYTES = 8 * 1024
MAX_HEADER_LINES = 64
IDLE_TIMEOUT_S = 5.0

_REQUEST_LINE = re.compile(rb"(\S+) (\S+) HTTP/(\d+)\.(\d+)")
_HEADER = re.compile(rb"([^:\s]+)\s*:\s*(.*)")
_CONTINUATION = re.compile(rb"\s+(.*)")
_RECV_BYTES = 128 * 1024


@dataclass
class Request:
    """One request; header names are lower case, repeated headers are joined by a comma."""

    method: str
    target: str
    minor_version: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    started: float = 0.0

    @property
    def path(self) -> str:
        """The unescaped path without the query string."""
        return unquote(self.target.split("?", 1)[0])

    @property
    def query(self) -> str:
        """The query string as sent."""
        return self.target.split("?", 1)[1] if "?" in self.target else ""

    def content_type(self) -> str:
        """The media type without its parameters."""
        return re.split(r"\s*[;,]\s*", self.headers.get("content-type", ""))[0]

    def accepts_gzip(self) -> bool:
        """Whether the client takes gzipped answers."""
        return "gzip" in self.headers.get("accept-encoding", "")


@dataclass
class Response:
    """An answer before the front adds its own headers.

    ``inner`` marks one that came over the hop to pvedaemon: that hop's ``Connection: close`` is passed on.
    """

    status: int
    reason: str
    body: bytes = b""
    content_type: str | None = None
    inner: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class Connection:
    """A client's connection, with the bytes read from it and not yet used."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.bytes_in = 0
        self._buffer = bytearray()
        sock.settimeout(IDLE_TIMEOUT_S)

    def _fill(self) -> None:
        try:
            data = self.sock.recv(_RECV_BYTES)
        except OSError as error:
            raise Disconnect(str(error)) from None
        if not data:
            raise Disconnect("closed by the client")
        self.bytes_in += len(data)
        self._buffer += data

    def _read_line(self) -> bytes:
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start > MAX_HEADER_BYTES + 512 * 1024:
                raise Disconnect("line too long")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def read_body(self, length: int) -> bytes:
        """Read exactly ``length`` bytes."""
        while len(self._buffer) < length:
            self._fill()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def read_request_line(self) -> Request:
        """Read a request's first line; empty lines before it are skipped."""
        while not (line := self._read_line()):
            pass
        match = _REQUEST_LINE.search(line)
        if not match:
            raise HttpError(400, "bad request")
        method, target, major, minor = (group.decode("latin-1") for group in match.groups())
        if int(major) != 1:
            raise HttpError(506, f"http protocol version {major}.{minor} not supported")
        if re.match(r"[^/]*@", target):
            raise HttpError(400, "invalid url")
        return Request(method, target, int(minor), started=time.monotonic())

    def read_headers(self, request: Request) -> None:
        """Read the header lines. Too many or too long ones get no answer: the connection just idles out."""
        size, last = 0, ""
        for count in range(1, MAX_HEADER_LINES + 1):
            line = self._read_line()
            size += len(line)
            if count >= MAX_HEADER_LINES or size >= MAX_HEADER_BYTES:
                self._wait_for_idle()
            if not line:
                return
            if match := _HEADER.match(line):
                last = match[1].decode("latin-1").lower()
                value = match[2].decode("latin-1")
                request.headers[last] = f"{request.headers[last]}, {value}" if last in request.headers else value
            elif last and (match := _CONTINUATION.match(line)):
                request.headers[last] += " " + match[1].decode("latin-1")
            else:
                raise HttpError(506, "unable to parse request header")

    def _wait_for_idle(self) -> None:
        while True:
            self._fill()
            self._buffer.clear()

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self.sock.settimeout(None)
            self.sock.sendall(data)
            self.sock.settimeout(IDLE_TIMEOUT_S)
        except OSError as error:
            raise Disconnect(str(error)) from None

    def discard(self, limit: int, wait_s: float) -> None:
        """Read and forget what the client is still sending, as far as pveproxy's buffer would take it."""
        self.sock.settimeout(wait_s)
        try:
            while limit > 0 and (data := self.sock.recv(_RECV_BYTES)):
                limit -= len(data)
        except OSError:
            pass


_date_cache: tuple[int, str] = (0, "")


def _date() -> str:
    global _date_cache
    now = int(time.time())
    if _date_cache[0] != now:
        _date_cache = (now, formatdate(now, usegmt=True))
    return _date_cache[1]


def render(response: Response, minor_version: int, keep_alive: bool) -> bytes:
    """Turn an answer into bytes. An empty body has no Content-Length, as with pveproxy."""
    reason = (response.reason or REASONS.get(response.status, "Unknown")).split("\n", 1)[0]
    date = _date()
    lines = [f"HTTP/1.{minor_version} {response.status} {reason}", "Cache-Control: max-age=0"]
    if response.inner or not keep_alive:
        lines.append("Connection: close")
    if keep_alive:
        lines.append("Connection: Keep-Alive")
    lines += [f"Date: {date}", "Pragma: no-cache", "Server: pve-api-daemon/3.0"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.body:
        lines.append(f"Content-Length: {len(response.body)}")
    if response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
    lines += [f"Expires: {date}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + response.body
