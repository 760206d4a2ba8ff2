"""Two runs at the same time with ten workers each: no collisions, few logins, and never more calls to a node than one program makes."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import CROWD, NODES, Ansible, finish
from lab import Lab

ONE_VM: dict[str, dict[str, Any]] = {f"alias{number}": {"proxmox_vmid": CROWD[0]} for number in range(10)}
TEN_VMS: dict[str, dict[str, Any]] = {f"crowd{vmid}": {} for vmid in CROWD}


@pytest.mark.parametrize("hosts", [ONE_VM, TEN_VMS], ids=["one-vm", "ten-vms"])
def test_two_runs(both: list[Ansible], lab: Lab, hosts: dict[str, dict[str, Any]]) -> None:
    runs = [ansible.start("crowd.yml", hosts, of=ansible.core.name) for ansible in both]
    for run in [finish(run) for run in runs]:
        run.succeeded()
    counters = lab.counters()
    peaks = counters["peak_in_flight"]
    assert {name: peak for name, peak in peaks.items() if name in NODES and peak > 3} == {}, peaks
    # All workers of both runs share one program: it finds the VMs once, and keeps its connections.
    assert counters["requests"].get("resources", 0) <= 3, counters
    assert counters["tls_handshakes"] <= 3 * len(NODES) + counters["requests_total"] / 30, counters
