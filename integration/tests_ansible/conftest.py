"""Fixtures: one lab for the session, Ansible in each version with an inventory that leads there, clean guests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cores import CORES, PYPI, ROOT, Core, prepare  # noqa: F401  (PYPI is for the tests)
from lab import Lab

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from program import PROGRAM, until  # noqa: E402  (it lies beside the tests of the program)

NODES = ("pve1", "pve2", "pve3")
PIPED, FILES, PASSWORD, SU, FRAIL = range(100, 105)
REAL, OFF, SILENT = 110, 111, 112
CROWD = range(120, 130)
VMS = {
    PIPED: "piped:pve1:socket",
    FILES: "files:pve1:socket",
    PASSWORD: "password:pve2:socket",
    SU: "su:pve3:socket,shell=bash",
    FRAIL: "frail:pve1:socket",
    REAL: "real:pve3:qemu,root=debian",
    OFF: "off:pve2:stopped",
    SILENT: "silent:pve3:none",
    **{vmid: f"crowd{vmid}:{NODES[vmid % 3]}:socket" for vmid in CROWD},
}
SOCKETS = (PIPED, FILES, PASSWORD, SU, FRAIL, *CROWD)
GUESTS = (*SOCKETS, REAL)

BECOME_PASSWORD = "CANARY-become-word"
MODULES = ".ansible-guest"
"""Where modules are put in guests; not the usual folder, as the guests see this machine's own. Those of this machine go
into the test's folder, for the same reason."""

RUN_S = 150
"""No run takes that long unless it hangs."""


def pytest_sessionstart(session: pytest.Session) -> None:
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is not built; integration/run-tests does all that is needed")
    prepare()


@dataclass(frozen=True)
class Run:
    """How a run of ansible-playbook ended, and all that it said."""

    status: int
    output: str

    def succeeded(self) -> Run:
        assert self.status == 0, self.output[-12000:]
        return self


