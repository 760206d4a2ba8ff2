# Copyright: (c) 2026, the pve-qga-run project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0
"""A client of ``pve-qga-run serve`` for one request at a time, without threads.

All waiting happens in ``Server.step()``: it sends what is queued, reads what has arrived and hands it to
its ``Call``. A caller that has to react to a command's output goes on between the steps:

    server = Server(["pve-qga-run", "serve"], os.environ)
    server.hello("example", "web")
    call = server.start("exec_command", {"cmd": "cat", "stdin": "stream"})
    call.write(b"data", eof=True)
    while not call.done:
        server.step()

What interrupts a step (a signal handler that raises, such as that of a task's ``timeout``) may leave half
a frame behind. The only thing to do then is ``abort()``, which also ends the command in the guest.

Nothing here touches the standard streams of the process: Ansible's workers have none.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import selectors
import subprocess
import typing as t

PROTOCOL_VERSION = 1
LINE_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
WRITE_BYTES = 64 * 1024
ERROR_TEXT_BYTES = 4096  # what is kept of the server's stderr
PATIENCE_S = 30.0  # for a server that was told to end; it gives what runs in guests less than that


class Refusal(Exception):
    """A request ended with an error. ``effect`` is what it did in the guest: none, unknown or done."""

    def __init__(self, message: str, code: str, effect: str = "none", hint: t.Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.effect = effect
        self.hint = hint


class Call:
    """A request that was sent."""

    def __init__(self, server: Server, number: int) -> None:
        self.done = False
        self.output: t.Dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._server = server
        self._number = number
        self._answer: t.Any = None
        self._refusal: t.Optional[Refusal] = None
        self._credit = 0
        self._stdin: t.Deque[memoryview] = collections.deque()
        self._eof: t.Optional[bool] = None  # None: not given, False: to be sent, True: sent

    def result(self) -> t.Any:
        """What the request came to; raises its Refusal. Call it when ``done``."""
        if self._refusal is not None:
            raise self._refusal
        return self._answer

    def write(self, data: bytes, eof: bool = False) -> None:
        """Bytes for the stdin of a command with ``"stdin": "stream"``; they are sent as the guest takes them."""
        if data:
            self._stdin.append(memoryview(data))
        if eof:
            self._eof = False
        self._send_stdin()

    def _send_stdin(self) -> None:
        while self._stdin and self._credit > 0 and not self.done:
            piece = self._stdin.popleft()
            count = min(len(piece), self._credit)
            if count < len(piece):
                self._stdin.appendleft(piece[count:])
            self._credit -= count
            self._server.send({"method": "stdin", "params": {"id": self._number}}, piece[:count])
        if self._eof is False and not self._stdin and not self.done:
            self._eof = True
            self._server.send({"method": "stdin", "params": {"id": self._number, "eof": True}})

    def notified(self, method: str, params: t.Mapping[str, t.Any], payload: bytes) -> None:
        if method in self.output:
            self.output[method] += payload
        elif method == "stdin_ready":
            self._credit += params["bytes"]
            self._send_stdin()

    def ended(self, answer: t.Any, refusal: t.Optional[Refusal] = None) -> None:
        self.done = True
        self._answer = answer
        self._refusal = refusal
        self._stdin.clear()


class Server:
    """One process of ``pve-qga-run serve``. ``features`` is what it promised in its ``hello``."""

    def __init__(
        self,
        command: t.Sequence[str],
        environment: t.Mapping[str, str],
        on_log: t.Optional[t.Callable[[str, str], None]] = None,
    ) -> None:
        self._process = subprocess.Popen(
            list(command),
            env=dict(environment),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.features: t.Collection[str] = frozenset()
        self._on_log = on_log
        self._calls: t.Dict[int, Call] = {}
        self._number = 0
        self._outgoing: t.Deque[memoryview] = collections.deque()
        self._incoming = bytearray()
        self._errors = bytearray()
        self._complaint = ""
        self._gone: t.Optional[Refusal] = None
        self._over = False
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            os.set_blocking(stream.fileno(), False)
        self._selector.register(self._process.stdout, selectors.EVENT_READ, self._read_output)
        self._selector.register(self._process.stderr, selectors.EVENT_READ, self._read_errors)

    def hello(self, client: str, vm: t.Optional[str] = None, options: t.Optional[t.Mapping[str, t.Any]] = None) -> None:
        """The first request; all others are about this VM and have these options unless they say otherwise."""
        said = {"version": PROTOCOL_VERSION, "client": client, "vm": vm, "options": options}
        answer = self.call("hello", said) or {}
        self.features = frozenset(answer.get("features", ()))

    # ---- requests ----

    def start(self, method: str, params: t.Mapping[str, t.Any], payload: bytes = b"") -> Call:
        """Queues a request. Params that are None are left out."""
        self._number += 1
        call = Call(self, self._number)
        if self._gone is not None:
            call.ended(None, Refusal(self._gone.message, self._gone.code))
            return call
        self._calls[self._number] = call
        given = {name: value for name, value in params.items() if value is not None}
        self.send({"id": self._number, "method": method, "params": given}, payload)
        return call

    def call(self, method: str, params: t.Mapping[str, t.Any], payload: bytes = b"") -> t.Any:
        """Sends a request, waits for its end and returns its result."""
        call = self.start(method, params, payload)
        while not call.done:
            self.step()
        return call.result()

    def send(self, message: t.Mapping[str, t.Any], payload: t.Union[bytes, memoryview] = b"") -> None:
        header = {"jsonrpc": "2.0", **message}
        if payload:
            header["payload"] = len(payload)
        line = json.dumps(header, separators=(",", ":")).encode("ascii") + b"\n"
        for part in (line, payload):
            if part:
                self._outgoing.append(memoryview(part))
        self._watch_stdin()

    def step(self, timeout: t.Optional[float] = None) -> bool:
        """Waits until something happens, and does it. False: nothing did within ``timeout`` seconds."""
        events = self._selector.select(timeout)
        for key, _mask in events:
            key.data()
        return bool(events)

    @property
    def queued(self) -> bool:
        """Whether something is still to be handed over."""
        return bool(self._outgoing) and self._gone is None

    # ---- the end ----

    def leave(self) -> None:
        """Closes the server's input and leaves it to finish what runs, which a shared server does in a while."""
        self._over = True
        self._selector.close()
        self._process.stdin.close()

    def close(self) -> None:
        """Closes the server's input, upon which it cleans up the guests and ends."""
        if not self._over:
            self._wait()

    def abort(self) -> None:
        """Ends what runs, in the guest too. Safe in any state, and more than once."""
        if not self._over:
            self._process.terminate()
            self._wait()

    def _wait(self) -> None:
        """Waits for the process to end; meanwhile it can say whatever it still has to say."""
        try:
            self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.communicate()
            self._over = True
            self._selector.close()

    # ---- sending and receiving ----

    def _watch_stdin(self) -> None:
        """Has the selector tell when the server's input takes bytes, exactly while there are some to send."""
        watched = self._process.stdin in self._selector.get_map()
        if self._outgoing and not watched:
            self._selector.register(self._process.stdin, selectors.EVENT_WRITE, self._write_input)
        elif watched and not self._outgoing:
            self._selector.unregister(self._process.stdin)

    def _write_input(self) -> None:
        part = self._outgoing[0]
        try:
            count = os.write(self._process.stdin.fileno(), part[:WRITE_BYTES])
        except BrokenPipeError:
            self._outgoing.clear()  # the end of its output tells why
        else:
            self._outgoing.popleft()
            if count < len(part):
                self._outgoing.appendleft(part[count:])
        self._watch_stdin()

    def _read_errors(self) -> None:
        data = os.read(self._process.stderr.fileno(), READ_BYTES)
        if not data:
            self._selector.unregister(self._process.stderr)
        self._errors = (self._errors + data)[-ERROR_TEXT_BYTES:]

    def _read_output(self) -> None:
        data = os.read(self._process.stdout.fileno(), READ_BYTES)
        self._incoming += data
        try:
            while self._take_message():
                pass
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._all_ended("pve-qga-run sent what is no message")
        if not data:
            with contextlib.suppress(BlockingIOError):
                self._errors += os.read(self._process.stderr.fileno(), ERROR_TEXT_BYTES)
            said = self._complaint or self._errors.decode("utf-8", "replace").strip()
            self._all_ended(said or "pve-qga-run has ended before it answered")
        return None

    def _take_message(self) -> bool:
        """Handles the first message if it is there as a whole."""
        end = self._incoming.find(b"\n", 0, LINE_BYTES + 1)
        if end < 0:
            if len(self._incoming) > LINE_BYTES:
                raise ValueError("a line without an end")
            return False
        header = json.loads(self._incoming[:end])
        size = header.get("payload", 0)
        if len(self._incoming) - end - 1 < size:
            return False
        payload = bytes(self._incoming[end + 1 : end + 1 + size])
        del self._incoming[: end + 1 + size]
        if "method" in header:
            self._notified(header["method"], header.get("params", {}), payload)
        else:
            self._answered(header)
        return True

    def _notified(self, method: str, params: t.Mapping[str, t.Any], payload: bytes) -> None:
        if method == "log":
            if self._on_log is not None:
                self._on_log(params["level"], params["message"])
        elif params.get("id") in self._calls:
            self._calls[params["id"]].notified(method, params, payload)

    def _answered(self, header: t.Mapping[str, t.Any]) -> None:
        refusal = None
        if "error" in header:
            data = header["error"].get("data") or {}
            refusal = Refusal(
                header["error"]["message"], data.get("code", "protocol"), data.get("effect", "unknown"), data.get("hint")
            )
        call = self._calls.pop(header["id"], None)
        if call is not None:
            call.ended(header.get("result"), refusal)
        elif refusal is not None:
            self._complaint = refusal.message

    def _all_ended(self, reason: str) -> None:
        """There will be no more answers. What was under way may have been done."""
        self._gone = Refusal(reason, "ended", "unknown")
        self._selector.unregister(self._process.stdout)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.ended(None, self._gone)
