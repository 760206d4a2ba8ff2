"""Fixtures: one lab for most tests, one with a QEMU guest, and a raw HTTP client for both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab import Lab  # noqa: E402
from rawhttp import Api  # noqa: E402

VMS = [
    "100:web:pve1:socket,tags=prod+web,pool=shop",
    "101:off:pve2:stopped",
    "102:noagent:pve1:noagent",
    "103:silent:pve2:none",
    "104:rhel:pve1:disabled,shell=bash",
    "105:odd:pve2:socket,block=guest-network-get-interfaces,hide=base64+setsid,tmpfs=/full@64k,ro=/srv",
    "106:alpine:pve1:socket,root=busybox",
    "107:spare:pve1:socket,disk=/disk",
]


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab(vms=VMS) as lab:
        yield lab


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    """The shared lab, as it was at its start."""
    session_lab.reset_counters()
    yield session_lab
    session_lab.clear_faults()
    session_lab.set_profile("pve9.2")
    session_lab.set_clock_offset(0)
    session_lab.set_unauthorized_delay(3)
    session_lab.set_hop_timeout(30)


@pytest.fixture
def api(lab: Lab) -> Iterator[Api]:
    with Api(lab) as api:
        yield api


@pytest.fixture(scope="session")
def qemu_lab() -> Iterator[Lab]:
    with Lab(vms=["200:real:pve1:qemu"]) as lab:
        yield lab
