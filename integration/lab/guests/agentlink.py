"""A lasting connection to an agent socket, for the lab's own use beside the API."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from .base import GuestError, RunResult

_POLL_S = 0.02


class AgentLink:
    """Runs agent commands one after the other over one connection, which keeps a virtio-serial agent awake."""

    def __init__(self, path: Path, timeout_s: float = 10.0) -> None:
        self._lock = threading.Lock()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(timeout_s)
        self._sock.connect(str(path))
        self._stream = self._sock.makefile("rb")

    def close(self) -> None:
        self._stream.close()
        self._sock.close()

    def sync(self, deadline: float) -> None:
        """Wait for the agent to come up; what is sent before it opens its port waits in QEMU."""
        marker = int(time.monotonic() * 1000)
        request = {"execute": "guest-sync-delimited", "arguments": {"id": marker}}
        self._sock.settimeout(max(0.1, deadline - time.monotonic()))
        self._sock.sendall(b"\xff" + json.dumps(request).encode() + b"\n")
        while True:
            line = self._readline()
            if line.startswith(b"\xff") and json.loads(line[1:]).get("return") == marker:
                return

    def command(self, name: str, **arguments: Any) -> Any:
        """Run one agent command."""
        with self._lock:
            self._sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            answer = json.loads(self._readline())
        if "error" in answer:
            raise GuestError(answer["error"].get("desc", name))
        return answer["return"]

    def run(self, argv: list[str], stdin: bytes, timeout_s: float) -> RunResult:
        """Run a command in the guest."""
        arguments: dict[str, Any] = {"path": argv[0], "arg": argv[1:], "capture-output": True}
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        pid = self.command("guest-exec", **arguments)["pid"]
        deadline = time.monotonic() + timeout_s
        while not (status := self.command("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise GuestError(f"{argv[0]} did not end within {timeout_s} s")
            time.sleep(_POLL_S)
        code = status["exitcode"] if "exitcode" in status else -status["signal"]
        out, err = (base64.b64decode(status.get(key, "")) for key in ("out-data", "err-data"))
        return RunResult(code, out, err)

    def _readline(self) -> bytes:
        try:
            line = self._stream.readline()
        except OSError as error:
            raise GuestError(f"the guest's control agent does not answer: {error}") from None
        if not line:
            raise GuestError("the guest's control agent is gone")
        return line
