"""The API's port is closed in the middle: each command runs once at most, and what is told of it is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from conftest import Make
from lab import Lab
from program import ended, finish, until
from pve_qga_client import Error

RUNS, GO = "/tmp/closed-runs", "/tmp/closed-go"
COMMAND = f"echo $N >>{RUNS}; while ! [ -e {GO} ]; do sleep 0.05; done; echo $N"


@pytest.fixture(params=["api", "auto"])
def via(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def runs(lab: Lab) -> Iterator[None]:
    yield
    go(lab)
    until(lambda: not lab.guest(100).processes(), "nothing runs in the guest")
    assert lab.guest(100).run(["sh", "-c", f"rm -rf {RUNS} {GO} /tmp/.pve-qga-run-*"]).exit_code == 0


def count(lab: Lab) -> Counter[str]:
    """How often each command has run."""
    return Counter(lab.guest(100).run(["cat", RUNS]).stdout.decode().split())


def go(lab: Lab) -> None:
    assert lab.guest(100).run(["touch", GO]).exit_code == 0


@pytest.mark.usefixtures("runs")
def test_for_a_while(make: Make, lab: Lab, via: str) -> None:
    """Commands that run are asked about again, others are started when that is possible."""
    with make("socket", PVE_QGA_VIA=via, PROXMOX_CONNECT_TIMEOUT="60").serve(vm=100) as client:
        client.exec_command("true")
        running = [client.start_command(COMMAND, env={"N": str(n)}, live=False) for n in range(4)]
        until(lambda: sum(count(lab).values()) == 4, "the commands run")
        lab.close_api()
        later = [client.start_command(COMMAND, env={"N": str(n)}, live=False) for n in range(4, 8)]
        go(lab)
        until(lambda: not lab.guest(100).processes(), "the commands have ended")
        assert sum(count(lab).values()) == 4, "nobody can start others now"
        lab.open_api()
        assert [request.result().stdout for request in running + later] == [b"%d\n" % n for n in range(8)]
    assert count(lab) == {str(n): 1 for n in range(8)}


@pytest.mark.usefixtures("runs")
def test_for_good(make: Make, lab: Lab, via: str) -> None:
    with make("socket", PVE_QGA_VIA=via, PROXMOX_CONNECT_TIMEOUT="2").serve(vm=100) as client:
        client.exec_command("true")
        running = [client.start_command(COMMAND, env={"N": str(n)}, live=False) for n in range(4)]
        until(lambda: sum(count(lab).values()) == 4, "the commands run")
        lab.close_api()
        later = [client.start_command(COMMAND, env={"N": str(n)}, live=False) for n in range(4, 8)]
        effects = []
        for request in running + later:
            with pytest.raises(Error) as raised:
                request.result()
            effects.append(raised.value.effect)
        assert effects == ["unknown"] * 4 + ["none"] * 4
        go(lab)
    assert count(lab) == {str(n): 1 for n in range(4)}


@pytest.mark.usefixtures("runs")
def test_on_the_command_line(make: Make, lab: Lab, via: str) -> None:
    process = make("socket", PVE_QGA_VIA=via, PROXMOX_CONNECT_TIMEOUT="2").start(
        "exec", "--env=N=1", "--shell", f"echo ready; {COMMAND}", "100"
    )
    with ended(process):
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        lab.close_api()
        result = finish(process)
    assert result.status == 255 and b"it may have run" in result.stderr, result.stderr
    go(lab)
    assert count(lab) == {"1": 1}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("delay_s", [0.1, 2.0])
def test_before_the_first_answer(make: Make, lab: Lab, delay_s: float) -> None:
    """The API's node still acts, sooner or later than the one that SSH leads to."""
    go(lab)
    lab.fault("exec", "delay", delay_s=delay_s)
    process = make("socket", PVE_QGA_VIA="auto").start("exec", "--env=N=1", "--shell", COMMAND, "100")
    with ended(process):
        until(lambda: lab.faults()[0]["fired"], "the first call is on its way")
        lab.close_api()
        result = finish(process)
    assert (result.status, result.stdout) == (0, b"1\n") and b"going on over SSH" in result.stderr
    until(lambda: lab.agents()["commands"]["guest-exec"] >= 3, "the late call has come, too")
    assert count(lab) == {"1": 1}
    # Until no call can come any more the guest keeps what it knows of the command.
    look = ["sh", "-c", "ls -A /tmp | grep pve-qga-run"]
    until(lambda: not lab.guest(100).processes() and not lab.guest(100).run(look).stdout, "nothing is left", 40)
