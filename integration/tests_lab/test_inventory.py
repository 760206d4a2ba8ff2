"""The calls that tell where VMs are, and the versions."""

from __future__ import annotations

import pytest

from lab import Lab
from rawhttp import Api


def authorization(lab: Lab, privileges: dict[str, list[str]]) -> dict[str, str]:
    token = lab.add_token("some@pve!one", privileges)
    return {"Authorization": f"PVEAPIToken={token['token_id']}={token['token_secret']}"}


@pytest.mark.parametrize(
    ("profile", "release"),
    [("pve7", "7.4"), ("pve8.0-old", "8.0"), ("pve8", "8.4"), ("pve9.0", "9.0"), ("pve9.2", "9.2")],
)
def test_version(lab: Lab, api: Api, profile: str, release: str) -> None:
    lab.set_profile(profile)
    data = api.get("/version").data
    assert data["release"] == release and data["version"].startswith(release)


def test_resources(api: Api) -> None:
    vms = {vm["vmid"]: vm for vm in api.get("/cluster/resources?type=vm").data}
    assert sorted(vms) == list(range(100, 108))
    web = vms[100]
    assert (web["name"], web["node"], web["type"], web["status"], web["id"]) == (
        "web",
        "pve1",
        "qemu",
        "running",
        "qemu/100",
    )
    assert (web["tags"], web["template"]) == ("prod;web", 0)
    assert vms[101]["status"] == "stopped"
    assert api.get("/cluster/resources?type=x").status == 400


def test_pool_is_told_to_who_may_see_it(lab: Lab, api: Api) -> None:
    entries = {vm["vmid"]: vm for vm in api.get("/cluster/resources?type=vm").data}
    assert entries[100]["pool"] == "shop" and "pool" not in entries[101]
    headers = authorization(lab, {"/vms": ["VM.Audit"]})
    entries = {vm["vmid"]: vm for vm in api.get("/cluster/resources?type=vm", headers=headers).data}
    assert entries[100]["name"] == "web" and "pool" not in entries[100]


def test_moved_vm_is_listed_at_its_new_node(lab: Lab, api: Api) -> None:
    lab.move_vm(107, "pve2")
    nodes = {vm["vmid"]: vm["node"] for vm in api.get("/cluster/resources?type=vm").data}
    lab.move_vm(107, "pve1")
    assert nodes[107] == "pve2"


def test_cluster_and_network(api: Api) -> None:
    nodes = {entry["name"]: entry for entry in api.get("/cluster/status").data if entry["type"] == "node"}
    assert (nodes["pve1"]["ip"], nodes["pve1"]["local"], nodes["pve2"]["local"]) == ("127.0.0.1", 1, 0)
    interfaces = {entry["iface"]: entry for entry in api.get("/nodes/pve2/network").data}
    assert interfaces["vmbr0"]["address"] == nodes["pve2"]["ip"] == "127.0.0.2"
    assert [name for name, entry in interfaces.items() if "gateway" in entry] == ["vmbr0"]


def test_vm_status_and_config(api: Api) -> None:
    status = api.get("/nodes/pve1/qemu/100/status/current").data
    assert (status["status"], status["agent"]) == ("running", 1)
    assert api.get("/nodes/pve2/qemu/101/status/current").data["status"] == "stopped"
    assert api.get("/nodes/pve1/qemu/100/config").data["agent"] == "1"
    assert "agent" not in api.get("/nodes/pve1/qemu/102/config").data


def test_agent_information(api: Api) -> None:
    assert api.agent("GET", "get-osinfo").data["result"]["id"] == "debian"
    assert "host-name" in api.agent("GET", "get-host-name").data["result"]
    assert any(i["name"] == "lo" for i in api.agent("GET", "network-get-interfaces").data["result"])
    commands = {
        c["name"]: c["enabled"] for c in api.agent("GET", "info", vmid=104).data["result"]["supported_commands"]
    }
    assert commands["guest-exec"] is False and commands["guest-ping"] is True


def test_refusals_of_information_are_results(api: Api) -> None:
    """PVE checks only the results of commands that it has code of its own for."""
    answer = api.agent("GET", "network-get-interfaces", vmid=105, node="pve2")
    assert answer.status == 200
    assert answer.data["result"]["error"]["class"] == "CommandNotFound"
    assert "has been disabled" in answer.data["result"]["error"]["desc"]


@pytest.mark.parametrize(
    ("profile", "privilege", "status"),
    [
        ("pve9.2", "VM.GuestAgent.Audit", 200),
        ("pve9.2", "VM.GuestAgent.Unrestricted", 200),
        ("pve9.2", "VM.GuestAgent.FileRead", 403),
        ("pve9.2", "VM.Monitor", 403),
        ("pve8", "VM.Monitor", 200),
        ("pve8", "VM.Audit", 403),
    ],
)
def test_privileges_for_information(lab: Lab, api: Api, profile: str, privilege: str, status: int) -> None:
    lab.set_profile(profile)
    headers = authorization(lab, {"/vms/100": [privilege]})
    for name in ("get-osinfo", "network-get-interfaces", "get-host-name"):
        assert api.agent("GET", name, headers=headers).status == status
    assert api.agent("POST", "get-osinfo", headers=headers).status == 501
    assert api.agent("GET", "get-osinfo?x=1", headers=headers).status == (400 if status == 200 else 403)


def test_frozen_guest_refuses_exec_but_answers_pings(api: Api) -> None:
    assert api.agent("POST", "fsfreeze-status", vmid=107).data == {"result": "thawed"}
    assert api.agent("POST", "fsfreeze-freeze", vmid=107).status == 200
    try:
        answer = api.exec("true", vmid=107)
        assert answer.status == 500 and "has been disabled" in answer.reason
        assert api.agent("POST", "ping", vmid=107).status == 200
        assert api.agent("POST", "fsfreeze-status", vmid=107).data == {"result": "frozen"}
    finally:
        assert api.agent("POST", "fsfreeze-thaw", vmid=107).status == 200
    assert api.exec("true", vmid=107).status == 200
