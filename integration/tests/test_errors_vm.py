"""What stands in the way of the VM and its agent: one line that says what, where and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from conftest import DEAF, MOVER, OFF, RHEL, SILENT, TWIN, WEB
from lab import Lab
from program import Program, ended, finish, until
from pve_qga_client import Error
from refusal import refused

def test_unknown_vm(program: Program) -> None:
    refused(program, "vm-unknown", "999", vm=999)
    refused(program, "vm-unknown", "nowhere", vm="nowhere")


def test_ambiguous_name(program: Program) -> None:
    refused(program, "vm-ambiguous", "twin", str(TWIN), str(TWIN + 1), vm="twin")


def test_name_and_id(program: Program) -> None:
    assert program.exec("web", "echo", "by name").succeeded().stdout == b"by name\n"


@pytest.mark.ways("api", why="over SSH it is the VM that is not there")
def test_unknown_node(program: Program) -> None:
    refused(program, "node-unknown", "pve9", node="pve9")


def test_wrong_node(program: Program) -> None:
    refused(program, "vm-unknown", str(WEB), node="pve2")


@pytest.mark.ways("api", why="counts the API's calls")
def test_right_node_needs_no_lookup(program: Program, lab: Lab) -> None:
    assert program.run("exec", "--node=pve1", str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"
    assert "resources" not in lab.counters()["requests"]


def test_stopped_vm(program: Program) -> None:
    refused(program, "vm-stopped", str(OFF), "start the VM", vm=OFF)


def test_agent_not_enabled(program: Program) -> None:
    refused(program, "agent-not-enabled", str(DEAF), "enable the QEMU guest agent", vm=DEAF)


def test_agent_disabled_by_the_distribution(program: Program) -> None:
    refused(program, "agent-command-disabled", str(RHEL), "guest-exec", "FILTER_RPC_ARGS", vm=RHEL)


def test_agent_not_running(program: Program) -> None:
    result = program.run("exec", "--connect-timeout=2", str(SILENT), "true")
    assert result.status == 255
    *waiting, last = result.stderr.decode().splitlines()
    assert str(SILENT) in last and "qemu-guest-agent" in last
    assert len(waiting) <= 1
    with program.serve() as client, pytest.raises(Error) as raised:
        client.exec_command("true", vm=SILENT, options={"connect_timeout": 0})
    assert (raised.value.code, raised.value.effect) == ("agent-not-running", "none")


def test_agent_that_comes_late(program: Program, lab: Lab, late: Callable[[], Any]) -> None:
    lab.stop_agent(WEB)
    with ended(program.start("exec", str(WEB), "echo", "ok")) as process:
        assert process.stderr
        message = process.stderr.readline()
        late()
        result = finish(process)
    assert (result.status, result.stdout) == (0, b"ok\n")
    assert b"trying again" in message and str(WEB).encode() in message


@pytest.fixture
def late(lab: Lab) -> Iterator[Callable[[], None]]:
    """Brings the agent back, at the latest behind the test."""
    yield lambda: lab.restart_agent(WEB)
    lab.restart_agent(WEB)


@pytest.mark.ways("api", why="the API's answer is made up")
def test_frozen_filesystems(program: Program, lab: Lab) -> None:
    """What an agent says while a backup has the filesystems frozen."""
    frozen = "Agent error: Command guest-exec has been disabled: the agent is in frozen state"
    lab.fault("exec", "status-before", status=500, reason=frozen, count=0)
    refused(program, "agent-frozen", "backup", connect_timeout="0")


def test_vm_that_moves_during_the_session(program: Program, lab: Lab) -> None:
    with program.serve(vm=MOVER) as client:
        assert client.exec_command("echo here").stdout == b"here\n"
        lab.move_vm(MOVER, "pve2")
        assert client.exec_command("echo there").stdout == b"there\n"
        lab.move_vm(MOVER, "pve1")
        client.put_bytes(b"moved", "/tmp/moved")
        lab.move_vm(MOVER, "pve2")
        assert client.exec_command("cat /tmp/moved; rm /tmp/moved").stdout == b"moved"
    lab.move_vm(MOVER, "pve1")


def test_vm_that_moves_while_a_command_runs(program: Program, lab: Lab) -> None:
    with program.serve(vm=MOVER) as client:
        request = client.start_command("echo ready; cat; echo done", stdin="stream")
        until(lambda: bytes(request.output["stdout"]) == b"ready\n", "the command runs")
        lab.move_vm(MOVER, "pve2")
        request.write(b"input\n")
        request.end()
        assert request.result().stdout == b"ready\ninput\ndone\n"
    lab.move_vm(MOVER, "pve1")


def test_vm_that_is_stopped_while_a_command_runs(program: Program, lab: Lab) -> None:
    with program.serve(vm=MOVER) as client:
        request = client.start_command("echo ready; sleep 1000")
        until(lambda: bytes(request.output["stdout"]) == b"ready\n", "the command runs")
        lab.stop_vm(MOVER)
        with pytest.raises(Error) as raised:
            request.result()
    lab.start_vm(MOVER)
    assert raised.value.effect == "unknown" and raised.value.code in ("vm-stopped", "outcome-unknown"), raised.value


def test_ping(program: Program, vm: int) -> None:
    result = program.run("ping", str(vm)).succeeded()
    assert str(vm).encode() in result.stdout and result.stdout.count(b"\n") == 1
    with program.serve(vm=vm) as client:
        client.ping()


def test_ping_that_fails(program: Program) -> None:
    program.run("ping", str(OFF)).failed(str(OFF), "start the VM")
