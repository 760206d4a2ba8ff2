"""The least a client of the PVE API can do in Python: one kept TLS connection, one request after the other.

It looks after what the benchmark left behind, outside of any timing; ``replay.c`` is what is timed.
"""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

from lab import Lab

_REQUESTS_PER_CONNECTION = 99


class RawApi:
    """One connection to a lab."""

    def __init__(self, lab: Lab) -> None:
        self._address = (lab.host, lab.port)
        self._context = ssl.create_default_context(cafile=lab.ca_file)
        self._authorization = lab.authorization
        self._socket: ssl.SSLSocket | None = None
        self._requests = 0

    def get(self, path: str) -> Any:
        """One GET; returns ``data`` of the answer."""
        connection = self._connect()
        head = f"GET /api2/json{path} HTTP/1.1\r\nHost: pve\r\nAuthorization: {self._authorization}\r\n\r\n"
        connection.sendall(head.encode())
        status, data = self._answer(connection)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status}")
        return json.loads(data)["data"]

    def wait(self, node: str, vmid: int, pid: int) -> Any:
        """exec-status until the process has ended; returns the last answer."""
        while not (status := self.get(f"/nodes/{node}/qemu/{vmid}/agent/exec-status?pid={pid}"))["exited"]:
            pass
        return status

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> ssl.SSLSocket:
        if self._socket is None or self._requests >= _REQUESTS_PER_CONNECTION:
            self.close()
            plain = socket.create_connection(self._address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname=self._address[0])
            self._requests = 0
        self._requests += 1
        return self._socket

    @staticmethod
    def _answer(connection: ssl.SSLSocket) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += _receive(connection)
        head, _, data = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
        while len(data) < length:
            data += _receive(connection)
        return int(lines[0].split()[1]), data


def _receive(connection: ssl.SSLSocket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("the connection ended within an answer")
    return data
