"""pveproxy: accepts connections, speaks TLS and HTTP/1.1, and keeps connections alive by its own rules."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time

from .answers import refusal
from .errors import Disconnect, HttpError
from .gateway import Gateway, Outcome
from .http1 import IDLE_TIMEOUT_S, Connection, Request, Response, render
from .observe import LogEntry, Observer
from .record import Recorder
from .sabotage import RawResponse

REQUESTS_PER_CONNECTION = 100
_METHODS = ("GET", "POST", "PUT", "DELETE")
_BODY_TYPES = ("", "application/x-www-form-urlencoded", "application/json")
_TLS_HANDSHAKE = b"\x16"
_DISCARD_WAIT_S = 0.2
_CLOSE_NOTIFY_WAIT_S = 0.02


class Proxy:
    """The listening side of the endpoint; one thread per connection."""

    def __init__(
        self, gateway: Gateway, observer: Observer, recorder: Recorder, context: ssl.SSLContext, host: str, port: int
    ) -> None:
        self._gateway = gateway
        self._observer = observer
        self._recorder = recorder
        self._context = context
        self._numbers = itertools.count(1)
        self._open: set[socket.socket] = set()
        self._host = host
        self._listener: socket.socket | None = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        assert self._listener is not None
        self._accept_from(self._listener)

    def stop(self) -> None:
        """Stop accepting and close what is open."""
        self.close_port()

    def close_port(self) -> None:
        """Become unreachable: connections are refused, open ones end."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop_connections()

    def open_port(self) -> None:
        """Listen again, on the same port."""
        if self._listener is None:
            self._listener = _listen(self._host, self.port)
            self._accept_from(self._listener)

    def drop_connections(self) -> None:
        """Close every connection, as a restart of pveproxy does."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept_from(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), name="pveproxy accept", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._observer.count("tcp_connections")
            threading.Thread(target=self._serve, args=(sock, next(self._numbers)), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._open.add(sock)
        try:
            sock.settimeout(IDLE_TIMEOUT_S)
            if sock.recv(1, socket.MSG_PEEK) != _TLS_HANDSHAKE:
                return _redirect_to_tls(Connection(sock))
            tls = self._context.wrap_socket(sock, server_side=True)
            self._open.discard(sock)
            sock = tls
            self._open.add(sock)
            self._observer.count("tls_handshakes")
            _Session(self._gateway, self._observer, self._recorder, Connection(sock), number).run()
        except (OSError, Disconnect):
            pass
        finally:
            self._open.discard(sock)
            sock.close()


def _listen(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), backlog=512)


class _Session:
    """The requests of one connection, one after the other."""

    def __init__(
        self, gateway: Gateway, observer: Observer, recorder: Recorder, connection: Connection, number: int
    ) -> None:
        self._gateway = gateway
        self._observer = observer
        self._recorder = recorder
        self._connection = connection
        self._number = number
        self._left = REQUESTS_PER_CONNECTION

    def run(self) -> None:
        while self._left > 0:
            before = self._connection.bytes_in
            request: Request | None = None
            try:
                try:
                    request = self._connection.read_request_line()
                    self._left -= 1
                    outcome = self._handle(request)
                except HttpError as error:
                    outcome = Outcome(refusal(error))
                if outcome.cut and request is not None:
                    self._record(request, outcome, before, 0)
                    return
                self._answer(request, outcome, before)
            finally:
                self._observer.count("bytes_in", self._connection.bytes_in - before)

    def _handle(self, request: Request) -> Outcome:
        connection, headers = self._connection, request.headers
        connection.read_headers(request)
        if request.method not in _METHODS:
            raise HttpError(501, f"method '{request.method}' not available", b"")
        if "close" in headers.get("connection", "").lower() or (
            "connection" not in headers and request.minor_version < 1
        ):
            self._left = 0
        if encoding := headers.get("transfer-encoding"):
            chunked = encoding.lower() == "chunked"
            raise HttpError(
                501, "chunked transfer encoding not supported" if chunked else f"Unknown transfer encoding '{encoding}'"
            )
        if not request.path.startswith("/api2"):
            raise HttpError(500, f"no such file '{request.path}'")
        identity = self._gateway.authenticate(request)
        self._read_body(request)
        return self._gateway.handle(request, identity)

    def _read_body(self, request: Request) -> None:
        stated = request.headers.get("content-length", "")
        length = int(stated) if stated.isdigit() else 0
        if not length:
            return
        if request.method not in ("PUT", "POST"):
            raise HttpError(501, f"Unexpected content for method '{request.method}'")
        if length > self._gateway.settings.profile.max_body_bytes:
            raise HttpError(501, "for data too large")
        if request.content_type() not in _BODY_TYPES:
            raise HttpError(506, f"upload 'Content-Type '{request.headers['content-type']}' not implemented")
        request.body = self._connection.read_body(length)

    def _answer(self, request: Request | None, outcome: Outcome, before: int) -> None:
        response = outcome.response
        time.sleep(response.delay_s)
        if response.status >= 400 or isinstance(response, RawResponse):
            self._left = 0
        minor = request.minor_version if request else 0
        data = response.body if isinstance(response, RawResponse) else render(response, minor, self._left > 0)
        if request is not None:
            self._record(request, outcome, before, len(data))
        self._connection.send(data)
        self._observer.count("bytes_out", len(data))
        if self._left <= 0:
            self._close()

    def _close(self) -> None:
        """Say goodbye; read on for a moment, since closing over unread bytes would reset the connection."""
        sock = self._connection.sock
        sock.settimeout(_CLOSE_NOTIFY_WAIT_S)
        with contextlib.suppress(OSError, ValueError):
            if isinstance(sock, ssl.SSLSocket):
                sock.unwrap()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        self._connection.discard(self._gateway.settings.profile.max_body_bytes, _DISCARD_WAIT_S)

    def _record(self, request: Request, outcome: Outcome, before: int, sent: int) -> None:
        now = time.monotonic()
        self._recorder.keep(request, outcome)
        path, _, query = request.target.partition("?")
        self._observer.record(
            LogEntry(
                started_s=request.started, seconds=round(now - request.started, 6), method=request.method, path=path,
                query=query, kind=outcome.kind, vmid=outcome.vmid, status=outcome.response.status if sent else 0,
                request_bytes=self._connection.bytes_in - before, response_bytes=sent, connection=self._number,
                fault=outcome.fault.action if outcome.fault else None,
            )
        )  # fmt: skip


def _redirect_to_tls(connection: Connection) -> None:
    """Answer plain HTTP on the TLS port as pveproxy does."""
    request = connection.read_request_line()
    connection.read_headers(request)
    status, reason = (301, "Moved Permanently") if request.method in ("GET", "HEAD") else (308, "Permanent Redirect")
    location = {"Location": f"https://{request.headers.get('host', '')}{request.target}"}
    connection.send(render(Response(status, reason, reason.encode(), headers=location), request.minor_version, False))
