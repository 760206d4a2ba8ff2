"""serve: many requests at once, large payloads, cancelling, the end of the client; guests stay clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ALPINE, BASH, REAL, WEB
from lab import Lab
from noise import noise, write_noise
from program import MEMORY_LIMIT_KIB, PROGRAM, ROOT, Program, ended, until
from pve_qga_client import STREAM, Client, Error

MIB = 1024 * 1024


def peak_kib(client: Client) -> int:
    """The server's peak of resident memory so far."""
    status = Path(f"/proc/{client._process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def own_directories(lab: Lab, vmid: int) -> list[bytes]:
    listing = lab.guest(vmid).run(["ls", "-A", "/tmp"]).stdout
    return [name for name in listing.split(b"\n") if name.startswith(b".pve-qga-run")]


def test_100_commands_at_once_on_3_vms(program: Program, lab: Lab) -> None:
    with program.serve() as client:
        requests = [
            client.start_command(f"echo {number}; echo {-number} >&2; exit {number}", vm=[WEB, BASH, ALPINE][number % 3], live=False)
            for number in range(100)
        ]
        results = [request.result() for request in requests]
        assert peak_kib(client) < MEMORY_LIMIT_KIB
    assert [result.exit_code for result in results] == list(range(100))
    assert [result.stdout for result in results] == [b"%d\n" % number for number in range(100)]
    assert [result.stderr for result in results] == [b"%d\n" % -number for number in range(100)]


def test_commands_files_and_pings_mixed(program: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    data = noise(700_000)
    (tmp_path / "there").write_bytes(data)
    with program.serve(vm=WEB) as client:
        puts = [client.start_put(tmp_path / "there", f"{remote(WEB)}/{number}") for number in range(6)]
        commands = [client.start_command(f"echo {number}") for number in range(6)]
        client.ping()
        assert [put.result().bytes for put in puts] == [len(data)] * 6
        fetches = [client.start_fetch(f"{remote(WEB)}/{number}", tmp_path / f"back{number}") for number in range(6)]
        assert [command.result().stdout for command in commands] == [b"%d\n" % number for number in range(6)]
        assert len({fetch.result().sha256 for fetch in fetches}) == 1
    assert all((tmp_path / f"back{number}").read_bytes() == data for number in range(6))


def test_slow_command_does_not_hold_up_others(program: Program, remote: Callable[[int], str]) -> None:
    with program.serve(vm=WEB) as client:
        waiting = client.start_command(f"while ! [ -e {remote(WEB)}/go ]; do sleep 0.01; done; echo late")
        assert client.exec_command("echo early").stdout == b"early\n"
        assert not waiting.done()
        client.exec_command(f"touch {remote(WEB)}/go")
        assert waiting.result().stdout == b"late\n"


def test_large_payloads_both_ways(program: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    data = noise(40 * MIB)
    program.lab.set_pace(False)
    with program.serve(vm=WEB) as client:
        assert client.exec_command("cat", stdin=iter([data[:MIB], data[MIB:]])).stdout == data
        assert peak_kib(client) < MEMORY_LIMIT_KIB
        written = client.put_bytes(data, f"{remote(WEB)}/file", mode="0600")
        assert (written.bytes, written.mode) == (len(data), "0600")
        client.fetch_file(f"{remote(WEB)}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data


def test_100_mebibytes_of_output_to_a_slow_client(program: Program, remote: Callable[[int], str]) -> None:
    """The client looks at each piece before it takes the next one; nothing piles up here."""
    lab = program.lab
    lab.set_pace(False)
    write_noise(lab.guest(WEB).path(f"{remote(WEB)}/data"), 100)
    count = 0

    def take(piece: bytes) -> None:
        nonlocal count
        count += len(piece)

    with program.serve(vm=WEB) as client:
        client.exec_command(f"cat {remote(WEB)}/data", on_stdout=take)
        assert peak_kib(client) < MEMORY_LIMIT_KIB
    assert count == 100 * MIB


def test_progress(program: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    write_noise(tmp_path / "file", 20)
    seen: list[tuple[int, int | None]] = []
    with program.serve(vm=WEB) as client:
        client.start_put(tmp_path / "file", f"{remote(WEB)}/file", on_progress=lambda *p: seen.append(p)).result()
    assert seen and all(0 < done <= 20 * MIB == total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_cancel(program: Program, lab: Lab, vm: int) -> None:
    with program.serve(vm=vm) as client:
        request = client.start_command("echo ready; sleep 1001 & sleep 1002")
        until(lambda: bytes(request.output["stdout"]) == b"ready\n", "the command runs")
        assert request.cancel() is True
        with pytest.raises(Error) as raised:
            request.result()
        assert raised.value.code == "cancelled"
        assert request.cancel() is False
        assert lab.guest(vm).processes() == []
        assert client.exec_command("echo next").stdout == b"next\n"


def test_cancel_of_a_transfer(program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    write_noise(tmp_path / "file", 20)
    with program.serve(vm=WEB) as client:
        request = client.start_put(tmp_path / "file", f"{remote(WEB)}/file")
        until(lambda: lab.agents()["commands"].get("guest-exec", 0) > 3, "the put is under way")
        assert request.cancel()
        with pytest.raises(Error) as raised:
            request.result()
        assert raised.value.code == "cancelled"
        assert os.listdir(lab.guest(WEB).path(remote(WEB))) == []


def test_timeout(program: Program, lab: Lab) -> None:
    with program.serve(vm=WEB) as client:
        request = client.start_command("echo out; sleep 1000", timeout=0.5)
        with pytest.raises(Error) as raised:
            request.result()
        assert (raised.value.code, raised.value.effect) == ("timeout", "done")
        assert bytes(request.output["stdout"]) == b"out\n"
        assert lab.guest(WEB).processes() == []


def test_streamed_stdin(program: Program, vm: int) -> None:
    data = noise(3 * MIB if vm != REAL else 300_000)
    with program.serve(vm=vm) as client:
        request = client.start_command("cat", stdin=STREAM)
        for start in range(0, len(data), 50_000):
            assert request.write(data[start : start + 50_000])
        request.end()
        assert request.result().stdout == data


def test_streamed_stdin_that_nobody_reads(program: Program) -> None:
    with program.serve(vm=WEB) as client:
        request = client.start_command("exit 3", stdin=STREAM)
        assert request.result().exit_code == 3
        assert request.write(b"too late") is False


def test_conversation(program: Program, vm: int) -> None:
    with program.serve(vm=vm) as client:
        request = client.start_command('while read x; do echo "<$x>"; done', stdin=STREAM)
        for number in range(3):
            request.write(b"%d\n" % number)
            expected = b"".join(b"<%d>\n" % n for n in range(number + 1))
            until(lambda: bytes(request.output["stdout"]) == expected, "the answer")
        request.end()
        assert request.result().exit_code == 0


def test_end_of_stdin_of_the_server_before_eof_cancels(program: Program, lab: Lab) -> None:
    """A stdin that was cut off never passes for a whole one."""
    client = program.serve(vm=WEB)
    request = client.start_command("cat; echo whole", stdin=STREAM)
    request.write(b"half")
    until(lambda: bytes(request.output["stdout"]) == b"half", "the half arrives")
    assert client._process.stdin
    client._process.stdin.close()
    with pytest.raises(Error) as raised:
        request.result()
    assert raised.value.code == "cancelled" and bytes(request.output["stdout"]) == b"half"
    assert client._process.wait() == 0
    assert lab.guest(WEB).processes() == [] and own_directories(lab, WEB) == []


def test_end_of_input_lets_commands_end(program: Program, remote: Callable[[int], str]) -> None:
    client = program.serve(vm=WEB)
    request = client.start_command("sleep 0.3; echo whole")
    assert client._process.stdin
    client._process.stdin.close()
    assert request.result().stdout == b"whole\n"
    assert client._process.wait() == 0


def test_client_that_dies(program: Program, lab: Lab) -> None:
    """A client that is killed takes both ends of its pipes with it."""
    script = """
import sys, time
from pve_qga_client import Client, STREAM
client = Client([sys.argv[1], "serve"], vm=sys.argv[2])
request = client.start_command("echo ready; sleep 1000", stdin=STREAM)
while not request.output["stdout"]:
    time.sleep(0.01)
print(client._process.pid, flush=True)
request.result()
"""
    environment = {**program.environment, "PYTHONPATH": str(ROOT / "integration/client")}
    command = [sys.executable, "-c", script, str(PROGRAM), str(WEB)]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)) as client:
        assert client.stdout
        server = Path(f"/proc/{int(client.stdout.readline())}")
        client.kill()
        until(lambda: not server.exists(), "the server ends")
    assert lab.guest(WEB).processes() == [] and own_directories(lab, WEB) == []


def test_reader_that_goes_away(program: Program, lab: Lab) -> None:
    """stdout breaks while requests come in: what runs is ended and the guest cleaned up."""
    serve = subprocess.Popen([PROGRAM, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=program.environment)
    with ended(serve) as process:
        assert process.stdin and process.stdout
        for message in (
            {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"version": 1, "vm": WEB}},
            {"jsonrpc": "2.0", "id": 1, "method": "exec_command", "params": {"cmd": "echo ready; yes"}},
        ):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert b"stdout" in process.stdout.readline()
        process.stdout.close()
        assert process.wait() != 0
        process.stdout = None
    assert lab.guest(WEB).processes() == [] and own_directories(lab, WEB) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_what_runs(program: Program, lab: Lab, number: signal.Signals) -> None:
    client = program.serve()
    requests = [client.start_command("echo ready; sleep 1000", vm=vm) for vm in (WEB, ALPINE)]
    until(lambda: all(bytes(request.output["stdout"]) for request in requests), "the commands run")
    client._process.send_signal(number)
    for request in requests:
        with pytest.raises(Error) as raised:
            request.result()
        assert raised.value.code in ("cancelled", "protocol"), raised.value
    assert client._process.wait() in (0, 128 + number)
    for vm in (WEB, ALPINE):
        assert lab.guest(vm).processes() == [] and own_directories(lab, vm) == []


def test_session_leaves_nothing(program: Program, lab: Lab, vm: int) -> None:
    client = program.serve(vm=vm)
    assert [client.exec_command(f"echo {n}").stdout for n in range(5)] == [b"%d\n" % n for n in range(5)]
    assert len(own_directories(lab, vm)) == 1, "one private directory while it works"
    assert client.close() == 0
    assert own_directories(lab, vm) == []


def test_private_directory(program: Program, lab: Lab) -> None:
    with program.serve(vm=WEB) as client:
        client.exec_command("umask 000; echo x")
        (name,) = own_directories(lab, WEB)
        info = lab.guest(WEB).path(f"/tmp/{name.decode()}").stat()
        assert (info.st_mode & 0o777, info.st_uid) == (0o700, 0)


def test_commands_without_live_output(program: Program) -> None:
    with program.serve(vm=WEB) as client:
        result = client.exec_command("seq 1 50000; seq 1 10 >&2", live=False)
    assert result.stdout == b"".join(b"%d\n" % n for n in range(1, 50_001)) and result.stderr.endswith(b"10\n")


def test_own_log_goes_to_the_client(program: Program) -> None:
    lines: list[tuple[str, str]] = []
    command = [str(PROGRAM), "serve", "-vv"]
    with Client(command, vm=WEB, environment=program.environment, on_log=lambda *line: lines.append(line)) as client:
        client.exec_command("true")
    assert lines and {level for level, _ in lines} <= {"error", "warning", "info", "debug"}
