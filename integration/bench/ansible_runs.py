"""Ansible at work: a playbook of ten tasks and a ping, over each connection that is compared.

What is timed is the whole process. All have the same ansible-core, Python and settings: no facts, pipelining where the
connection has it, shared connections (``ssh``'s ControlPersist, ours) for ``_PERSIST``, and an absolute directory for
modules, since the peer sets no HOME for ``~``. Each series begins without a shared connection:

- ``first``: ``ansible-playbook plays/site.yml`` in a guest that has none of it yet;
- ``repeated``: the same again, which changes nothing;
- ``warm``, ours alone: once more in a guest that has none of it, for the calls of tasks that change something over a
  connection in use;
- ``ping``: ``ansible -m ping``, the second in a row.

Compared are ours and the peer, on both guests; Ansible's ``ssh`` on the QEMU guest; and Ansible's ``local`` next to
the agent on a socket. ``local`` runs on this machine: the same kernel, Python and modules as in that guest, which is
but a namespace of it, and no way to get there. So it is the floor of what any connection can reach.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prepare
from cases import KIB, MIB, QEMU, SOCKET
from lab import Lab
from prepare import PeerFiles

VMS = {SOCKET: f"{SOCKET}:socket:pve1:socket", QEMU: f"{QEMU}:guest:pve1:qemu,root=debian,ssh=1"}
WORKS = ("first", "repeated", "warm", "ping")
NAME = "ansible"

_PLAYS = Path(__file__).with_name("plays")
_PERSIST = "20s"
_TIMEOUT_S = 900
_REMOTE = "/root/bench-play"
_CHANGES = {"first": 6, "repeated": 0, "warm": 6}
_PEER = "community.proxmox.proxmox_qemu_api"


class RunError(Exception):
    """Ansible failed, or did not do what it should."""


@dataclass(frozen=True)
class Task:
    """One task of a playbook."""

    name: str
    seconds: float
    calls: dict[str, int]


@dataclass(frozen=True)
class Run:
    """One process of Ansible; what the lab counted meanwhile, and for a playbook its tasks."""

    seconds: float
    calls: dict[str, int]
    handshakes: int
    tasks: list[Task]


@dataclass
class Series:
    """The runs over one connection, of one kind of work; ``failure`` is why there are no more."""

    who: str
    vmid: int
    work: str
    runs: list[Run] = field(default_factory=list)
    failure: str | None = None


@dataclass(frozen=True)
class _Way:
    """A connection with its variables; ``work`` is the directory that the playbook fills, ``vmid`` a guest's."""

    who: str
    vmid: int | None
    work: str
    python: str
    variables: dict[str, Any]


def repetitions(vmid: int, quick: bool, full: bool) -> tuple[int, int]:
    """How often each connection is run, and how often the peer, which takes minutes in a slow guest."""
    return 1 if quick else 3 if vmid == SOCKET else 2, int(vmid == SOCKET or full)


