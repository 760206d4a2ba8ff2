"""pve-qga-rsh over each way to each kind of guest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests_ssh"))

from lab import Lab  # noqa: E402
from over_ssh import environment  # noqa: E402
from rsh import RSH, Rsh, facts, make_tree  # noqa: E402
from screen import Line  # noqa: E402

VMS = {"socket": "100:web:pve1:socket", "busybox": "101:small:pve1:qemu", "debian": "102:real:pve1:qemu,root=debian"}


@pytest.fixture(scope="module")
def ways_lab() -> Iterator[Lab]:
    with Lab(vms=list(VMS.values()), ssh=True) as lab:
        lab.set_qm_start(0)
        yield lab


@pytest.fixture(params=["api", "socket", "qm"])
def over(request: pytest.FixtureRequest, ways_lab: Lab, tmp_path: Path) -> Iterator[Rsh]:
    """The program on its way by the API, or by SSH with each method."""
    home = tmp_path / "home"
    home.mkdir()
    more = {} if request.param == "api" else {**environment(ways_lab, request.param), "PVE_QGA_VIA": "ssh"}
    program = Rsh(ways_lab, home, {**more, "PROXMOX_VE_SSH_HOST": ways_lab.ssh["host"]} if more else None)
    yield program
    program.close()


@pytest.fixture(params=VMS)
def vm(request: pytest.FixtureRequest, ways_lab: Lab) -> Iterator[str]:
    """A VM's id; nothing is left in it."""
    vmid = VMS[request.param].split(":")[0]
    look = ["sh", "-c", "ls -A /tmp | grep pve-qga-run"]
    yield vmid
    assert ways_lab.guest(int(vmid)).run(look).stdout == b""


def test_there_and_back(over: Rsh, vm: str) -> None:
    data = os.urandom(600_000)
    done = over.run(vm, "cat; echo err >&2; exit 5", stdin=data)
    assert (done.status, done.stdout == data, done.stderr) == (5, True, b"err\n")


def test_tree(over: Rsh, vm: str, tmp_path: Path) -> None:
    tree, back = make_tree(tmp_path / "tree", 60), tmp_path / "back"
    back.mkdir()
    packed = subprocess.run(["tar", "c", "-C", tree, "."], stdout=subprocess.PIPE, check=True).stdout
    over.run(vm, "mkdir /tmp/there && tar x -C /tmp/there", stdin=packed).succeeded()
    returned = over.run(vm, "tar c -C /tmp/there . && rm -r /tmp/there").succeeded().stdout
    subprocess.run(["tar", "x", "-C", back], input=returned, check=True)
    assert facts(back) == facts(tree)


def test_terminal(over: Rsh, vm: str) -> None:
    line = Line([str(RSH.with_name("pve-qga-shell")), vm, "stty size; cat; tty"], over.environment)
    try:
        if vm == "101":  # which has busybox only, and that no script
            assert line.end() == 255 and b"neither script(1) nor Python" in line.seen
            return
        line.until(b"30 100\r\n")
        line.type(b"some keys\r")
        line.until(b"some keys\r\nsome keys\r\n")
        line.type(b"\x04")
        line.until(b"/dev/pts/")
        assert line.end() == 0
    finally:
        line.close()
