"""The control socket: one JSON request per line, one JSON answer per line, for the tests that own the lab.

``{"op": NAME, ...arguments}`` is answered by ``{"ok": true, "result": ...}`` or ``{"ok": false, "error": TEXT}``.
Bytes travel as base64.
"""

from __future__ import annotations

import base64
import json
import os
import socketserver
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .auth import ALL_PRIVILEGES, Token
from .guests.base import GuestError
from .guests.namespace import freeze, unfreeze
from .node.operations import NodeOperations
from .profiles import PROFILES
from .server import LabServer, canary_secret


class Operations(NodeOperations):
    """What may be asked; each public method is an operation."""

    def __init__(self, lab: LabServer) -> None:
        self._lab = lab

    def describe(self) -> Any:
        return self._lab.describe()

    def counters(self) -> Any:
        return {**self._lab.observer.counters(), "agents": self._lab.cluster.agent_traffic()}

    def reset_counters(self) -> None:
        self._lab.observer.reset()
        self._lab.cluster.reset_agent_traffic()

    def log(self) -> Any:
        return self._lab.observer.log()

    def record(self, directory: str) -> None:
        self._lab.recorder.start(Path(directory))

    def stop_recording(self) -> int:
        return self._lab.recorder.stop()

    def fault(self, **fields: Any) -> int:
        return self._lab.faults.add(**fields)

    def faults(self) -> Any:
        return self._lab.faults.rules()

    def clear_faults(self) -> None:
        self._lab.faults.clear()

    def move_vm(self, vmid: int, node: str) -> None:
        self._lab.cluster.move(vmid, node)
        self._lab.vms_changed()

    def start_vm(self, vmid: int) -> None:
        self._lab.cluster.vm(vmid).start()
        self._lab.vms_changed()

    def stop_vm(self, vmid: int) -> None:
        self._lab.cluster.vm(vmid).stop()
        self._lab.vms_changed()

    def set_agent_enabled(self, vmid: int, enabled: bool) -> None:
        self._lab.cluster.vm(vmid).agent_enabled = enabled

    def restart_agent(self, vmid: int) -> None:
        self._lab.cluster.vm(vmid).live_guest().restart_agent()

    def stop_agent(self, vmid: int) -> None:
        self._lab.cluster.vm(vmid).live_guest().stop_agent()

    def freeze_agent(self, vmid: int) -> None:
        freeze(self._lab.cluster.vm(vmid).live_guest())

    def unfreeze_agent(self, vmid: int) -> None:
        unfreeze(self._lab.cluster.vm(vmid).live_guest())

    def drop_connections(self) -> None:
        self._lab.proxy.drop_connections()

    def set_profile(self, profile: str) -> None:
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile}: one of {', '.join(PROFILES)}")
        self._lab.settings.profile = PROFILES[profile]

    def set_clock_offset(self, seconds: float) -> None:
        self._lab.authority.clock_offset_s = seconds

    def set_unauthorized_delay(self, seconds: float) -> None:
        self._lab.settings.unauthorized_delay_s = seconds

    def set_hop_timeout(self, seconds: float) -> None:
        for daemon in self._lab.cluster.daemons.values():
            daemon.hop_timeout_s = seconds

    def set_pace(self, enabled: bool) -> None:
        self._lab.set_pace(enabled)

    def add_token(self, tokenid: str, privileges: Any = None) -> Any:
        """Privileges are a list (on ``/``) or an object of path to list; all of them if left out."""
        if privileges is None or isinstance(privileges, list):
            privileges = {"/": ALL_PRIVILEGES if privileges is None else privileges}
        token = Token(tokenid, canary_secret(), privileges)
        self._lab.authority.add_token(token)
        return {"token_id": token.tokenid, "token_secret": token.secret}

    def revoke_token(self, tokenid: str) -> None:
        self._lab.authority.revoke_token(tokenid)

    def guest_run(self, vmid: int, argv: list[str], stdin: str = "", timeout_s: float = 30.0) -> Any:
        done = self._lab.cluster.vm(vmid).live_guest().run(argv, base64.b64decode(stdin), timeout_s)
        return {"exit_code": done.exit_code, "stdout": _b64(done.stdout), "stderr": _b64(done.stderr)}

    def guest_processes(self, vmid: int) -> Any:
        return self._lab.cluster.vm(vmid).live_guest().processes()

    def guest_ssh(self, vmid: int) -> Any:
        access = self._lab.cluster.vm(vmid).live_guest().ssh()
        return {**asdict(access), "key": str(access.key), "known_hosts": str(access.known_hosts)}

    def guest_path(self, vmid: int, path: str) -> str:
        return str(self._lab.cluster.vm(vmid).live_guest().path(path))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            answer = self._answer(line)
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        assert isinstance(self.server, ControlServer)
        try:
            request = json.loads(line)
            name = request.pop("op")
            if name.startswith("_") or not hasattr(Operations, name):
                raise ValueError(f"unknown operation {name}")
            return {"ok": True, "result": getattr(self.server.operations, name)(**request)}
        except (GuestError, ValueError, TypeError, KeyError, OSError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Serves the control socket in the background; only its owner may connect."""

    daemon_threads = True

    def __init__(self, path: Path, lab: LabServer) -> None:
        self.operations = Operations(lab)
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        finally:
            os.umask(mask)
        threading.Thread(target=self.serve_forever, name="control", daemon=True).start()