class AnsibleBench:
    """Ansible next to one lab with one guest."""

    def __init__(self, lab: Lab, vmid: int, files: PeerFiles, program: Path, directory: Path) -> None:
        self._lab = lab
        self._vmid = vmid
        self._bin = files.python.parent
        self._directory = directory
        self._tasks = directory / "tasks"
        self._fetched = directory / "fetched"
        paths = [str(prepare.ROOT / "contrib"), str(files.collections)]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PROXMOX_"))},
            "PATH": f"{self._bin}:{os.environ['PATH']}", "HOME": str(directory), "LC_ALL": "C.UTF-8",
            "BENCH_LAB_CONTROL": lab.info["control"], "BENCH_TASKS": str(self._tasks),
            "ANSIBLE_CALLBACK_PLUGINS": str(_PLAYS / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "lab_counters",
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(paths), "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": f"-C -o ControlMaster=auto -o ControlPersist={_PERSIST}",
            "PVE_QGA_CONTROL_PERSIST": _PERSIST, "PVE_QGA_RUN": str(program),
            "PROXMOX_HOST": lab.host, "PROXMOX_PORT": str(lab.port), "PROXMOX_TOKEN_ID": lab.token_id,
            "PROXMOX_TOKEN_SECRET": lab.token_secret, "PROXMOX_NODE": lab.info["vms"][0]["node"],
            "PROXMOX_CA_FILE": lab.ca_file, "REQUESTS_CA_BUNDLE": lab.ca_file,
        }  # fmt: skip

    def measure(self, repetitions: int, peer_repetitions: int) -> list[Series]:
        """All connections in turn."""
        ways = self._ways()
        counts = {way.who: peer_repetitions if way.who == "peer" else repetitions for way in ways}
        measured = {
            who: [Series(who, self._vmid, work) for work in WORKS if work != "warm" or who == "ours"]
            for who, count in counts.items()
            if count > 0
        }
        for number in range(max(counts.values())):
            for way in ways:
                if number < counts[way.who] and not any(series.failure for series in measured[way.who]):
                    self._one_series(way, measured[way.who], number)
        return [series for mine in measured.values() for series in mine]

    def _ways(self) -> list[_Way]:
        here = shutil.which("python3", path="/usr/bin") or sys.executable
        python = here if self._vmid == SOCKET else "/usr/bin/python3"
        vm = {"proxmox_vmid": self._vmid}
        ways = [
            _Way("ours", self._vmid, _REMOTE, python, {"ansible_connection": "pve.qga.guest", **vm}),
            _Way("peer", self._vmid, _REMOTE, python, {"ansible_connection": _PEER, **vm}),
        ]
        if self._vmid == SOCKET:
            local = str(self._directory / "local")
            return [_Way("local", None, local, python, {"ansible_connection": "local"}), *ways]
        return [_Way("ssh", self._vmid, _REMOTE, python, self._ssh_variables()), *ways]

    def _ssh_variables(self) -> dict[str, Any]:
        access = self._lab.guest(self._vmid).ssh
        return {
            "ansible_connection": "ssh", "ansible_host": access.host, "ansible_port": access.port,
            "ansible_user": access.user, "ansible_ssh_private_key_file": str(access.key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={access.known_hosts}",
        }  # fmt: skip

    # ---- one series ----

    def _one_series(self, way: _Way, measured: list[Series], number: int) -> None:
        """Each kind of work once."""
        shared = self._directory / f"{way.who}{number}"
        shared.mkdir(mode=0o700)
        inventory = self._directory / f"{way.who}.json"
        variables = {
            **way.variables, "ansible_python_interpreter": way.python, "ansible_remote_tmp": f"{way.work}-tmp",
            "work": way.work, "fetched": str(self._fetched),
            "small": str(prepare.content("random", 4 * KIB)), "large": str(prepare.content("random", MIB)),
        }  # fmt: skip
        inventory.write_text(json.dumps({"all": {"hosts": {"bench": variables}}}))
        for series in measured:
            if series.work in ("first", "warm"):
                self._make_ready(way)
            try:
                if series.work == "ping":
                    self._run(series.work, inventory, shared)
                series.runs.append(self._run(series.work, inventory, shared))
            except RunError as error:
                series.failure = str(error)
                break

    def _make_ready(self, way: _Way) -> None:
        """Nothing there but the file that is fetched."""
        script = f"rm -rf {way.work} {way.work}-tmp && mkdir -p {way.work} && cat >{way.work}/source"
        source = prepare.content("random", 100 * KIB).read_bytes()
        self._fetched.unlink(missing_ok=True)
        if way.vmid is None:
            subprocess.run(["sh", "-c", script], input=source, check=True)
        else:
            done = self._lab.guest(way.vmid).run(["sh", "-c", script], source)
            if done.exit_code != 0:
                raise SystemExit(f"bench: {script}: {done.stderr.decode('utf-8', 'replace')}")

    def _run(self, work: str, inventory: Path, shared: Path) -> Run:
        if work == "ping":
            command = ["ansible", "-i", str(inventory), "all", "-m", "ansible.builtin.ping"]
        else:
            command = ["ansible-playbook", "-i", str(inventory), str(_PLAYS / "site.yml")]
        command[0] = str(self._bin / command[0])
        environment = {
            **self._environment, "XDG_RUNTIME_DIR": str(shared), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(shared),
        }  # fmt: skip
        self._lab.reset_counters()
        begin = time.perf_counter()
        try:
            done = subprocess.run(
                command, env=environment, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=_TIMEOUT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RunError(str(error)) from None
        seconds = time.perf_counter() - begin
        counters = self._lab.counters()
        if done.returncode != 0:
            raise RunError(" ".join(done.stdout.split())[-400:])
        tasks = self._read_tasks() if work != "ping" else []
        if work != "ping":
            self._check(work, done.stdout)
        return Run(seconds, counters["requests"], counters["tls_handshakes"], tasks)

    def _check(self, work: str, told: str) -> None:
        """As many changes as there should be, and the right content of what was fetched; Ansible compared the rest."""
        recap = re.search(r"ok=(\d+) +changed=(\d+)", told)
        if recap is None or (int(recap[1]), int(recap[2])) != (10, _CHANGES[work]):
            raise RunError(f"{work}: {recap[0] if recap else 'no recap'}, where {_CHANGES[work]} are to be changed")
        if prepare.digest(self._fetched) != prepare.digest(prepare.content("random", 100 * KIB)):
            raise RunError("the fetched file is not what the guest has")

    def _read_tasks(self) -> list[Task]:
        notes = [json.loads(line) for line in self._tasks.read_text().splitlines()]
        return [
            Task(
                note["task"], after["at"] - note["at"],
                {kind: count - note["calls"].get(kind, 0) for kind, count in after["calls"].items()},
            )
            for note, after in zip(notes, notes[1:])
        ]  # fmt: skip
