"""Planned faults: what the client sees, and whether the guest acted."""

from __future__ import annotations

import json
import time
import zlib

import pytest

from lab import Lab, LabError
from rawhttp import Answer, Api


def execs(lab: Lab) -> int:
    return lab.counters()["acts"].get("guest-exec", 0)


@pytest.mark.parametrize(("action", "acts"), [("cut-before", 0), ("cut-after", 1), ("cut-mid", 1)])
def test_cuts(lab: Lab, api: Api, action: str, acts: int) -> None:
    lab.fault("exec", action)
    with pytest.raises((EOFError, OSError)):
        api.exec("true")
    assert execs(lab) == acts
    assert api.exec("true").status == 200
    assert lab.log()[0]["fault"] == action


@pytest.mark.parametrize(
    ("action", "acts", "status", "reason"),
    [
        ("status-before", 0, 596, "Broken pipe"),
        ("status-after", 1, 596, "Broken pipe"),
        ("not-running", 0, 500, "QEMU guest agent is not running"),
        ("timeout-before", 0, 500, "VM 100 qga command 'guest-exec' failed - got timeout"),
        ("timeout-after", 1, 500, "VM 100 qga command 'guest-exec' failed - got timeout"),
        ("twice", 2, 200, "OK"),
    ],
)
def test_statuses(lab: Lab, api: Api, action: str, acts: int, status: int, reason: str) -> None:
    lab.fault("exec", action)
    answer = api.exec("true")
    assert (answer.status, answer.reason, execs(lab)) == (status, reason, acts)


@pytest.mark.parametrize("status", [595, 599, 401])
def test_status_is_free(lab: Lab, api: Api, status: int) -> None:
    lab.fault("*", "status-before", status=status, reason="Too bad")
    answer = api.get("/version")
    assert (answer.status, answer.reason, answer.raw) == (status, "Too bad", b"")


def test_twice_may_answer_with_the_first(lab: Lab, api: Api) -> None:
    lab.fault("exec", "twice", answer="first")
    lab.fault("exec", "twice", answer="second")
    first = api.exec("true").data["pid"]
    second = api.exec("true").data["pid"]
    assert second - first >= 3


def test_timeouts_name_the_command(lab: Lab, api: Api) -> None:
    lab.fault("exec-status", "timeout-before")
    assert api.status(1).reason == "VM 100 qga command 'guest-exec-status' failed - got timeout"


def test_which_calls_are_hit(lab: Lab, api: Api) -> None:
    lab.fault("version", "status-before", nth=2)
    lab.fault("exec", "status-before", vmid=107, every=2, count=0)
    assert [api.get("/version").status for _ in range(3)] == [200, 596, 200]
    assert api.exec("true").status == 200
    assert [api.exec("true", vmid=107).status for _ in range(4)] == [200, 596, 200, 596]
    assert [(rule["matched"], rule["fired"]) for rule in lab.faults()] == [(3, 1), (4, 2)]


def test_delay(lab: Lab, api: Api) -> None:
    lab.fault("version", "delay", delay_s=0.4)
    assert api.get("/version").seconds >= 0.4
    assert api.get("/version").seconds < 0.4


def garbage(lab: Lab, api: Api, kind: str) -> Answer:
    lab.fault("version", "garbage", garbage=kind)
    return api.get("/version", headers={"Accept-Encoding": "gzip"})


def test_garbage(lab: Lab, api: Api) -> None:
    with pytest.raises(ValueError):
        json.loads(garbage(lab, api, "not-json").raw)
    with pytest.raises(ValueError):
        json.loads(garbage(lab, api, "short-length").raw)
    with pytest.raises(EOFError):
        garbage(lab, api, "long-length")
    with pytest.raises((EOFError, zlib.error)):
        assert garbage(lab, api, "truncated-gzip").body
    with pytest.raises((EOFError, ValueError)):
        garbage(lab, api, "not-http")
    assert garbage(lab, api, "empty").raw == b""
    assert garbage(lab, api, "deep").raw.startswith(b"[[[[")
    assert len(garbage(lab, api, "huge").raw) > 60_000_000


def test_rules_are_checked(lab: Lab) -> None:
    for fields in ({"action": "explode"}, {"action": "garbage", "garbage": "x"}, {"action": "delay", "nonsense": 1}):
        with pytest.raises(LabError):
            lab.ask("fault", kind="exec", **fields)


def test_counters_and_log(lab: Lab, api: Api) -> None:
    api.get("/version")
    api.exec("true", fresh=False)
    time.sleep(0.05)
    counters = lab.counters()
    assert counters["requests"] == {"version": 1, "exec": 1}
    assert (counters["tcp_connections"], counters["tls_handshakes"], counters["requests_total"]) == (1, 1, 2)
    assert counters["bytes_in"] > 200 and counters["bytes_out"] > 400
    assert counters["acts_by_vm"] == {"100": {"guest-exec": 1}}
    assert counters["peak_in_flight"] == {"vm 100": 1, "node pve1": 1}
    entries = lab.log()
    assert [(e["method"], e["kind"], e["vmid"], e["status"]) for e in entries] == [
        ("GET", "version", None, 200),
        ("POST", "exec", 100, 200),
    ]
    assert entries[0]["connection"] == entries[1]["connection"]
    lab.reset_counters()
    assert lab.counters()["requests_total"] == 0 and lab.log() == []
