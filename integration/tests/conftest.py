"""Fixtures: one lab with every kind of guest for the whole session, the program, and the proof that guests stay clean."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import Lab
from program import PROGRAM, Program, until

VMS = {
    100: "web:pve1:socket",
    101: "bash:pve1:socket,shell=bash",
    102: "alpine:pve2:socket,root=busybox",
    103: "real:pve2:qemu",
    104: "rhel:pve1:disabled",
    105: "off:pve2:stopped",
    106: "deaf:pve1:noagent",
    107: "silent:pve3:none",
    108: "nobase64:pve1:socket,hide=base64",
    109: "bare:pve2:socket,hide=base64+openssl+python3+perl+sha256sum+setsid+fallocate+stat",
    110: "full:pve1:socket,tmpfs=/full@1m,ro=/srv",
    111: "twin:pve1:stopped",
    112: "twin:pve2:stopped",
    113: "mover:pve1:socket",
}
WEB, BASH, ALPINE, REAL, RHEL, OFF, DEAF, SILENT, NOBASE64, BARE, FULL, TWIN, _, MOVER = VMS
GUESTS = (WEB, BASH, ALPINE, REAL, NOBASE64, BARE, FULL, MOVER)
"""Those that can be looked into."""


def pytest_configure(config: pytest.Config) -> None:
    text = "ways(api, qm, socket, why): the ways to the agent that the test is about; all without this mark"
    config.addinivalue_line("markers", text)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is not built; integration/run-tests does all that is needed")


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab(vms=[f"{vmid}:{spec}" for vmid, spec in VMS.items()]) as lab:
        lab.set_unauthorized_delay(0)
        yield lab


@pytest.fixture(scope="session", autouse=True)
def examples_environment(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PROTOCOL.md's examples find the program, a guest and the way to it in this process's environment."""
    program = Program(session_lab, tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in program.environment.items():
            patch.setenv(name, value)
        patch.setenv("PVE_QGA_TEST_SERVE", shlex.join([str(PROGRAM), "serve"]))
        patch.setenv("PVE_QGA_TEST_VM", str(WEB))
        yield


def traces(lab: Lab) -> dict[int, object]:
    """What a run of ours could have left in each guest: files in its temporary directories, processes."""
    found: dict[int, object] = {}
    for vmid in GUESTS:
        guest = lab.guest(vmid)
        listing = guest.run(["ls", "-A", "/tmp", "/var/tmp"] + (["/full", "/srv"] if vmid == FULL else []))
        found[vmid] = (listing.stdout, sorted(process["comm"] for process in guest.processes()))
    return found


@pytest.fixture(scope="module", autouse=True)
def guests_stay_clean(session_lab: Lab) -> Iterator[None]:
    """No module of tests leaves a file or a process in any guest. What ends by itself is waited for: where a call was
    lost, and may still come, what is known of its command stays for 31 s."""
    before = traces(session_lab)
    yield
    until(lambda: traces(session_lab) == before, f"guests as before: {before}, not {traces(session_lab)}", 45)


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    """The session's lab with its counters at zero; what a test changed in it is undone."""
    session_lab.reset_counters()
    yield session_lab
    session_lab.clear_faults()
    session_lab.set_pace(True)
    session_lab.set_profile("pve9.2")
    session_lab.set_clock_offset(0)


@pytest.fixture
def program(lab: Lab, tmp_path: Path) -> Iterator[Program]:
    home = tmp_path / "home"
    home.mkdir()
    program = Program(lab, home)
    yield program
    program.close()


@pytest.fixture(params=[WEB, BASH, ALPINE, REAL], ids=["dash", "bash", "busybox", "qemu"])
def vm(request: pytest.FixtureRequest) -> int:
    """Each kind of guest in turn."""
    vmid: int = request.param
    return vmid


@pytest.fixture(params=[WEB, BASH, ALPINE], ids=["dash", "bash", "busybox"])
def quick_vm(request: pytest.FixtureRequest) -> int:
    """Each kind of shell in turn, in guests whose agents answer at once."""
    vmid: int = request.param
    return vmid


@pytest.fixture
def remote(lab: Lab) -> Iterator[Callable[[int], str]]:
    """Makes an empty directory in a guest and tells its path; all are removed behind the test."""
    path = "/tmp/system-test"
    made: set[int] = set()

    def make(vmid: int) -> str:
        if vmid not in made:
            assert lab.guest(vmid).run(["mkdir", path]).exit_code == 0
            made.add(vmid)
        return path

    yield make
    for vmid in made:
        lab.guest(vmid).run(["rm", "-rf", path])
