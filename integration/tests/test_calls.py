"""How many calls things cost, and how politely they are made; numbers of calls, never times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ALPINE, BASH, WEB
from lab import Lab
from noise import noise
from program import Program

pytestmark = pytest.mark.ways("api", why="counts the API's calls")

AGENT_CALLS = ("exec", "exec-status", "file-read", "file-write", "agent-ping", "ping")
MIB = 1024 * 1024


def agent_calls(lab: Lab) -> int:
    requests = lab.counters()["requests"]
    return sum(requests.get(kind, 0) for kind in AGENT_CALLS)


def test_short_commands_cost_two_calls(program: Program, lab: Lab, quick_vm: int) -> None:
    with program.serve(vm=quick_vm) as client:
        client.exec_command("true", live=False)
        lab.reset_counters()
        for _ in range(20):
            assert client.exec_command("true", live=False).exit_code == 0
        kinds = [entry["kind"] for entry in lab.log()]
    assert kinds.count("exec") == 20 and set(kinds) == {"exec", "exec-status"}
    assert most_common_run(kinds) == 2


def most_common_run(kinds: list[str]) -> int:
    """How many calls a command usually took. On a busy machine some are asked about once more."""
    starts = [index for index, kind in enumerate(kinds) if kind == "exec"] + [len(kinds)]
    return Counter(end - start for start, end in zip(starts, starts[1:])).most_common(1)[0][0]


def test_starting_costs_two_other_calls_at_most(program: Program, lab: Lab) -> None:
    program.exec(WEB, "true").succeeded()
    assert lab.counters()["requests_total"] - agent_calls(lab) <= 2
    assert lab.counters()["requests"]["exec"] == 2, "the command and the cleaning up"


def test_session_costs_two_other_calls_at_most(program: Program, lab: Lab) -> None:
    with program.serve() as client:
        for vm in (WEB, BASH, ALPINE) * 5:
            client.exec_command("true", vm=vm, live=False)
    assert lab.counters()["requests_total"] - agent_calls(lab) <= 2


def test_small_files_cost_few_calls(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(10_000))
    with program.serve(vm=WEB) as client:
        client.exec_command("true")
        lab.reset_counters()
        client.put_file(tmp_path / "file", f"{remote(WEB)}/file")
        client.fetch_file(f"{remote(WEB)}/file", tmp_path / "back")
        assert lab.counters()["requests"]["exec"] == 2
        assert set(lab.counters()["requests"]) == {"exec", "exec-status"}


def test_large_files_use_calls_well(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    """What one call takes is about 380 KB of binary; placing and cleaning up come on top."""
    (tmp_path / "file").write_bytes(noise(8 * MIB))
    with program.serve(vm=WEB) as client:
        client.exec_command("true")
        lab.reset_counters()
        client.put_file(tmp_path / "file", f"{remote(WEB)}/file")
        assert lab.counters()["requests"]["exec"] <= 8 * MIB / 300_000 + 3


def test_connections_are_reused(program: Program, lab: Lab) -> None:
    with program.serve(vm=WEB) as client:
        for _ in range(300):
            client.exec_command("true", live=False)
    counters = lab.counters()
    assert counters["requests_total"] >= 600
    assert counters["tls_handshakes"] <= counters["requests_total"] / 90 + 1


def test_calls_in_flight_are_bounded(program: Program, lab: Lab) -> None:
    with program.serve() as client:
        requests = [client.start_command("cat", vm=vm, stdin=noise(200_000)) for vm in (WEB, BASH, ALPINE) * 10]
        for request in requests:
            assert request.result().stdout == noise(200_000)
        requests = [client.start_command("true", vm=vm, live=False) for vm in (WEB, BASH, ALPINE) * 34]
        assert all(request.result().exit_code == 0 for request in requests)
    peaks = lab.counters()["peak_in_flight"]
    assert peaks and max(peaks.values()) <= 3, peaks


@pytest.mark.parametrize("limit", [1, 2])
def test_calls_in_flight_as_asked(program: Program, lab: Lab, limit: int, tmp_path: Path) -> None:
    with program.serve(vm=WEB, options={"calls_per_vm": limit, "calls_per_node": limit}) as client:
        requests = [client.start_command("cat", stdin=noise(100_000)) for _ in range(10)]
        assert {request.result().stdout for request in requests} == {noise(100_000)}
    assert max(lab.counters()["peak_in_flight"].values()) == limit


def test_long_commands_are_asked_about_ever_less(program: Program, lab: Lab) -> None:
    with program.serve(vm=WEB) as client:
        client.exec_command("true")
        lab.reset_counters()
        client.exec_command("sleep 3", live=False)
    asked = [entry["started_s"] for entry in lab.log() if entry["kind"] == "exec-status"]
    middle = (asked[0] + asked[-1]) / 2
    early = sum(1 for when in asked if when < middle)
    assert early > 2 * (len(asked) - early) > 0


def test_server_that_refuses_is_not_hammered(program: Program, lab: Lab) -> None:
    lab.fault("exec", "not-running", count=0)
    result = program.run("exec", "--connect-timeout=3", str(WEB), "true")
    assert result.status == 255
    assert lab.counters()["requests_total"] <= 20