class Ansible:
    """ansible-playbook of one version, with an environment that leads to the lab and nowhere else."""

    def __init__(self, core: Core, lab: Lab, home: Path, control: Path) -> None:
        self.core = core
        self.lab = lab
        self.home = home
        self.environment = {
            "PATH": f"{core.bin}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1", "ANSIBLE_REMOTE_TMP": str(home / "modules"), "ANSIBLE_HOME": str(home / "ansible"), "ANSIBLE_FORKS": "10",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "contrib"), "ANSIBLE_LOCAL_TEMP": str(home / "ansible/tmp"),
            "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_LOCALHOST_WARNING": "0", "PVE_QGA_RUN": str(PROGRAM), "PVE_QGA_CONTROL_PATH": str(control),
            "PROXMOX_HOST": lab.host, "PROXMOX_PORT": str(lab.port), "PROXMOX_CA_FILE": lab.ca_file,
            "PROXMOX_TOKEN_ID": lab.token_id, "PROXMOX_TOKEN_SECRET": lab.token_secret,
        }  # fmt: skip
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def start(
        self, playbook: str, hosts: Mapping[str, Mapping[str, Any]], *arguments: str, **variables: Any
    ) -> subprocess.Popen[str]:
        """Starts a playbook for these hosts, whose values are their variables."""
        folder = self.home / f"run{len(list(self.home.glob('run*')))}"
        folder.mkdir()
        inventory = folder / "inventory.json"
        # Of each host, as variables of a group could be those of this machine as well.
        in_guests = {"ansible_connection": "pve.qga.guest", "ansible_remote_tmp": f"~/{MODULES}"}
        told = {name: {**in_guests, **of_host} for name, of_host in hosts.items()}
        inventory.write_text(json.dumps({"all": {"hosts": told}}), encoding="utf-8")
        given = {
            "local": str(folder), "control": self.lab.info["control"], "lab_ask": str(HERE / "lab_ask.py"), **variables
        }  # fmt: skip
        command = [self.core.bin / "ansible-playbook", "-i", inventory, "-e", json.dumps(given), *arguments]
        return subprocess.Popen(
            [*command, HERE / "playbooks" / playbook], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip

    def run(self, playbook: str, hosts: Mapping[str, Mapping[str, Any]], *arguments: str, **variables: Any) -> Run:
        """Runs a playbook to its end."""
        return finish(self.start(playbook, hosts, *arguments, **variables))


def finish(process: subprocess.Popen[str]) -> Run:
    with process:
        try:
            output, _ = process.communicate(timeout=RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"still running after {RUN_S} s: {output[-8000:]}") from None
    return Run(process.returncode, output)


def stop_sharing(control: Path) -> None:
    """Ends the programs that runs have shared; they clean up the guests."""
    subprocess.run([PROGRAM, "control", "exit", "--control-path", control], stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab(vms=[f"{vmid}:{spec}" for vmid, spec in VMS.items()]) as lab:
        lab.set_unauthorized_delay(0)
        for vmid in SOCKETS:
            users = (
                "useradd -m alice && useradd -m bob"
                f" && printf 'alice:%s\\nbob:%s\\n' {BECOME_PASSWORD} {BECOME_PASSWORD} | chpasswd"
                " && echo 'alice ALL=(ALL) ALL' >/etc/sudoers.d/alice"
            )
            done = lab.guest(vmid).run(["sh", "-c", f"echo {VMS[vmid].split(':')[0]} >/etc/whoami; {users}"])
            assert done.exit_code == 0, done
        lab.guest(REAL).run(["sh", "-c", "echo real >/etc/whoami"])
        yield lab


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    """The session's lab with its counters at zero."""
    session_lab.reset_counters()
    yield session_lab
    session_lab.clear_faults()


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Path]:
    """Where runs find the program they share; it is ended behind the test."""
    path = tmp_path / "control"
    path.mkdir(mode=0o700)
    yield path
    stop_sharing(path)


@pytest.fixture(params=CORES, ids=str)
def ansible(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path, control: Path) -> Ansible:
    """Each version in turn."""
    return Ansible(request.param, lab, tmp_path, control)


@pytest.fixture
def both(lab: Lab, tmp_path: Path, control: Path) -> list[Ansible]:
    """All versions, to run them at the same time."""
    made = []
    for core in CORES:
        home = tmp_path / core.name
        home.mkdir()
        made.append(Ansible(core, lab, home, control))
    return made


@pytest.fixture
def contents(tmp_path: Path) -> str:
    """A folder of files that are easily spoilt."""
    folder = tmp_path / "contents"
    folder.mkdir()
    (folder / "汉语-['foo bar'].txt").write_bytes("汉语\n".encode() + b"a\0b\r\n\xff\xfe")
    (folder / "empty").touch()
    return str(folder)


def came_back(ansible: Ansible, contents: str) -> set[str]:
    """The hosts from which the only run so far has fetched all files, each as it was."""
    there = {path.name: path.read_bytes() for path in Path(contents).iterdir()}
    hosts = [path for path in (ansible.home / "run0").iterdir() if path.is_dir()]
    return {host.name for host in hosts if {path.name: path.read_bytes() for path in host.iterdir()} == there}


def forget_modules(lab: Lab, vmid: int) -> None:
    """Removes what Ansible's modules leave themselves, when they are killed or may not remove their own folder."""
    folders = f"/tmp/ansible_* /var/tmp/ansible-tmp-* /root/{MODULES}/* /home/*/{MODULES}/*"
    assert lab.guest(vmid).run(["sh", "-c", f"rm -rf {folders}"]).exit_code == 0


def traces(lab: Lab) -> Counter[tuple[int, str]]:
    """What is in guests of files in temporary directories, also in the users' homes, and of processes, by guest."""
    look = f"ls -A /tmp | sed s,^,/tmp/,; ls -A /var/tmp | sed s,^,/var/tmp/,; ls -d /root/{MODULES}/* /home/*/{MODULES}/*"
    seen: Counter[tuple[int, str]] = Counter()
    for vmid in GUESTS:
        guest = lab.guest(vmid)
        files = guest.run(["sh", "-c", look]).stdout.decode("utf-8", "surrogateescape").splitlines()
        seen.update((vmid, file) for file in files)
        for process in guest.processes():
            seen[vmid, f"process {process['comm']} {' '.join(process['argv'])[-200:]}"] += 1
    return seen


@pytest.fixture(scope="session")
def known_traces(session_lab: Lab) -> Counter[tuple[int, str]]:
    """What guests have in them when nobody uses them."""
    looks = [traces(session_lab)]

    def is_quiet() -> bool:
        looks.append(traces(session_lab))
        return looks[-1] == looks[-2]

    until(is_quiet, "guests in which nothing changes")
    return looks[-1]


@pytest.fixture(autouse=True)
def guests_stay_clean(session_lab: Lab, known_traces: Counter[tuple[int, str]]) -> Iterator[None]:
    """No test leaves a file or a process in any guest. What ends a moment later is waited for."""
    yield
    left: Counter[tuple[int, str]] = Counter()

    def is_clean() -> bool:
        nonlocal left
        left = traces(session_lab) - known_traces
        return not left

    try:
        until(is_clean, "clean guests", 45)
    except AssertionError:
        # It is told once, for the test that has left it.
        known_traces.update(left)
        pytest.fail(f"left in guests (by VM): {sorted(left.elements())}")
