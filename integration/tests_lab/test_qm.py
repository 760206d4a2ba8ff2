"""``qm`` and ``pvesh`` on a node."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from rawhttp import Api
from sshclient import Answer, Ssh

VMS = [
    "100:web:pve1:socket",
    "101:off:pve1:stopped",
    "102:noagent:pve1:noagent",
    "103:silent:pve1:none",
    "104:rhel:pve1:disabled",
    "105:wedged:pve1:socket",
    "110:db:pve2:stopped",
]


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    with Lab(vms=VMS, ssh=True) as lab:
        lab.set_qm_start(0)
        yield lab


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    module_lab.reset_counters()
    yield module_lab
    module_lab.clear_faults()


@pytest.fixture
def ssh(lab: Lab, tmp_path: Path) -> Ssh:
    return Ssh(lab, tmp_path)


def guest_exec(ssh: Ssh, *argv: str, options: tuple[str, ...] = (), vmid: str = "100", **more: Any) -> Answer:
    return ssh.qm("guest", "exec", vmid, *options, "--", *argv, **more)


def test_exec_prints_pretty_json(ssh: Ssh) -> None:
    answer = guest_exec(ssh, "printf", "out\\n")
    text = '{\n   "exitcode" : 0,\n   "exited" : 1,\n   "out-data" : "out\\n",\n   "out-truncated" : 0\n}\n'
    assert (answer.status, answer.stdout.decode(), answer.stderr) == (0, text, "")


def test_bytes_come_as_code_points(ssh: Ssh) -> None:
    data = bytes(range(256))
    answer = guest_exec(ssh, "cat", options=("--pass-stdin", "1"), stdin=data)
    assert answer.json["out-data"].encode("latin-1") == data
    assert "\u00e9".encode() in answer.stdout and b"\\u0000\\u0001" in answer.stdout and b"\x7f" in answer.stdout


def test_exit_code_of_the_command_is_not_qm_s(ssh: Ssh) -> None:
    answer = guest_exec(ssh, "sh", "-c", "echo no >&2; exit 3")
    assert answer.status == 0
    assert (answer.json["exitcode"], answer.json["err-data"]) == (3, "no\n")


def test_asynchronous(ssh: Ssh) -> None:
    started = guest_exec(ssh, "sh", "-c", "exit 7", options=("--synchronous", "0"))
    assert list(started.json) == ["pid"] and started.stdout.startswith(b'{\n   "pid" : ')
    pid = str(started.json["pid"])
    deadline = time.monotonic() + 10
    while (status := ssh.qm("guest", "exec-status", "100", pid)).json["exited"] == 0:
        assert time.monotonic() < deadline
    assert status.json == {"exited": 1, "exitcode": 7}
    again = ssh.qm("guest", "exec-status", "100", pid)
    assert (again.status, again.stdout, again.stderr) == (255, b"", "Agent error: Invalid parameter 'pid'\n")


def test_timeout_returns_the_pid(ssh: Ssh) -> None:
    answer = guest_exec(ssh, "sleep", "3", options=("--timeout", "1"))
    assert answer.status == 0 and list(answer.json) == ["pid"]
    assert answer.stderr == "timeout reached, returning pid\n"


def test_it_asks_once_a_second(lab: Lab, ssh: Ssh) -> None:
    assert guest_exec(ssh, "sleep", "1.5").json["exitcode"] == 0
    assert lab.counters()["acts"]["guest-exec-status"] == 3


def test_stdin_up_to_a_mebibyte(ssh: Ssh) -> None:
    data = os.urandom(1024 * 1024)
    answer = guest_exec(ssh, "sha256sum", options=("--pass-stdin", "1"), stdin=data)
    assert answer.json["exitcode"] == 0 and len(answer.json["out-data"]) == 68
    answer = guest_exec(ssh, "true", options=("--pass-stdin", "1"), stdin=data + b"x")
    assert (answer.status, answer.stderr) == (255, "'input-data' (STDIN) is limited to 1 MiB, aborting\n")


def test_non_ascii_arguments_cut_the_message(lab: Lab, ssh: Ssh) -> None:
    lab.restart_agent(105)
    answer = guest_exec(ssh, "echo", "\u00e4\u00e4", vmid="105")
    assert answer.status == 255 and answer.stdout == b""
    assert answer.stderr == "VM 105 qga command 'guest-exec' failed - got timeout\n"


def test_without_a_utf_8_locale_even_one_byte_is_too_many(lab: Lab, ssh: Ssh) -> None:
    # One extra byte cuts off only the line end; outside UTF-8 each byte becomes a character of three bytes.
    lab.restart_agent(105)
    command = "guest exec 105 --synchronous 0 -- echo '\u00e4'"
    assert list(ssh(f"qm {command}").json) == ["pid"]
    assert "got timeout" in ssh(f"LC_ALL=C qm {command}").stderr


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["guest", "exec", "999", "--", "true"], 2, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"),
        (["guest", "exec", "110", "--", "true"], 2, "Configuration file 'nodes/pve1/qemu-server/110.conf' does not exist"),
        (["guest", "exec", "101", "--", "true"], 255, "VM 101 is not running"),
        (["guest", "exec", "102", "--", "true"], 255, "No QEMU guest agent configured"),
        (["guest", "cmd", "103", "ping"], 255, "QEMU guest agent is not running"),
        (["guest", "exec", "104", "--", "true"], 255, "Agent error: Command guest-exec has been disabled"),
        (["guest", "exec", "100"], 255, "command or input-data (or both) required"),
        (["guest", "exec", "100", "ls", "-l"], 255, "Unknown option: l\n400 unable to parse option\nqm guest exec <vmid>"),
        (["guest", "exec", "x", "--", "true"], 255, "vmid: invalid format - value does not look like a valid VM ID"),
        (["guest", "exec", "100", "--pass-stdin", "cat"], 255, "400 unable to parse boolean option"),
        (["guest", "exec", "100", "--timeout", "-1", "--", "true"], 255, "timeout: value must have a minimum value of 0"),
        (
            ["guest", "exec", "100", "--timeout", "1", "--synchronous", "0", "--", "true"],
            255,
            "400 Parameter verification failed.\nsynchronous: needs to be set for 'timeout'\nqm guest exec",
        ),
        (["guest", "exec-status", "100"], 255, "400 not enough arguments\nqm guest exec-status <vmid> <pid>"),
        (["guest", "exec-status", "100", "1", "2"], 255, "400 too many arguments"),
        (["guest", "exec-status", "100", "x"], 255, "pid: type check ('integer') failed - got 'x'"),
        (["guest", "cmd", "100", "explode"], 255, "command: value 'explode' does not have a value in the enumeration"),
        (["explode"], 255, "ERROR: unknown command 'qm explode'"),
        ([], 255, "ERROR: no command specified"),
        (["status", "999"], 2, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"),
    ],
)  # fmt: skip
def test_errors(ssh: Ssh, argv: list[str], status: int, says: str) -> None:
    answer = ssh.qm(*argv)
    assert (answer.status, answer.stdout) == (status, b"")
    assert answer.stderr.startswith(says) or f"\n{says}" in answer.stderr


def test_missing_program_is_quoted_typographically(ssh: Ssh) -> None:
    answer = guest_exec(ssh, "/no/such/program")
    assert answer.status == 255 and answer.stdout == b""
    assert "Agent error: " in answer.stderr and "\u201c/no/such/program\u201d" in answer.stderr


def test_options_are_read_as_perl_does(ssh: Ssh) -> None:
    assert list(guest_exec(ssh, "true", options=("-sync", "off")).json) == ["pid"]
    assert ssh.qm("guest", "exec", "--timeout=9", "100", "echo", "a").json["out-data"] == "a\n"
    assert guest_exec(ssh, "echo", "--", "-n").json["out-data"] == "-- -n\n"
    assert ssh.qm("guest", "exec", "100", "--pass-stdin", "--", "cat", stdin=b"in").json["out-data"] == "in"


def test_agent_commands(ssh: Ssh) -> None:
    assert ssh.qm("guest", "cmd", "100", "ping") == Answer(0, b"", "")
    assert ssh.qm("agent", "100", "ping") == Answer(0, b"", "")
    assert "id" in ssh.qm("guest", "cmd", "100", "get-osinfo").json
    assert "host-name" in ssh.qm("guest", "cmd", "100", "get-host-name").json
    assert ssh.qm("guest", "cmd", "100", "network-get-interfaces").json[0]["name"]
    assert ssh.qm("guest", "cmd", "100", "fsfreeze-status").stdout == b"thawed\n"


def test_agents_error_is_a_result_of_cmd(ssh: Ssh) -> None:
    answer = ssh.qm("guest", "cmd", "104", "suspend-disk")
    assert answer.status == 0 and "disabled" in answer.json["error"]["desc"]


def test_list_and_status(ssh: Ssh) -> None:
    lines = [line.split() for line in ssh.qm("list").stdout.decode().splitlines()]
    assert lines[0] == ["VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID"]
    assert lines[1][:3] == ["100", "web", "running"] and lines[2][:3] == ["101", "off", "stopped"]
    assert [line[0] for line in lines[1:]] == ["100", "101", "102", "103", "104", "105"]
    assert ssh.qm("status", "101").stdout == b"status: stopped\n"


def test_pvesh(lab: Lab, ssh: Ssh) -> None:
    vms = ssh("pvesh get /cluster/resources --type vm --output-format json")
    assert vms.stdout.count(b"\n") == 1 and [vm["vmid"] for vm in vms.json] == [100, 101, 102, 103, 104, 105, 110]
    with Api(lab) as api:
        status = {entry["name"]: entry for entry in api.get("/cluster/status").data}
    assert {entry["name"]: entry for entry in ssh("pvesh get /cluster/status --output-format json").json} == status
    network = ssh("pvesh get /nodes/pve2/network --output-format json-pretty")
    assert {entry.get("address") for entry in network.json} == {None, "192.0.2.2", "127.0.0.2"}
    answer = ssh("pvesh get /no/such")
    assert (answer.status, answer.stderr) == (255, "no 'get' handler for '/no/such'\n")


def test_calls_and_acts_are_counted(lab: Lab, ssh: Ssh) -> None:
    guest_exec(ssh, "true", options=("--synchronous", "0"))
    counters = lab.counters()
    assert counters["programs"] == {"qm-exec": 1} and counters["acts"] == {"guest-exec": 1}


@pytest.mark.parametrize(("action", "acts"), [("cut-before", 0), ("cut-after", 1), ("cut-mid", 1)])
def test_session_cut_around_the_act(lab: Lab, ssh: Ssh, action: str, acts: int) -> None:
    lab.fault("qm-exec", action)
    answer = guest_exec(ssh, "true", options=("--synchronous", "0"), user="root")
    assert answer.status == 255 and not answer.stdout.endswith(b"}\n")
    assert (answer.stdout != b"") == (action == "cut-mid")
    assert lab.counters()["acts"].get("guest-exec", 0) == acts
    assert guest_exec(ssh, "true").status == 0


def test_session_of_a_sudo_user_is_cut(lab: Lab, ssh: Ssh) -> None:
    lab.fault("qm-cmd", "cut-before")
    answer = ssh("sudo -n qm guest cmd 100 ping; echo went on", user="pve-ops")
    assert (answer.status, answer.stdout) == (255, b"")


@pytest.mark.parametrize(
    ("action", "acts", "says"),
    [
        ("not-running", 0, "QEMU guest agent is not running"),
        ("timeout-before", 0, "VM 100 qga command 'guest-exec' failed - got timeout"),
        ("timeout-after", 1, "VM 100 qga command 'guest-exec' failed - got timeout"),
    ],
)
def test_failures_of_qm(lab: Lab, ssh: Ssh, action: str, acts: int, says: str) -> None:
    lab.fault("qm-exec", action)
    answer = guest_exec(ssh, "true", options=("--synchronous", "0"))
    assert (answer.status, answer.stdout, answer.stderr) == (255, b"", f"{says}\n")
    assert lab.counters()["acts"].get("guest-exec", 0) == acts


def test_garbage_and_delay(lab: Lab, ssh: Ssh) -> None:
    lab.fault("qm-exec", "garbage")
    assert guest_exec(ssh, "true").stdout == b"<html>qm</html>\n"
    lab.fault("qm-exec", "delay", delay_s=1.0)
    started = time.monotonic()
    assert guest_exec(ssh, "true").status == 0 and time.monotonic() - started > 1.0
