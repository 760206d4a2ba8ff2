"""exec and exec-status against a real agent."""

from __future__ import annotations

import time

import pytest

from lab import Lab
from rawhttp import Api, content_bytes

EVERY_BYTE = "".join(map(chr, range(256)))


def test_exit_code_and_streams(api: Api) -> None:
    status = api.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    flags = {"out-truncated": 0, "err-truncated": 0}
    assert status == {"exited": 1, "exitcode": 3, "out-data": "out\n", "err-data": "err\n", **flags}


def test_empty_streams_have_no_key(api: Api) -> None:
    assert api.run("/bin/true") == {"exited": 1, "exitcode": 0}


def test_signal(api: Api) -> None:
    assert api.run("/bin/sh", "-c", "kill -9 $$") == {"exited": 1, "signal": 9}


def test_running(api: Api) -> None:
    pid = api.exec("sleep", "0.3").data["pid"]
    assert api.status(pid).data == {"exited": 0}
    time.sleep(0.4)
    assert api.status(pid).data["exited"] == 1


def test_status_is_one_shot(api: Api) -> None:
    pid = api.exec("true").data["pid"]
    time.sleep(0.1)
    assert api.status(pid).data["exited"] == 1
    assert api.status(pid).reason == "Agent error: Invalid parameter 'pid'"


def test_background_child_holds_the_status(lab: Lab, api: Api) -> None:
    pid = api.exec("/bin/sh", "-c", "sleep 0.5 & echo done").data["pid"]
    time.sleep(0.2)
    assert api.status(pid).data == {"exited": 0}
    assert [p["comm"] for p in lab.guest(100).processes()] == ["sleep"]
    time.sleep(0.5)
    assert api.status(pid).data["out-data"] == "done\n"


def test_input_data_is_exact(api: Api) -> None:
    data = EVERY_BYTE * 256
    assert len(data) == 65536
    assert api.run("cat", data=data)["out-data"] == data


def test_output_bytes_are_code_points_escaped_as_perl_does(api: Api) -> None:
    pid = api.exec("printf", r"\0\1\177\200\377\"\\").data["pid"]
    time.sleep(0.1)
    raw = api.status(pid).raw
    assert rb'"out-data":"\u0000\u0001' + b"\x7f\xc2\x80\xc3\xbf" + rb'\"\\"' in raw


def test_wide_characters_have_no_byte(api: Api) -> None:
    answer = api.exec("cat", data="\u20ac")
    assert answer.status == 500 and answer.reason.startswith("Wide character")


def test_nul_in_an_argument_arrives_as_c0_80(api: Api) -> None:
    assert content_bytes(api.run("printf", "%s", "a\0")["out-data"]) == b"a\xc0\x80"


def test_ascii_arguments_are_exact(api: Api) -> None:
    text = "".join(map(chr, range(1, 128)))
    assert api.run("printf", "%s", text)["out-data"] == text


def test_argument_limit_is_the_kernels(api: Api) -> None:
    assert api.run("sh", "-c", "exit 0", "x" * 131071) == {"exited": 1, "exitcode": 0}
    answer = api.exec("true", "x" * 131072, form="extjs")
    assert "Argument list too long" in answer.json["message"]


def test_large_command_line(api: Api) -> None:
    pieces = ["A" * 130_000] * 4
    status = api.run("sh", "-c", 'echo "${#1} ${#4}"', "sh", *pieces)
    assert status["out-data"] == "130000 130000\n"


def test_environment(api: Api) -> None:
    out = api.run("/usr/bin/env")["out-data"].split("\n")
    assert {line.split("=")[0] for line in out if line} == {"PATH", "LANG"}
    script = 'pwd; umask; ulimit -n; readlink /proc/self/fd/0; id -u; test "$(ps -o sid= $$)" -ne $$ && echo same'
    assert api.run("sh", "-c", script)["out-data"].split() == ["/", "0022", "1024", "/dev/null", "0", "same"]


def test_the_quadratic_reader(api: Api) -> None:
    """Output of about 1 MiB takes most of a second to fetch; of 3 MiB it is lost with the time-out."""
    pid = api.exec("sh", "-c", "yes | head -c 1048576").data["pid"]
    time.sleep(0.3)
    answer = api.status(pid)
    assert len(answer.data["out-data"]) == 1048576 and 0.6 < answer.seconds < 1.6
    pid = api.exec("sh", "-c", "yes | head -c 3500000").data["pid"]
    time.sleep(0.5)
    answer = api.status(pid)
    assert answer.reason == "VM 100 qga command 'guest-exec-status' failed - got timeout"
    assert 4.9 < answer.seconds < 5.6
    assert api.status(pid).reason == "Agent error: Invalid parameter 'pid'"


def test_killing_the_agents_group_kills_the_agent(lab: Lab, api: Api) -> None:
    pid = api.exec("sh", "-c", "kill 0", vmid=107).data["pid"]
    time.sleep(0.2)
    assert api.status(pid, vmid=107).reason == "QEMU guest agent is not running"
    lab.restart_agent(107)
    assert api.agent("POST", "ping", vmid=107).status == 200


def test_agent_restart_kills_children_even_with_setsid(lab: Lab, api: Api) -> None:
    pid = api.exec("setsid", "sleep", "100", vmid=107).data["pid"]
    assert len(lab.guest(107).processes()) == 1
    lab.restart_agent(107)
    assert lab.guest(107).processes() == []
    assert api.status(pid, vmid=107).reason == "Agent error: Invalid parameter 'pid'"


def test_forms_with_repeated_fields(api: Api) -> None:
    form = [("command", "printf"), ("command", "%s-"), ("command", "a b,c"), ("command", "=&;")]
    pid = api.agent("POST", "exec", form).data["pid"]
    time.sleep(0.1)
    assert api.status(pid).data["out-data"] == "a b,c-=&;-"
    assert api.agent("POST", "exec", [("command", "true")]).status == 200


class TestPve7:
    """Before 2023: a command is one string, and only forms arrive."""

    @pytest.fixture(autouse=True)
    def profile(self, lab: Lab) -> None:
        lab.set_profile("pve7")

    def test_json_does_not_reach_agent_calls(self, api: Api) -> None:
        answer = api.exec("true")
        assert (answer.status, answer.reason) in ((400, "Parameter verification failed."),)
        assert answer.json == {"data": None, "errors": answer.json["errors"]}

    def test_repeated_fields_arrive_joined_by_nul(self, api: Api) -> None:
        pid = api.agent("POST", "exec", [("command", "printf"), ("command", "%s"), ("command", "a b;c,d")]).data["pid"]
        time.sleep(0.1)
        assert api.status(pid).data["out-data"] == "a b;c,d"

    def test_a_single_string_is_split(self, api: Api) -> None:
        pid = api.agent("POST", "exec", [("command", "printf %s- a,b;c")]).data["pid"]
        time.sleep(0.1)
        assert api.status(pid).data["out-data"] == "a-b-c-"
