"""exec: time limits and signals end the command in the guest with all of its process group."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from conftest import WEB
from lab import Lab
from program import Program, ended, finish, until

FAMILY = "echo ready; sleep 1001 & sleep 1002 | sleep 1003"
STUBBORN = "trap '' TERM INT HUP; echo ready; while :; do sleep 0.05; done"


def nothing_runs(lab: Lab, vmid: int) -> None:
    until(lambda: not lab.guest(vmid).processes(), f"nothing runs in guest {vmid}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_our_signal_ends_the_commands_group(program: Program, lab: Lab, number: signal.Signals) -> None:
    with ended(program.start("exec", "--shell", FAMILY, str(WEB))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        result = finish(process, number)
    assert (result.status, result.stdout) == (128 + number, b"")
    assert lab.guest(WEB).processes() == []


def test_our_signal_on_each_guest(program: Program, lab: Lab, vm: int) -> None:
    with ended(program.start("exec", "--shell", FAMILY, str(vm))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert finish(process, signal.SIGTERM).status == 143
    nothing_runs(lab, vm)


def test_command_may_end_in_its_own_way(program: Program) -> None:
    line = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with ended(program.start("exec", "--shell", line, str(WEB))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert finish(process, signal.SIGTERM).status == 143


def test_second_signal_kills(program: Program, lab: Lab) -> None:
    with ended(program.start("exec", "--shell", STUBBORN, str(WEB))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        lab.reset_counters()
        until(lambda: lab.agents()["commands"].get("guest-exec"), "the first signal reaches the guest")
        assert finish(process, signal.SIGTERM).status == 143
    nothing_runs(lab, WEB)


def test_nohup(program: Program) -> None:
    """A signal that was ignored when we were started stays so."""
    with ended(
        program.start(
            "exec", "--shell", "echo ready; read x; echo $x", str(WEB), stdin=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )  # fmt: skip
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        process.stdin.write(b"went on\n")
        result = finish(process)
    assert (result.status, result.stdout) == (0, b"went on\n")


def test_timeout(program: Program, lab: Lab, vm: int) -> None:
    result = program.shell(vm, FAMILY, "--timeout", "1").failed("after 1 s", status=124)
    assert result.stdout == b"ready\n"
    nothing_runs(lab, vm)


def test_timeout_of_a_stubborn_command(program: Program, lab: Lab) -> None:
    program.shell(WEB, STUBBORN, "--timeout", "0.5").failed(status=124)
    nothing_runs(lab, WEB)


def test_timeout_that_is_not_reached(program: Program, vm: int) -> None:
    assert program.shell(vm, "echo quick", "--timeout", "5m").succeeded().stdout == b"quick\n"


def test_timeout_kills_its_own_command_only(program: Program, remote: Callable[[int], str]) -> None:
    directory = remote(WEB)
    other = f"echo ready; while ! [ -e {directory}/go ]; do sleep 0.01; done; echo unharmed"
    with ended(program.start("exec", "--shell", other, str(WEB))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        program.shell(WEB, "sleep 1000", "--timeout", "0.3").failed(status=124)
        program.exec(WEB, "touch", f"{directory}/go").succeeded()
        assert finish(process).stdout == b"unharmed\n"


@pytest.mark.ways("api", "qm", why="calls can be broken there")
@pytest.mark.ways("api", "socket", why="qm acts before it delays its answer")
def test_interrupted_before_anything_was_done(program: Program, lab: Lab) -> None:
    """The server does not answer yet when the signal comes."""
    lab.fault("*", "delay", delay_s=1.0)
    with ended(program.start("exec", str(WEB), "echo", "ran")) as process:
        until(lambda: lab.faults()[0]["fired"], "the first call is on its way")
        result = finish(process, signal.SIGINT)
    assert (result.status, result.stdout) == (130, b"")
    nothing_runs(lab, WEB)


def test_agent_restarted_while_a_command_runs(program: Program, lab: Lab, remote: Callable[[int], str]) -> None:
    """As a reboot of the guest does it: the command is gone, and nobody can say how far it came."""
    directory = remote(WEB)
    with program.serve(vm=WEB) as client:
        request = client.start_command(f"echo ran >>{directory}/runs; echo ready; sleep 1000")
        until(lambda: bytes(request.output["stdout"]) == b"ready\n", "the command runs")
        lab.restart_agent(WEB)
        with pytest.raises(Exception) as raised:
            request.result(60)
        error = raised.value
        assert error.effect in ("unknown", "done") and error.code in ("outcome-unknown", "guest-restarted"), vars(error)
        assert client.exec_command("echo again").stdout == b"again\n"
    assert lab.guest(WEB).path(f"{directory}/runs").read_text() == "ran\n"


def test_agent_restarted_under_the_command_line_program(program: Program, lab: Lab) -> None:
    with ended(program.start("exec", "--shell", "echo ready; sleep 1000", str(WEB))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        lab.restart_agent(WEB)
        finish(process).failed(str(WEB))
