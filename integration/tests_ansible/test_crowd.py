"""Two runs at the same time with ten workers each: no collisions, and never more calls to a node than one program makes."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import CROWD, NODES, Ansible, finish, stop_sharing
from lab import Lab

ONE_VM: dict[str, dict[str, Any]] = {f"alias{number}": {"proxmox_vmid": CROWD[0]} for number in range(10)}
TEN_VMS: dict[str, dict[str, Any]] = {f"crowd{vmid}": {} for vmid in CROWD}


@pytest.mark.parametrize("hosts", [ONE_VM, TEN_VMS], ids=["one-vm", "ten-vms"])
def test_two_runs(both: list[Ansible], lab: Lab, hosts: dict[str, dict[str, Any]]) -> None:
    runs = [ansible.start("crowd.yml", hosts, of=ansible.core.name) for ansible in both]
    for run in [finish(run) for run in runs]:
        run.succeeded()
    peaks = lab.counters()["peak_in_flight"]
    assert {name: peak for name, peak in peaks.items() if name in NODES and peak > 3} == {}, peaks


def test_login_is_paid_once(both: list[Ansible], lab: Lab) -> None:
    """What the workers share needs few connections, and finds the VMs once."""
    ansible = both[0]
    ansible.run("crowd.yml", TEN_VMS, of="shared").succeeded()
    counters = lab.counters()
    stop_sharing(ansible.home.parent / "control")
    assert counters["tls_handshakes"] <= 4 * len(NODES), counters
    assert counters["requests"].get("resources", 0) <= 3, counters
