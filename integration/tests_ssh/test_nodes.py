"""Where VMs and nodes are, as a node tells it, for users that have nothing but SSH: nodes' addresses, list, inventory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Make
from lab import Lab
from program import Program

NAME = "PROXMOX_VE_SSH_USERNAME"
NODES = "PROXMOX_VE_SSH_NODES"
API = {"PVE_QGA_VIA": "api"}


def test_a_node_that_was_named(make: Make, method: str) -> None:
    """The node that is logged in to says what the other's address is, and that it is one itself."""
    program = make(method)
    assert program.run("exec", "--node=pve1", "100", "echo", "a").succeeded().stdout == b"a\n"
    assert program.run("exec", "--node=pve2", "101", "echo", "a").succeeded().stdout == b"a\n"
    program.run("exec", "--node=pve2", "100", "true").failed("100", "not on node pve2", "pve1")


def test_a_named_node_without_a_list(make: Make) -> None:
    """Whoever may not ask has the name looked up, as long as no address is given."""
    program = make("qm", **{NAME: "pve-qm"})
    program.run("exec", "--node=pve2", "101", "true").failed("pve2", "--ssh-node")
    given = program.having(**{NODES: "pve2=127.0.0.2"})
    assert given.run("exec", "--node=pve2", "101", "echo", "a").succeeded().stdout == b"a\n"


def test_many_commands_at_once_on_another_node(make: Make, method: str) -> None:
    """All but the first ones still wait for their turn on the wrong node when that one is found to be wrong."""
    for _ in range(3):
        with make(method).serve(vm=101) as client:
            requests = [client.start_command(f"echo {number}", live=False) for number in range(30)]
            assert [request.result().stdout for request in requests] == [b"%d\n" % number for number in range(30)]


@pytest.mark.parametrize("more", [{"/": ["Sys.Audit"]}, {}], ids=["cluster-status", "network"])
def test_the_api_knows_what_the_node_does_not_tell(make: Make, lab: Lab, more: dict[str, list[str]]) -> None:
    """A token that may look but not run anything, and a login that may run qm alone."""
    token = lab.add_token(f"lab@pve!look{len(more)}", {"/vms": ["VM.Audit"], **more})
    api = {"PROXMOX_USER": token["token_id"], "PROXMOX_TOKEN_SECRET": token["token_secret"]}
    program = make("qm", PVE_QGA_VIA="auto", **{NAME: "pve-qm"}, **api)
    for vm, options in (("db", []), ("101", []), ("101", ["--node=pve2"])):
        result = program.run("exec", *options, vm, "echo", "a")
        assert (result.status, result.stdout) == (0, b"a\n"), result.stderr
        assert "VM.GuestAgent.Unrestricted" in result.complaint and "going on over SSH" in result.complaint
    assert lab.counters()["requests"].get("network", 0) == (0 if more else 3)


def test_given_addresses_go_before_those_that_are_told(make: Make, lab: Lab) -> None:
    program = make("socket", **{NODES: "pve2=127.0.0.2:1,pve3=127.0.0.3"})
    program.shell(101, "true").failed("127.0.0.2:1")
    # A VM by its name is looked for on the first host, which is the node pve1 itself.
    make("socket", **{NODES: "pve1=127.0.0.1:1"}).shell("web", "true").failed("127.0.0.1:1")


@pytest.mark.parametrize("user", ["root", "pve-ops"])
def test_list(make: Make, user: str) -> None:
    """Neither the way nor the method makes a difference."""
    expected = make("auto", **API).run("list", "--all").succeeded().stdout
    assert b"\n102 " in expected and b"tests" in expected
    program = make("auto", **{NAME: user})
    assert program.run("list", "--all").succeeded().stdout == expected
    assert program.run("list").succeeded().stdout.count(b"\n") == expected.count(b"\n") - 1


def inventory(program: Program) -> Any:
    return json.loads(program.run("inventory", "--list").succeeded().stdout)


def test_inventory(make: Make, method: str) -> None:
    expected = inventory(make("auto", **API))
    assert expected["_meta"]["hostvars"]["db"]["proxmox_node"] == "pve2"
    assert [name for name in expected if name.startswith("os_")] and "tag_tests" in expected
    program = make(method)
    assert inventory(program) == expected
    host = json.loads(program.run("inventory", "--host=db").succeeded().stdout)
    assert host == expected["_meta"]["hostvars"]["db"]


def test_inventory_with_a_node_that_cannot_be_reached(make: Make, method: str) -> None:
    """Its guests do not tell; the others do."""
    result = make(method, **{NODES: "pve2=127.0.0.2:1"}).run("inventory", "--list")
    assert result.status == 0 and "db" in result.complaint and "127.0.0.2:1" in result.complaint
    variables = json.loads(result.stdout)["_meta"]["hostvars"]
    assert "proxmox_agent_interfaces" in variables["web"]
    assert "proxmox_agent_interfaces" not in variables["db"] and variables["db"]["proxmox_node"] == "pve2"


def test_list_when_the_api_is_closed(make: Make, lab: Lab) -> None:
    expected = make("auto", **API).run("list").succeeded().stdout
    lab.close_api()
    result = make("auto", PVE_QGA_VIA="auto").run("list")
    assert (result.status, result.stdout) == (0, expected) and "going on over SSH" in result.complaint
    make("auto", **API).run("list").failed("127.0.0.1")


def test_list_without_the_right_to(make: Make) -> None:
    make("auto", **{NAME: "pve-qm"}).run("list").failed("sudo", "sudoers")
