"""A client of ``pve-qga-run serve``: commands and files in Proxmox VE guests, many at a time.

Standard library only; the protocol is specified in transport/proto/PROTOCOL.md. One file that a
plug-in can copy.

    with Client(["pve-qga-run", "serve"], options={"host": "pve1"}) as client:
        result = client.exec_command("uname -a", vm=100)
        print(result.exit_code, result.stdout)

        running = [client.start_command("apt-get update", vm=vm) for vm in (100, 101, 102)]
        print([request.result().exit_code for request in running])

        request = client.start_command("tar x -C /srv", vm=100, stdin=STREAM)
        request.write(data)     # waits while the guest is slower
        request.end()
        request.result()

All methods may be called from any thread. Callbacks (``on_stdout`` etc.) run in the thread that
reads the server's output: they must not wait for results nor write stdin.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import threading
from typing import Any, BinaryIO, Callable, Iterable, Mapping, NamedTuple, Optional, Sequence, Union

PROTOCOL_VERSION = 1
STREAM = "stream"  # for start_command(stdin=...): bytes follow with Request.write()

_LINE_BYTES = 8 * 1024 * 1024
_WRITE_BYTES = 64 * 1024

Text = Union[str, bytes, "os.PathLike[str]"]
OnBytes = Callable[[bytes], None]


class Error(Exception):
    """A request ended with an error.

    ``code`` is a name such as ``"vm-stopped"``; ``effect`` is ``"none"``, ``"unknown"`` or
    ``"done"``: what the request did in the guest. ``hint`` may be None.
    """

    def __init__(
        self,
        message: str,
        code: str = "protocol",
        effect: str = "unknown",
        retryable: bool = False,
        hint: Optional[str] = None,
        rpc_code: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.effect = effect
        self.retryable = retryable
        self.hint = hint
        self.rpc_code = rpc_code

    @classmethod
    def from_json(cls, error: Mapping[str, Any]) -> Error:
        data = error.get("data") or {}
        return cls(
            str(error.get("message", "")),
            data.get("code", "protocol"),
            data.get("effect", "unknown"),
            bool(data.get("retryable", False)),
            data.get("hint"),
            error.get("code"),
        )

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ServerGone(Error):
    """The server ended before it answered. What it was doing may have been done."""


class CommandResult(NamedTuple):
    exit_code: int  # 128 + n after signal n
    signal: Optional[str]  # "TERM", or None
    stdout: bytes  # empty if on_stdout got it
    stderr: bytes
    warnings: Sequence[str]


class FileResult(NamedTuple):
    bytes: int
    sha256: Optional[str]
    mode: str  # "0644"


class Request:
    """A request in flight."""

    def __init__(self, client: Client, request_id: int, make: Callable[[Request, Any], Any]) -> None:
        self.id = request_id
        self._client = client
        self._make = make
        self._changed = threading.Condition()
        self._credit = 0
        self._done = False
        self._answer: Any = None
        self._error: Optional[Error] = None
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self.on_output: dict[str, Optional[OnBytes]] = {}
        self.on_progress: Optional[Callable[[int, Optional[int]], None]] = None

    def done(self) -> bool:
        return self._done

    def result(self, timeout: Optional[float] = None) -> Any:
        """The result, or raises its ``Error``. ``TimeoutError`` after ``timeout`` seconds, in which case the
        request goes on."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._done, timeout):
                raise TimeoutError(f"request {self.id} has not ended")
        if self._error is not None:
            raise self._error
        return self._make(self, self._answer)

    def cancel(self) -> bool:
        """Asks for the request to be cancelled; its ``result()`` says how it ended. False: it had ended already."""
        return bool(self._client._call("cancel", {"id": self.id})["found"])

    def write(self, data: Union[bytes, bytearray, memoryview]) -> bool:
        """Sends stdin of a command started with ``STREAM``. False: it has ended and takes no more."""
        view = memoryview(data).cast("B")
        while len(view) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._done or self._credit > 0)
                if self._done:
                    return False
                count = min(len(view), self._credit, _WRITE_BYTES)
                self._credit -= count
            self._client._send({"method": "stdin", "params": {"id": self.id}}, view[:count])
            view = view[count:]
        return not self._done

    def end(self) -> None:
        """Ends the stdin of a command started with ``STREAM``."""
        if not self._done:
            self._client._send({"method": "stdin", "params": {"id": self.id, "eof": True}})

    def _add_credit(self, count: int) -> None:
        with self._changed:
            self._credit += count
            self._changed.notify_all()

    def _finish(self, answer: Any, error: Optional[Error]) -> None:
        with self._changed:
            self._answer, self._error, self._done = answer, error, True
            self._changed.notify_all()


