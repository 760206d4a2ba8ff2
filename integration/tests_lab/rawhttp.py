"""A plain HTTP/1.1 client over ssl that hides nothing: status text, repeated headers, closed connections."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from lab import Lab


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    raw: bytes
    seconds: float

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.raw) if "gzip" in self.all("content-encoding") else self.raw

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, (self.status, self.reason, self.raw[:300])
        return self.json["data"]


class Connection:
    """One TLS connection."""

    def __init__(self, lab: Lab) -> None:
        context = ssl.create_default_context(cafile=lab.ca_file)
        sock = socket.create_connection((lab.host, lab.port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(sock, server_hostname="localhost")
        self.buffer = b""

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def closed(self, within_s: float = 1.0) -> bool:
        """Whether the server closes the connection in that time."""
        self.sock.settimeout(within_s)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.sock.settimeout(60)

    def read(self) -> Answer:
        started = time.monotonic()
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(262144)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        _, status, reason = first.split(" ", 2)
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = [int(value) for name, value in headers if name.lower() == "content-length"]
        received = bytearray(self.buffer)
        while not length or len(received) < length[0]:
            data = self.sock.recv(262144)
            if not data:
                break
            received += data
        size = length[0] if length else len(received)
        if len(received) < size:
            raise EOFError(f"{len(received)} of {size} bytes")
        self.buffer = bytes(received[size:])
        return Answer(int(status), reason, headers, bytes(received[:size]), time.monotonic() - started)


class Api:
    """Sends requests as the all-powerful token, on one connection that is made anew when needed."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.connection: Connection | None = None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
        form: str = "json", auth: bool = True, fresh: bool = True,
    ) -> Answer:  # fmt: skip
        """Send one request and read its answer. A dict goes as JSON, a list of pairs as a form, bytes as they are."""
        if fresh or self.connection is None:
            self.close()
            self.connection = Connection(self.lab)
        given = {"Host": "localhost"} | ({"Authorization": self.lab.authorization} if auth else {})
        payload = b""
        if isinstance(body, dict):
            payload, given["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif isinstance(body, list):
            payload, given["Content-Type"] = urlencode(body).encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            payload = body
        if payload:
            given["Content-Length"] = str(len(payload))
        given |= headers or {}
        lines = [
            f"{method} /api2/{form}{path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in given.items()),
            "",
            "",
        ]
        self.connection.send("\r\n".join(lines).encode("latin-1") + payload)
        return self.connection.read()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def agent(
        self, method: str, call: str, body: Any = None, vmid: int = 100, node: str = "pve1", **options: Any
    ) -> Answer:
        return self.request(method, f"/nodes/{node}/qemu/{vmid}/agent/{call}", body, **options)

    def exec(self, *argv: str, data: str | None = None, **options: Any) -> Answer:
        body: dict[str, Any] = {"command": list(argv)}
        if data is not None:
            body["input-data"] = data
        return self.agent("POST", "exec", body, **options)

    def status(self, pid: int, **options: Any) -> Answer:
        return self.agent("GET", f"exec-status?pid={pid}", **options)

    def run(self, *argv: str, data: str | None = None, **options: Any) -> dict[str, Any]:
        """Run a command to its end."""
        pid = self.exec(*argv, data=data, **options).data["pid"]
        for _ in range(500):
            status = self.status(pid, **options).data
            if status["exited"]:
                return status
            time.sleep(0.01)
        raise AssertionError(f"{argv} does not end")


def content_bytes(text: str) -> bytes:
    """The bytes that an answer's code points stand for."""
    return text.encode("latin-1")


def joined_base64(text: str) -> bytes:
    """Decode base64 blocks that are padded one by one."""
    pieces, rest = [], text
    while rest:
        end = rest.find("=")
        stop = len(rest) if end < 0 else end + (2 if rest[end : end + 2] == "==" else 1)
        pieces.append(base64.b64decode(rest[:stop]))
        rest = rest[stop:]
    return b"".join(pieces)
