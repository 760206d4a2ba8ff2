"""What an agent call answers when it cannot be carried out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lab import Lab
from rawhttp import Api


def text(answer: object) -> tuple[int, str]:
    return answer.status, answer.reason  # type: ignore[attr-defined]


def test_stopped_vm(api: Api) -> None:
    answer = api.exec("true", vmid=101, node="pve2")
    assert text(answer) == (500, "VM 101 is not running")
    assert answer.json == {"data": None, "message": "VM 101 is not running\n"}


def test_agent_option_off(api: Api) -> None:
    assert text(api.exec("true", vmid=102)) == (500, "No QEMU guest agent configured")


def test_silent_agent_takes_three_seconds(api: Api) -> None:
    answer = api.exec("true", vmid=103, node="pve2")
    assert text(answer) == (500, "QEMU guest agent is not running")
    assert 2.9 < answer.seconds < 3.6


def test_unknown_or_moved_vm(lab: Lab, api: Api) -> None:
    assert text(api.exec("true", vmid=999)) == (
        500,
        "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
    )
    lab.move_vm(107, "pve2")
    try:
        assert (
            api.exec("true", vmid=107).reason == "Configuration file 'nodes/pve1/qemu-server/107.conf' does not exist"
        )
        assert api.exec("true", vmid=107, node="pve2").status == 200
    finally:
        lab.move_vm(107, "pve1")


def test_unknown_node_and_localhost(api: Api) -> None:
    answer = api.exec("true", node="nope")
    assert answer.status == 500 and answer.reason.startswith("hostname lookup 'nope' failed - ")
    assert api.exec("true", node="localhost").status == 200


def test_parameter_errors(api: Api) -> None:
    unknown = "property is not defined in schema and the schema does not allow additional properties"
    answer = api.agent("POST", "exec", {"command": ["true"], "cwd": "/"})
    assert text(answer) == (400, "Parameter verification failed.")
    assert answer.json["errors"] == {"cwd": unknown}
    assert api.agent("POST", "exec", {}).json["errors"] == {"command": "property is missing and it is not optional"}
    too_long = api.exec("cat", data="x" * 65537).json["errors"]
    assert too_long == {"input-data": "value may only be 65536 characters long"}
    assert api.agent("GET", "exec-status?pid=x").json["errors"] == {"pid": "type check ('integer') failed - got 'x'"}
    assert "vmid" in api.agent("POST", "ping", vmid=7).json["errors"]


def test_extjs_form_of_errors(api: Api) -> None:
    answer = api.agent("POST", "exec", {}, form="extjs")
    assert answer.status == 200
    assert answer.json["status"] == 400 and answer.json["success"] == 0 and answer.json["data"] is None
    assert answer.json["message"] == "Parameter verification failed.\n" and "command" in answer.json["errors"]


def test_message_is_in_the_body_only_since_pve8(lab: Lab, api: Api) -> None:
    lab.set_profile("pve8.0-old")
    answer = api.exec("true", vmid=102)
    assert (answer.reason, answer.json) == ("No QEMU guest agent configured", {"data": None})


def test_unknown_pid(api: Api) -> None:
    assert text(api.status(1)) == (500, "Agent error: Invalid parameter 'pid'")


def test_disabled_commands(api: Api) -> None:
    answer = api.exec("true", vmid=104)
    assert answer.status == 500 and answer.reason.startswith("Agent error: Command guest-exec has been disabled")
    assert api.agent("POST", "ping", vmid=104).status == 200


def test_missing_program_breaks_the_status_line(api: Api) -> None:
    answer = api.exec("/no/such/program")
    assert (answer.status, answer.reason, answer.raw) == (596, "Broken pipe", b"")
    assert 4.9 < answer.seconds < 5.6
    message = api.exec("/no/such/program", form="extjs").json["message"]
    assert "Failed to execute child process \u201c/no/such/program\u201d" in message


def test_hung_agent_and_the_workers_it_takes(lab: Lab, api: Api) -> None:
    """Three callers of a hung agent take a node's three workers; an unrelated call on the node waits for them."""
    lab.freeze_agent(107)
    try:
        with ThreadPoolExecutor(4) as pool:

            def ping(_: int) -> float:
                with Api(lab) as other:
                    assert other.agent("POST", "ping", vmid=107).reason == "QEMU guest agent is not running"
                return time.monotonic()

            started = time.monotonic()
            hung = [pool.submit(ping, i) for i in range(3)]
            time.sleep(0.3)
            unrelated = api.get("/nodes/pve1/qemu/100/status/current")
            assert unrelated.data["status"] == "running" and unrelated.seconds > 2
            assert api.get("/version").seconds < 0.5
            ended = sorted(round(future.result() - started) for future in hung)
            assert ended == [3, 3, 3]
    finally:
        lab.unfreeze_agent(107)
    assert api.agent("POST", "ping", vmid=107).status == 200


def test_hop_limit(lab: Lab, api: Api) -> None:
    lab.set_hop_timeout(1)
    answer = api.agent("POST", "ping", vmid=103, node="pve2")
    assert text(answer) == (596, "Connection timed out") and answer.raw == b""


def test_non_ascii_arguments_wedge_the_channel(lab: Lab, api: Api) -> None:
    """Two characters more in bytes than in the count cut off the message's end; the agent waits for the rest."""
    assert api.exec("echo", "\u00e9", vmid=107).status == 200
    answer = api.exec("echo", "\u00e9\u00e9", vmid=107)
    assert text(answer) == (500, "VM 107 qga command 'guest-exec' failed - got timeout")
    assert 4.9 < answer.seconds < 5.6
    assert text(api.agent("POST", "ping", vmid=107)) == (500, "QEMU guest agent is not running")
    lab.restart_agent(107)
    assert api.agent("POST", "ping", vmid=107).status == 200