class Client:
    """One server process. ``vm`` and ``options`` are what requests have unless they say otherwise."""

    def __init__(
        self,
        command: Sequence[str] = ("pve-qga-run", "serve"),
        *,
        vm: Union[str, int, None] = None,
        options: Optional[Mapping[str, Any]] = None,
        name: str = "pve_qga_client",
        environment: Optional[Mapping[str, str]] = None,
        on_log: Optional[Callable[[str, str], None]] = None,
    ) -> None:
        self._on_log = on_log
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._requests: dict[int, Request] = {}
        self._complaint: Optional[Error] = None
        self._gone = False
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        self._reader = threading.Thread(target=self._read_all, name="pve-qga-reader", daemon=True)
        self._reader.start()
        try:
            hello = {"version": PROTOCOL_VERSION, "client": name, "vm": vm, "options": options}
            self.server: Mapping[str, Any] = self._call("hello", hello)
        except BaseException:
            self._end_process(5)
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close(None if exception[0] is None else 0)

    # ---- requests ----

    def start_command(
        self,
        cmd: Union[str, bytes],
        *,
        vm: Union[str, int, None] = None,
        stdin: Union[bytes, str] = b"",
        executable: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None,
        timeout: Optional[float] = None,
        live: bool = True,
        remember: bool = False,
        options: Optional[Mapping[str, Any]] = None,
        on_stdout: Optional[OnBytes] = None,
        on_stderr: Optional[OnBytes] = None,
    ) -> Request:
        """Starts a shell command line; ``result()`` gives a ``CommandResult``. ``stdin`` is its content, or ``STREAM``."""
        params = {"vm": vm, "executable": executable, "env": env, "cwd": cwd, "timeout": timeout, "options": options}
        params.update(_text("cmd", cmd))
        if not live:
            params["live"] = False
        if remember:
            params["remember"] = True
        payload = b""
        if isinstance(stdin, str):
            if stdin != STREAM:
                raise TypeError("stdin must be bytes or STREAM")
            params["stdin"] = STREAM
        else:
            payload = stdin

        def prepare(request: Request) -> None:
            request.on_output = {"stdout": on_stdout, "stderr": on_stderr}

        return self._start("exec_command", params, payload, _command_result, prepare)

    def exec_command(
        self, cmd: Union[str, bytes], *, stdin: Union[bytes, BinaryIO, Iterable[bytes]] = b"", **arguments: Any
    ) -> CommandResult:
        """Runs a command line and waits for it. ``stdin`` may also be a file or an iterable of bytes."""
        if isinstance(stdin, (bytes, bytearray)):
            result: CommandResult = self.start_command(cmd, stdin=bytes(stdin), **arguments).result()
            return result
        request = self.start_command(cmd, stdin=STREAM, **arguments)
        try:
            for piece in _pieces(stdin):
                if not request.write(piece):
                    break
        except BaseException:
            request.cancel()
            raise
        request.end()
        result = request.result()
        return result

    def start_put(
        self,
        in_path: Text,
        out_path: Text,
        *,
        vm: Union[str, int, None] = None,
        mode: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
        on_progress: Optional[Callable[[int, Optional[int]], None]] = None,
    ) -> Request:
        """Copies the local file ``in_path`` into the guest; ``result()`` gives a ``FileResult``."""
        return self._start_file("put_file", in_path, out_path, vm, mode, options, on_progress)

    def put_file(self, in_path: Text, out_path: Text, **arguments: Any) -> FileResult:
        result: FileResult = self.start_put(in_path, out_path, **arguments).result()
        return result

    def put_bytes(
        self,
        content: bytes,
        out_path: Text,
        *,
        vm: Union[str, int, None] = None,
        mode: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
    ) -> FileResult:
        """Writes ``content`` (at most 64 MiB) to a file of the guest."""
        params = {"vm": vm, "mode": mode, "options": options, **_text("out_path", out_path)}
        result: FileResult = self._start("put_file", params, content, _file_result, payload_always=True).result()
        return result

    def start_fetch(
        self,
        in_path: Text,
        out_path: Text,
        *,
        vm: Union[str, int, None] = None,
        mode: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
        on_progress: Optional[Callable[[int, Optional[int]], None]] = None,
    ) -> Request:
        """Copies the guest's file ``in_path`` to the local ``out_path``; ``result()`` gives a ``FileResult``."""
        return self._start_file("fetch_file", in_path, out_path, vm, mode, options, on_progress)

    def fetch_file(self, in_path: Text, out_path: Text, **arguments: Any) -> FileResult:
        result: FileResult = self.start_fetch(in_path, out_path, **arguments).result()
        return result

    def ping(self, vm: Union[str, int, None] = None, options: Optional[Mapping[str, Any]] = None) -> None:
        """Returns if the guest's agent answers."""
        self._call("ping", {"vm": vm, "options": options})

    def close(self, timeout: Optional[float] = None) -> int:
        """Lets what runs end, has the guests cleaned up and waits for the server to exit. Returns its exit status.

        After ``timeout`` seconds the server is told to stop at once (SIGTERM), which cancels what still runs.
        """
        if self._process.poll() is None:
            try:
                self._start("close", {}, b"", _plain_result).result(timeout)
            except (Error, TimeoutError):
                pass
        return self._end_process(timeout)

    # ---- sending ----

    def _start_file(
        self,
        method: str,
        in_path: Text,
        out_path: Text,
        vm: Union[str, int, None],
        mode: Optional[str],
        options: Optional[Mapping[str, Any]],
        on_progress: Optional[Callable[[int, Optional[int]], None]],
    ) -> Request:
        params = {"vm": vm, "mode": mode, "options": options, **_text("in_path", in_path), **_text("out_path", out_path)}

        def prepare(request: Request) -> None:
            request.on_progress = on_progress

        return self._start(method, params, b"", _file_result, prepare)

    def _call(self, method: str, params: Mapping[str, Any]) -> Any:
        return self._start(method, params, b"", _plain_result).result()

    def _start(
        self,
        method: str,
        params: Mapping[str, Any],
        payload: bytes,
        make: Callable[[Request, Any], Any],
        prepare: Optional[Callable[[Request], None]] = None,
        payload_always: bool = False,
    ) -> Request:
        request = Request(self, next(self._ids), make)
        if prepare is not None:
            prepare(request)
        given = {name: value for name, value in params.items() if value is not None}
        message = {"id": request.id, "method": method, "params": given}
        if payload_always:
            message["payload"] = len(payload)
        line = _header(message, payload)
        with self._lock:
            if self._gone:
                raise ServerGone("the server has ended", effect="none")
            self._requests[request.id] = request
        self._write(line, payload)
        return request

    def _send(self, message: Mapping[str, Any], payload: Union[bytes, memoryview] = b"") -> None:
        self._write(_header(message, payload), payload)

    def _write(self, line: bytes, payload: Union[bytes, memoryview]) -> None:
        assert self._process.stdin is not None
        with self._write_lock:
            try:
                for part in (memoryview(line), memoryview(payload)):
                    while len(part) > 0:
                        part = part[self._process.stdin.write(part) :]
            except (BrokenPipeError, ValueError):
                pass  # the server is gone, which the reader tells everybody who waits

    def _end_process(self, timeout: Optional[float]) -> int:
        assert self._process.stdin is not None
        with self._write_lock:
            self._process.stdin.close()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                status = self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                status = self._process.wait()
        if threading.current_thread() is not self._reader:
            self._reader.join()
        return status

    # ---- receiving ----

    def _read_all(self) -> None:
        assert self._process.stdout is not None
        reason = "the server has ended"
        try:
            with open(self._process.stdout.fileno(), "rb", closefd=False) as stream:
                while self._read_message(stream):
                    pass
        except (ValueError, KeyError, TypeError, EOFError) as error:
            reason = f"the server sent what is no message: {error}"
        finally:
            self._fail_all(reason)
            self._process.stdout.close()

    def _read_message(self, stream: BinaryIO) -> bool:
        line = stream.readline(_LINE_BYTES + 1)
        if not line:
            return False
        if not line.endswith(b"\n"):
            raise EOFError("a header without its end")
        header = json.loads(line)
        size = header.get("payload", 0)
        payload = stream.read(size) if size else b""
        if len(payload) != size:
            raise EOFError("a payload without its end")
        if "method" in header:
            self._notified(header["method"], header.get("params", {}), payload)
        else:
            self._answered(header)
        return True

    def _notified(self, method: str, params: Mapping[str, Any], payload: bytes) -> None:
        if method == "log":
            if self._on_log is not None:
                self._on_log(params["level"], params["message"])
            return
        request = self._requests.get(params.get("id", 0))
        if request is None:
            return
        if method in ("stdout", "stderr"):
            callback = request.on_output.get(method)
            if callback is not None:
                callback(payload)
            else:
                request.output[method] += payload
        elif method == "stdin_ready":
            request._add_credit(params["bytes"])
        elif method == "progress" and request.on_progress is not None:
            request.on_progress(params["bytes"], params.get("total"))

    def _answered(self, header: Mapping[str, Any]) -> None:
        error = Error.from_json(header["error"]) if "error" in header else None
        with self._lock:
            request = self._requests.pop(header["id"], None) if header["id"] is not None else None
        if request is not None:
            request._finish(header.get("result"), error)
        elif error is not None:
            self._complaint = error

    def _fail_all(self, reason: str) -> None:
        if self._complaint is not None:
            reason = f"{reason}: {self._complaint}"
        with self._lock:
            self._gone = True
            waiting = list(self._requests.values())
            self._requests.clear()
        for request in waiting:
            request._finish(None, ServerGone(reason))


def _header(message: Mapping[str, Any], payload: Union[bytes, memoryview]) -> bytes:
    header = {"jsonrpc": "2.0", **message}
    if len(payload) > 0:
        header["payload"] = len(payload)
    return json.dumps(header, separators=(",", ":")).encode("ascii") + b"\n"


def _text(name: str, value: Text) -> dict[str, str]:
    """``value`` as a string if it is UTF-8, otherwise as base64 of its bytes."""
    raw = os.fsencode(value)
    try:
        return {name: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode("ascii")}


def _pieces(source: Union[BinaryIO, Iterable[bytes]]) -> Iterable[bytes]:
    read = getattr(source, "read", None)
    return source if read is None else iter(lambda: read(_WRITE_BYTES), b"")


def _plain_result(request: Request, answer: Any) -> Any:
    return answer


def _command_result(request: Request, answer: Mapping[str, Any]) -> CommandResult:
    return CommandResult(
        answer["exit_code"],
        answer["signal"],
        bytes(request.output["stdout"]),
        bytes(request.output["stderr"]),
        answer.get("warnings", []),
    )


def _file_result(request: Request, answer: Mapping[str, Any]) -> FileResult:
    return FileResult(answer["bytes"], answer["sha256"], answer["mode"])
