"""``Lab``: starts a lab as a process of its own and steers it; for tests, demos and benchmarks."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .guests.base import RunResult, SshAccess
from .node.handle import NodeHandle

_PACKAGE_PARENT = Path(__file__).resolve().parent.parent


class LabError(Exception):
    """The lab could not be started, or refused an operation."""


class Lab:
    """A running lab. Use it as a context manager; attributes hold what a client needs to reach it."""

    def __init__(
        self,
        vms: list[str] | None = None,
        profile: str | None = None,
        nodes: str | None = None,
        pace: bool = True,
        directory: Path | None = None,
        port: int = 0,
        ssh: bool = False,
    ) -> None:
        command = [sys.executable, "-m", "lab", "up", "--port", str(port)]
        command += [f"--vm={vm}" for vm in vms or []]
        command += ["--profile", profile] if profile else []
        command += ["--nodes", nodes] if nodes else []
        command += [] if pace else ["--no-pace"]
        command += ["--dir", str(directory)] if directory else []
        command += ["--ssh"] if ssh else []
        environment = {**os.environ, "PYTHONPATH": str(_PACKAGE_PARENT)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"the lab did not start: exit status {self._process.wait()}")
        self.info: dict[str, Any] = json.loads(line)
        self.host: str = self.info["host"]
        self.port: int = self.info["port"]
        self.url: str = self.info["url"]
        self.fingerprint: str = self.info["fingerprint"]
        self.ca_file: str = self.info["ca_file"]
        self.token_id: str = self.info["token_id"]
        self.token_secret: str = self.info["token_secret"]
        self._lock = threading.Lock()
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.connect(self.info["control"])
        self._answers = self._control.makefile("rb")

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the lab and wait until every guest is gone."""
        self._answers.close()
        self._control.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def authorization(self) -> str:
        """The value of the ``Authorization`` header for the token that may do everything."""
        return f"PVEAPIToken={self.token_id}={self.token_secret}"

    @property
    def ssh(self) -> dict[str, Any]:
        """How to reach the nodes by SSH (a lab with ``ssh``); its members are in README.md."""
        return dict(self.info["ssh"])

    def ask(self, op: str, **arguments: Any) -> Any:
        """Run a control operation by name; the methods below are the ones there are."""
        with self._lock:
            self._control.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            line = self._answers.readline()
        if not line:
            raise LabError("the lab is gone")
        answer = json.loads(line)
        if not answer["ok"]:
            raise LabError(answer["error"])
        return answer["result"]

    def counters(self) -> dict[str, Any]:
        """Requests by kind, acts in guests, connections, bytes, peaks of calls in flight, and ``agents``."""
        return dict(self.ask("counters"))

    def agents(self) -> dict[str, Any]:
        """What reached the agents of all socket guests, by any way: ``commands`` by name, ``bytes_in``, ``bytes_out``."""
        return dict(self.counters()["agents"])

    def reset_counters(self) -> None:
        """Forget counters and the request log."""
        self.ask("reset_counters")

    def log(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        return list(self.ask("log"))

    def record(self, directory: Path) -> None:
        """Keep all requests and answers from now on in a new directory; see ``record.py`` for its files."""
        self.ask("record", directory=str(directory))

    def stop_recording(self) -> int:
        """End the recording; returns how many requests it has."""
        return int(self.ask("stop_recording"))

    def fault(self, kind: str, action: str, **fields: Any) -> int:
        """Plan a fault; see ``faults.py`` for the fields. Returns the rule's id."""
        return int(self.ask("fault", kind=kind, action=action, **fields))

    def faults(self) -> list[dict[str, Any]]:
        """The planned faults with how often each matched and fired."""
        return list(self.ask("faults"))

    def clear_faults(self) -> None:
        """Forget all planned faults."""
        self.ask("clear_faults")

    def move_vm(self, vmid: int, node: str) -> None:
        """Let a VM run on another node from now on."""
        self.ask("move_vm", vmid=vmid, node=node)

    def start_vm(self, vmid: int) -> None:
        """Start a stopped VM."""
        self.ask("start_vm", vmid=vmid)

    def stop_vm(self, vmid: int) -> None:
        """Stop a VM with everything in it."""
        self.ask("stop_vm", vmid=vmid)

    def set_agent_enabled(self, vmid: int, enabled: bool) -> None:
        """Set the VM's ``agent`` option."""
        self.ask("set_agent_enabled", vmid=vmid, enabled=enabled)

    def restart_agent(self, vmid: int) -> None:
        """Restart the agent; its children end."""
        self.ask("restart_agent", vmid=vmid)

    def stop_agent(self, vmid: int) -> None:
        """End the agent and its children."""
        self.ask("stop_agent", vmid=vmid)

    def freeze_agent(self, vmid: int) -> None:
        """Stop the agent process where it stands (SIGSTOP)."""
        self.ask("freeze_agent", vmid=vmid)

    def unfreeze_agent(self, vmid: int) -> None:
        """Let a frozen agent go on (SIGCONT)."""
        self.ask("unfreeze_agent", vmid=vmid)

    def drop_connections(self) -> None:
        """Close every client connection."""
        self.ask("drop_connections")

    def set_profile(self, profile: str) -> None:
        """Become another Proxmox VE release."""
        self.ask("set_profile", profile=profile)

    def set_clock_offset(self, seconds: float) -> None:
        """Move the node's clock, for tickets that expire and TOTP."""
        self.ask("set_clock_offset", seconds=seconds)

    def set_unauthorized_delay(self, seconds: float) -> None:
        """How long a 401 is held back; 3 s unless told."""
        self.ask("set_unauthorized_delay", seconds=seconds)

    def set_hop_timeout(self, seconds: float) -> None:
        """How long pveproxy waits for pvedaemon; 30 s unless told."""
        self.ask("set_hop_timeout", seconds=seconds)

    def set_pace(self, enabled: bool) -> None:
        """Imitate PVE's own slowness or not."""
        self.ask("set_pace", enabled=enabled)

    def add_token(self, tokenid: str, privileges: list[str] | dict[str, list[str]] | None = None) -> dict[str, str]:
        """Add an API token; returns ``token_id`` and ``token_secret``."""
        return dict(self.ask("add_token", tokenid=tokenid, privileges=privileges))

    def revoke_token(self, tokenid: str) -> None:
        """Remove an API token."""
        self.ask("revoke_token", tokenid=tokenid)

    def close_api(self) -> None:
        """Refuse connections to the API and end those that are open; SSH goes on."""
        self.ask("close_api")

    def open_api(self) -> None:
        """Take connections to the API again, on the same port."""
        self.ask("open_api")

    def set_qm_start(self, seconds: float) -> None:
        """How long ``qm`` and ``pvesh`` take to start; 0.7 s unless told."""
        self.ask("set_qm_start", seconds=seconds)

    def stop_socks(self) -> None:
        """Let the SOCKS5 proxy refuse connections and end those through it."""
        self.ask("socks_stop")

    def start_socks(self) -> None:
        """Bring the SOCKS5 proxy back, on the same port."""
        self.ask("socks_start")

    def cut_socks_after(self, direction: str, size: int) -> None:
        """End all connections through the SOCKS5 proxy after that many more bytes "up" (to the node) or "down"."""
        self.ask("socks_cut_after", direction=direction, size=size)

    def socks_counts(self) -> dict[str, int]:
        """``connections`` that the SOCKS5 proxy made and ``refused_logins``."""
        return dict(self.ask("socks_counts"))

    def node(self, name: str | None = None) -> NodeHandle:
        """A node of a lab with ``ssh``; the one whose API clients talk to unless named."""
        return NodeHandle(self, name)

    def guest(self, vmid: int) -> GuestHandle:
        """The inside of a VM."""
        return GuestHandle(self, vmid)


@dataclass(frozen=True)
class GuestHandle:
    """Acts inside a guest without the API."""

    lab: Lab
    vmid: int

    def run(self, argv: list[str], stdin: bytes = b"", timeout_s: float = 30.0) -> RunResult:
        """Run a command in the guest and wait for its end."""
        given = base64.b64encode(stdin).decode()
        done = self.lab.ask("guest_run", vmid=self.vmid, argv=argv, stdin=given, timeout_s=timeout_s)
        return RunResult(done["exit_code"], base64.b64decode(done["stdout"]), base64.b64decode(done["stderr"]))

    def processes(self) -> list[dict[str, Any]]:
        """The guest's processes besides its init and its agent."""
        return list(self.lab.ask("guest_processes", vmid=self.vmid))

    def path(self, path: str) -> Path:
        """Where this machine sees a path of the guest (socket guests only; new after each start of the VM)."""
        return Path(self.lab.ask("guest_path", vmid=self.vmid, path=path))

    @property
    def ssh(self) -> SshAccess:
        """How to reach the guest's SSH server (qemu guests with ``ssh=1``; another port after each start)."""
        told = self.lab.ask("guest_ssh", vmid=self.vmid)
        return SshAccess(told["host"], told["port"], told["user"], Path(told["key"]), Path(told["known_hosts"]))
