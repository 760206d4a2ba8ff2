"""The least a client of the PVE API can do: one kept TLS connection, one request after the other.

It is the yardstick of the benchmarks, so it knows nothing of jobs or retries and reads only the answers the lab gives.
"""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any


class RawApi:
    """One connection to the API with an API token."""

    def __init__(self, host: str, port: int, ca_file: str, token_id: str, secret: str) -> None:
        self._address = (host, port)
        self._context = ssl.create_default_context(cafile=ca_file)
        self._authorization = f"PVEAPIToken={token_id}={secret}"
        self._socket: ssl.SSLSocket | None = None
        self._requests = 0

    def _connect(self) -> ssl.SSLSocket:
        # pveproxy answers 100 requests on a connection.
        if self._socket is None or self._requests >= 99:
            self.close()
            plain = socket.create_connection(self._address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname=self._address[0])
            self._requests = 0
        self._requests += 1
        return self._socket

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One API call; returns ``data`` of the answer."""
        content = json.dumps(body).encode() if body is not None else b""
        head = f"{method} /api2/json{path} HTTP/1.1\r\nHost: pve\r\nAuthorization: {self._authorization}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        connection = self._connect()
        connection.sendall(head.encode() + b"\r\n" + content)
        status, data = self._answer(connection)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status}")
        return json.loads(data)["data"]

    @staticmethod
    def _answer(connection: ssl.SSLSocket) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, data = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
        while len(data) < length:
            data += connection.recv(65536)
        return int(lines[0].split()[1]), data

    def exec_pair(self, node: str, vmid: int, command: list[str]) -> int:
        """exec, then exec-status until it has ended; returns the exit code."""
        base = f"/nodes/{node}/qemu/{vmid}/agent"
        pid = self.call("POST", f"{base}/exec", {"command": command})["pid"]
        while True:
            status = self.call("GET", f"{base}/exec-status?pid={pid}")
            if status["exited"]:
                return int(status["exitcode"])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
