"""Fixtures: a lab, and pve-qga-rsh with those who call it instead of ssh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lab import Lab  # noqa: E402
from rsh import Rsh  # noqa: E402

VMS = ["100:web:pve1:socket", "101:db:pve2:socket", "102:off:pve1:stopped", "103:small:pve1:socket,root=busybox"]


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab(vms=VMS) as lab:
        yield lab


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    session_lab.reset_counters()
    yield session_lab
    session_lab.clear_faults()


@pytest.fixture
def rsh(lab: Lab, tmp_path: Path) -> Iterator[Rsh]:
    home = tmp_path / "home"
    home.mkdir()
    program = Rsh(lab, home)
    yield program
    program.close()


@pytest.fixture
def there(lab: Lab) -> Iterator[Path]:
    """An empty directory of guest 100, as this machine sees it; in the guest it is /tmp/there."""
    run = lab.guest(100).run
    run(["rm", "-rf", "/tmp/there"])
    run(["mkdir", "/tmp/there"])
    yield lab.guest(100).path("/tmp/there")
    run(["rm", "-rf", "/tmp/there"])


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    """Nothing of ours is left in the guest when the test is over, but what others left before."""

    def directories() -> set[bytes]:
        return set(lab.guest(100).run(["sh", "-c", "ls -d /tmp/.pve-qga-run* 2>/dev/null"]).stdout.split())

    before = directories()
    yield
    assert not directories() - before
