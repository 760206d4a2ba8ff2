"""A SOCKS5 proxy that asks for a user name and a password (RFC 1928, RFC 1929); it connects, and nothing else.

It can also end what passes through it at an exact byte, which no other part of the lab can do to an SSH session.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

HOST = "127.0.0.1"
_VERSION, _NEGOTIATION = 5, 1
_USER_PASSWORD, _NO_METHOD = 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_OK, _REFUSED, _UNREACHABLE, _BAD_COMMAND, _BAD_ADDRESS = 0, 5, 4, 7, 8
_CONNECT_TIMEOUT_S = 10.0
_CHUNK = 64 * 1024


class _Refused(Exception):
    """The request cannot be met; the argument is the reply code."""


class SocksProxy:
    """Listens on loopback; resolves the nodes' names itself, as ``socks5h`` clients expect."""

    def __init__(self, names: dict[str, str]) -> None:
        self.user = "socks-user"
        self.password = f"CANARY-password-{secrets.token_hex(6)}"
        self._names = names
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._budget: dict[str, int] = {}
        self.connections = 0
        self.refused_logins = 0
        with socket.create_server((HOST, 0)) as probe:
            self.port: int = probe.getsockname()[1]

    def describe(self) -> dict[str, Any]:
        """What a client needs."""
        return {"host": HOST, "port": self.port, "user": self.user, "password": self.password}

    def start(self) -> None:
        """Listen (again)."""
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port))
            threading.Thread(target=self._accept, args=(self._listener,), name="socks accept", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end what is open."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """End every connection through the proxy."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def cut_after(self, direction: str, size: int) -> None:
        """End all connections once that many more bytes went ``up`` (to the server) or ``down`` (to the client)."""
        if direction not in ("up", "down"):
            raise ValueError("the direction is 'up' or 'down'")
        with self._lock:
            self._budget[direction] = size

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="socks client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError), self._tracked(client):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self._login(client):
                return
            try:
                server = self._connect(*_read_request(client))
            except _Refused as refused:
                client.sendall(_reply(refused.args[0]))
                return
            with server, self._tracked(server):
                client.sendall(_reply(_OK))
                self.connections += 1
                up = threading.Thread(target=self._copy, args=(client, server, "up"), daemon=True)
                up.start()
                self._copy(server, client, "down")
                up.join()

    @contextlib.contextmanager
    def _tracked(self, sock: socket.socket) -> Iterator[None]:
        self._open.add(sock)
        try:
            yield
        finally:
            self._open.discard(sock)

    def _login(self, client: socket.socket) -> bool:
        version, count = _read(client, 2)
        if version != _VERSION or _USER_PASSWORD not in _read(client, count):
            client.sendall(bytes([_VERSION, _NO_METHOD]))
            return False
        client.sendall(bytes([_VERSION, _USER_PASSWORD]))
        _read(client, 1)
        user, password = _read_short(client), _read_short(client)
        right = hmac.compare_digest(user, self.user.encode()) and hmac.compare_digest(password, self.password.encode())
        client.sendall(bytes([_NEGOTIATION, 0 if right else 1]))
        self.refused_logins += not right
        return right

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            server = socket.create_connection((self._names.get(host, host), port), _CONNECT_TIMEOUT_S)
        except ConnectionRefusedError:
            raise _Refused(_REFUSED) from None
        except OSError:
            raise _Refused(_UNREACHABLE) from None
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _copy(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                allowed = self._allow(direction, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    self.drop()
                    return
        for sock, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                sock.shutdown(how)

    def _allow(self, direction: str, size: int) -> int:
        """How many of these bytes may pass; the cut happens once, at the first byte that may not."""
        with self._lock:
            budget = self._budget.get(direction)
            if budget is None:
                return size
            if size <= budget:
                self._budget[direction] = budget - size
                return size
            del self._budget[direction]
            return budget


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _read_short(sock: socket.socket) -> bytes:
    """A string after a byte with its length."""
    return _read(sock, _read(sock, 1)[0])


def _read_request(client: socket.socket) -> tuple[str, int]:
    _, command, _, kind = _read(client, 4)
    if kind == _IPV4:
        host = str(ipaddress.IPv4Address(_read(client, 4)))
    elif kind == _IPV6:
        host = str(ipaddress.IPv6Address(_read(client, 16)))
    elif kind == _NAME:
        host = _read_short(client).decode("ascii", "replace")
    else:
        raise _Refused(_BAD_ADDRESS)
    (port,) = struct.unpack("!H", _read(client, 2))
    if command != _CONNECT:
        raise _Refused(_BAD_COMMAND)
    return host, port


def _reply(code: int) -> bytes:
    return bytes([_VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0])
