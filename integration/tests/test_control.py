"""Shared servers: serve --control-persist, and control."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ALPINE, WEB
from lab import Lab
from noise import noise
from program import FAILURE, MEMORY_LIMIT_KIB, PROGRAM, Program, commands_named, ended, finish, until
from pve_qga_client import Client, Error

MIB = 1024 * 1024
CANARY = b"CANARY"


@pytest.fixture
def directory() -> Iterator[Path]:
    """For the sockets: a short name, because theirs must fit 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="pq-")) / "control"
    yield path
    shutil.rmtree(path.parent)


@pytest.fixture
def shared(program: Program, directory: Path) -> Iterator[Program]:
    """Whoever serves shares; the servers are gone behind the test, and have ended well."""
    program = program.having(PVE_QGA_CONTROL_PERSIST="60", PVE_QGA_CONTROL_PATH=str(directory))
    yield program
    for pid in servers(program):
        program.run("control", "exit")
        wait_for_end(pid)


def servers(program: Program) -> list[int]:
    """The pids that `control check` tells."""
    result = program.run("control", "check")
    assert result.stderr == b"" and result.status == (0 if result.stdout else 1)
    return [int(pid) for pid in re.findall(rb"^pid (\d+): ", result.stdout, re.MULTILINE)]


def clients(program: Program) -> int:
    return sum(int(count) for count in re.findall(rb", (\d+) clients?$", program.run("control", "check").stdout, re.MULTILINE))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int) -> None:
    until(lambda: not is_running(pid), f"the end of server {pid}")


def sockets(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_socket()]


def is_shared(client: Client) -> bool:
    return client.server.get("shared") is True


def own_directories(lab: Lab, vmid: int) -> list[bytes]:
    listing = lab.guest(vmid).run(["ls", "-A", "/tmp"]).stdout
    return [name for name in listing.split(b"\n") if name.startswith(b".pve-qga-run")]


def sleepers(lab: Lab, vmid: int = WEB) -> list[int]:
    return commands_named(lab.guest(vmid).processes(), "sleep")


class Raw:
    """A client whose process and frames are in the test's hands."""

    def __init__(self, program: Program, *arguments: str, **popen: Any) -> None:
        self.process = program.start("serve", *arguments, stdin=subprocess.PIPE, **popen)
        self.send(0, "hello", version=1)

    def send(self, number: int, method: str, **params: Any) -> None:
        assert self.process.stdin
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the server has ended"
        header: dict[str, Any] = json.loads(line)
        header["bytes"] = b""
        while missing := header.get("payload", 0) - len(header["bytes"]):
            header["bytes"] += self.process.stdout.read(missing)
        return header

    def greeting(self) -> dict[str, Any]:
        result: dict[str, Any] = self.receive()["result"]
        return result


# ---- sharing ----


@pytest.mark.ways("api", why="counts the API's calls and logins")
def test_ten_clients_at_once_make_one_server(shared: Program, lab: Lab) -> None:
    login = next(entry for entry in lab.info["users"] if entry["user"] == "lab@pve")
    program = shared.having(PROXMOX_USER="lab@pve", PROXMOX_PASSWORD=login["password"], PROXMOX_TOKEN_SECRET=None)
    started: list[Client] = []
    threads = [threading.Thread(target=lambda: started.append(program.serve(vm=WEB))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 10 and all(is_shared(client) for client in started)
    assert len(servers(program)) == 1 and clients(program) == 10
    requests = [client.start_command(f"echo {number}") for number, client in enumerate(started)]
    assert [request.result().stdout for request in requests] == [b"%d\n" % number for number in range(10)]
    assert [client.close() for client in started] == [0] * 10
    counters = lab.counters()
    assert counters["requests"]["ticket"] == 1 and counters["requests"]["resources"] == 1
    assert counters["tls_handshakes"] <= 3, "as many as calls at the same time"
    assert counters["peak_in_flight"]["vm 100"] <= 3


@pytest.mark.ways("api", why="counts the API's calls")
def test_second_conversation_pays_for_its_commands_only(shared: Program, lab: Lab) -> None:
    with shared.serve(vm=WEB) as client:
        client.exec_command("true")
    lab.reset_counters()
    with shared.serve(vm="web") as client:
        client.exec_command("true")
    assert lab.counters()["requests"]["exec"] == 1, "another name of the VM is another session, but located already"
    lab.reset_counters()
    for _ in range(3):
        with shared.serve(vm=WEB) as client:
            assert client.exec_command("echo $((6*7))").stdout == b"42\n"
    counters = lab.counters()
    assert counters["acts"]["guest-exec"] == 3
    assert set(counters["requests"]) == {"exec", "exec-status"}
    assert (counters["tls_handshakes"], counters["tcp_connections"]) == (0, 0)


def test_each_conversation_has_its_own_configuration(shared: Program, directory: Path, tmp_path: Path) -> None:
    """Options, VM, working directory, ids; what the server was started with is not the others'."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    one = Raw(shared.having(PROXMOX_VMID=str(WEB)), cwd=tmp_path / "one")
    two = Raw(shared.having(PROXMOX_VMID=str(ALPINE)), "--timeout=0.5", cwd=tmp_path / "two")
    with ended(one.process), ended(two.process):
        assert one.greeting()["shared"] and two.greeting()["shared"]
        assert len(servers(shared)) == 1
        for client, name, shell in ((one, b"one", b"dash"), (two, b"two", b"busybox")):
            client.send(1, "put_file", in_path="file", out_path="/tmp/shared-test")
            assert client.receive()["result"]["bytes"] == 3
            client.send(2, "fetch_file", in_path="/tmp/shared-test", out_path="back")
            assert client.receive()["result"]["bytes"] == 3
            client.send(3, "exec_command", cmd="cat /tmp/shared-test; rm /tmp/shared-test; readlink -f /bin/sh")
            output = client.receive()["bytes"]
            assert output.startswith(name) and shell in output, output
            assert client.receive()["result"]["exit_code"] == 0
            assert (tmp_path / name.decode() / "back").read_bytes() == name
        two.send(4, "exec_command", cmd="sleep 1000")
        assert two.receive()["error"]["data"]["code"] == "timeout"
        assert finish(one.process).status == 0 and finish(two.process).status == 0


@pytest.mark.ways("api", why="about the API's secrets")
def test_server_and_secrets_in_hello(shared: Program, lab: Lab) -> None:
    """Nothing of them is known when the process starts, so that all such clients meet."""
    names = ("PROXMOX_HOST", "PROXMOX_PORT", "PROXMOX_CA_FILE", "PROXMOX_USER", "PROXMOX_TOKEN_SECRET")
    program = shared.having(**dict.fromkeys(names))
    options = {"host": lab.host, "port": lab.port, "ca_file": lab.ca_file, "user": lab.token_id, "token_secret": lab.token_secret}
    with program.serve(vm=WEB, options=options) as client:
        assert is_shared(client) and client.exec_command("echo 1").stdout == b"1\n"
    lab.reset_counters()
    with program.serve(vm=WEB, options=options) as client:
        assert client.exec_command("echo 2").stdout == b"2\n"
        wrong = {**options, "token_secret": "wrong"}
        with program.serve(vm=WEB, options=wrong) as other, pytest.raises(Error) as refused:
            other.exec_command("true")
        assert refused.value.code == "authentication"
        assert client.exec_command("echo 3").stdout == b"3\n"
    assert lab.counters()["tls_handshakes"] == 1, "the stranger's"
    assert len(servers(program)) == 1


def test_other_endpoints_have_other_servers(shared: Program) -> None:
    with shared.serve(vm=WEB) as one, shared.having(PROXMOX_USER="someone@pve!else").serve(vm=WEB) as two:
        assert is_shared(one) and is_shared(two)
        assert len(servers(shared)) == 2


def test_64_mib_through_a_handed_descriptor(shared: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path) -> None:
    data = noise(64 * MIB)
    lab.set_pace(False)
    with shared.serve(vm=WEB) as client:
        assert is_shared(client)
        written = client.put_bytes(data, f"{remote(WEB)}/file")
        assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert client.exec_command(f"cat {remote(WEB)}/file").stdout == data
    status = Path(f"/proc/{servers(shared)[0]}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    assert peak < MEMORY_LIMIT_KIB


def test_files_as_standard_streams(shared: Program, tmp_path: Path) -> None:
    frames = [
        {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"version": 1, "vm": WEB}},
        {"jsonrpc": "2.0", "id": 2, "method": "exec_command", "params": {"cmd": "echo hello"}},
    ]
    (tmp_path / "in").write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        result = shared.run("serve", stdin=source, stdout=target)
    assert (result.status, result.stderr) == (0, b"")
    written = (tmp_path / "out").read_bytes()
    assert b'"shared":true' in written and b"hello\n" in written and written.endswith(b'"exit_code":0,"signal":null}}\n')


def test_statuses_pass_through(shared: Program) -> None:
    result = shared.run("serve", stdin=b"no frame\n")
    assert result.status == FAILURE and b"-32700" in result.stdout
    assert shared.run("serve", stdin=b"").status == 0
    assert len(servers(shared)) == 1


def test_slow_reader_stops_itself_only(shared: Program) -> None:
    slow = Raw(shared)
    with ended(slow.process):
        assert slow.greeting()["shared"]
        slow.send(1, "exec_command", vm=WEB, cmd="head -c 8000000 /dev/zero")
        slow.receive()
        with shared.serve(vm=WEB) as client:
            assert client.exec_command("head -c 3000000 /dev/zero | wc -c").stdout.strip() == b"3000000"
        received = 0
        while "result" not in (message := slow.receive()):
            received += len(message["bytes"])
        assert 7_900_000 < received < 8_000_000, "the first message was read before"
        assert finish(slow.process).status == 0


@pytest.mark.ways("api", why="the line is about the API's certificate")
def test_log_lines_reach_the_clients(shared: Program) -> None:
    program = shared.having(PROXMOX_VERIFY_SSL="no", PROXMOX_CA_FILE=None)
    heard: list[list[str]] = [[], []]
    one = program.serve(vm=WEB, on_log=lambda level, line: heard[0].append(f"{level}: {line}"))
    two = program.serve(vm=WEB, on_log=lambda level, line: heard[1].append(f"{level}: {line}"))
    with one, two:
        one.exec_command("true")
        two.exec_command("true")
    assert heard[0] == heard[1] and len(heard[0]) == 1
    assert heard[0][0].startswith("warning: ") and "certificate" in heard[0][0]


def test_verbose_is_each_clients_own(shared: Program) -> None:
    heard: list[str] = []
    quiet: list[str] = []
    with shared.serve(vm=WEB, on_log=lambda level, line: quiet.append(line)) as other:
        command = [str(PROGRAM), "serve", "-vv"]
        with Client(command, vm=WEB, environment=shared.environment, on_log=lambda level, line: heard.append(line)) as client:
            client.exec_command("true")
            other.exec_command("true")
    assert heard and not quiet


# ---- remembering ----


def test_remembered_answers(shared: Program, lab: Lab) -> None:
    question = "date +%N; echo to stderr >&2"
    with shared.serve(vm=WEB) as client:
        assert "remember" in client.server["features"]
        first = client.exec_command(question, remember=True)
    lab.reset_counters()
    with shared.serve(vm=WEB) as client:
        assert client.exec_command(question, remember=True) == first
        assert client.exec_command(question, remember=True, live=False) == first
        assert lab.counters()["requests_total"] == 0
        others = [
            client.exec_command(question).stdout,
            client.exec_command(question, remember=True, env={"A": "1"}).stdout,
            client.exec_command(question, remember=True, cwd="/").stdout,
            client.exec_command(question, remember=True, executable="/bin/bash").stdout,
            client.exec_command(question, remember=True, stdin=b"x").stdout,
            client.exec_command(question, remember=True, options={"remote_tmp": "/var/tmp"}).stdout,
            client.exec_command(question, remember=True, vm=ALPINE).stdout,
        ]
        assert len({first.stdout, *others}) == 8
        assert client.exec_command(question, remember=True) == first


@pytest.mark.parametrize("cmd", ["date +%N; exit 1", "date +%N; head -c 5000 /dev/zero", "date +%N; kill $$"])
def test_what_is_not_remembered(program: Program, cmd: str) -> None:
    with program.serve(vm=WEB) as client:
        assert client.exec_command(cmd, remember=True).stdout != client.exec_command(cmd, remember=True).stdout


# ---- ends ----


def test_killed_client(shared: Program, lab: Lab) -> None:
    """Its command is killed in the guest; another client's goes on, and its own end is not waited for."""
    with shared.serve(vm=WEB) as other:
        waiting = other.start_command("while [ ! -e /tmp/go ]; do sleep 0.1; done; rm /tmp/go; echo done")
        victim = Raw(shared)
        with ended(victim.process):
            assert victim.greeting()["shared"]
            victim.send(1, "exec_command", vm=WEB, cmd="echo started; exec sleep 1000")
            assert victim.receive()["bytes"] == b"started\n"
            assert clients(shared) == 2
            victim.process.kill()
        until(lambda: not [pid for pid in sleepers(lab) if b"1000" in command_line(lab, pid)], "the command's end")
        until(lambda: clients(shared) == 1, "the client's end in the server")
        other.exec_command("touch /tmp/go")
        assert waiting.result().stdout == b"done\n"
    assert len(servers(shared)) == 1


def command_line(lab: Lab, pid: int) -> bytes:
    return lab.guest(WEB).run(["cat", f"/proc/{pid}/cmdline"]).stdout


def test_signal_to_a_client(shared: Program, lab: Lab) -> None:
    with shared.serve(vm=WEB) as other:
        victim = Raw(shared)
        with ended(victim.process):
            victim.greeting()
            victim.send(1, "exec_command", vm=WEB, cmd="echo started; exec sleep 1000")
            assert victim.receive()["bytes"] == b"started\n"
            victim.process.send_signal(signal.SIGTERM)
            assert victim.receive()["error"]["data"]["code"] == "cancelled"
            assert finish(victim.process).status == 128 + signal.SIGTERM
        assert sleepers(lab) == []
        assert other.exec_command("echo 1").stdout == b"1\n"


def test_killed_server(shared: Program, lab: Lab, directory: Path) -> None:
    victim = Raw(shared)
    with ended(victim.process):
        assert victim.greeting()["shared"]
        victim.send(1, "exec_command", vm=WEB, cmd="echo started; exec sleep 1000")
        assert victim.receive()["bytes"] == b"started\n"
        (pid,) = servers(shared)
        os.kill(pid, signal.SIGKILL)
        finish(victim.process).failed("shared server", "may have been done")
    (stale,) = sockets(directory)
    assert servers(shared) == []
    left = own_directories(lab, WEB)
    lab.guest(WEB).run(["kill", *map(str, sleepers(lab))])
    with shared.serve(vm=WEB) as client:
        assert is_shared(client)
        assert client.exec_command("echo 1").stdout == b"1\n"
        assert sockets(directory) == [stale] and servers(shared) != [pid]
    lab.guest(WEB).run(["rm", "-rf", *(f"/tmp/{name.decode()}" for name in left)])


def test_idle_end(shared: Program, lab: Lab, directory: Path) -> None:
    with shared.having(PVE_QGA_CONTROL_PERSIST="0.3").serve(vm=WEB) as client:
        assert client.exec_command("echo 1").stdout == b"1\n"
        (pid,) = servers(shared)
        assert own_directories(lab, WEB)
    wait_for_end(pid)
    assert sockets(directory) == []
    assert own_directories(lab, WEB) == []


def test_it_ends_when_nobody_can_find_it(shared: Program, directory: Path) -> None:
    with shared.serve(vm=WEB) as client:
        (pid,) = servers(shared)
        (directory / sockets(directory)[0]).unlink()
        assert client.exec_command("echo 1").stdout == b"1\n"
    wait_for_end(pid)


def test_clients_that_come_when_it_ends(shared: Program) -> None:
    """It lives no longer than a client takes to come, so that they meet its end in every state."""
    program = shared.having(PVE_QGA_CONTROL_PERSIST="0.01")
    for _ in range(40):
        started = [program.start("serve", "-v", stdin=subprocess.PIPE) for _ in range(3)]
        results = [finish(process) for process in started]
        assert [(result.status, result.stderr) for result in results] == [(0, b"")] * 3
    until(lambda: servers(shared) == [], "the last one's end")


def test_control_stop(shared: Program, directory: Path) -> None:
    with shared.serve(vm=WEB) as client:
        (pid,) = servers(shared)
        assert shared.run("control", "stop").stdout.startswith(b"pid %d: " % pid)
        assert sockets(directory) == [] and servers(shared) == []
        assert client.exec_command("echo 1").stdout == b"1\n"
        with shared.serve(vm=WEB) as next_one:
            assert is_shared(next_one) and servers(shared) != [pid]
    wait_for_end(pid)


def test_control_exit(shared: Program, lab: Lab, directory: Path) -> None:
    victim = Raw(shared)
    with ended(victim.process):
        victim.greeting()
        victim.send(1, "exec_command", vm=WEB, cmd="echo started; exec sleep 1000")
        assert victim.receive()["bytes"] == b"started\n"
        (pid,) = servers(shared)
        result = shared.run("control", "exit")
        assert (result.status, result.stderr) == (0, b"")
        wait_for_end(pid)
        assert victim.receive()["error"]["data"]["code"] == "cancelled"
        assert finish(victim.process).status == 128 + signal.SIGTERM
    assert sockets(directory) == []
    assert sleepers(lab) == [] and own_directories(lab, WEB) == []
    assert shared.run("control", "exit").status == 0, "none runs, as was wanted"
    assert shared.run("control", "check").status == 1


def test_sigterm_to_the_server(shared: Program, lab: Lab, directory: Path) -> None:
    with shared.serve(vm=WEB) as client:
        client.exec_command("true")
    (pid,) = servers(shared)
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)
    assert sockets(directory) == [] and own_directories(lab, WEB) == []


def test_the_server_is_a_daemon(shared: Program, tmp_path: Path) -> None:
    """Nothing of whoever started the first client is kept: session, directory, descriptors."""
    read, write = os.pipe()
    first = Raw(shared, cwd=tmp_path, pass_fds=(write,))
    os.close(write)
    with ended(first.process):
        assert first.greeting()["shared"]
        (pid,) = servers(shared)
        assert os.getsid(pid) not in (os.getsid(0), pid)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        assert finish(first.process).status == 0
    assert os.read(read, 1) == b"", "the last end of the pipe was closed with the client"
    os.close(read)
    assert is_running(pid)


# ---- alone ----


def serves_alone(program: Program, *words: str) -> None:
    """Once in silence, once with one line that says why."""
    with program.serve(vm=WEB) as client:
        assert not is_shared(client)
        assert client.exec_command("echo alone").stdout == b"alone\n"
    result = program.run("serve", "-v", stdin=b"")
    assert result.status == 0
    assert result.complaint.startswith("pve-qga-run: serving alone: ")
    assert not [word for word in words if word not in result.complaint], result.complaint


def test_not_by_default(program: Program, directory: Path) -> None:
    with program.having(PVE_QGA_CONTROL_PATH=str(directory)).serve(vm=WEB) as client:
        assert not is_shared(client)
    assert not directory.exists()


def test_directory_that_others_can_enter(shared: Program, directory: Path) -> None:
    directory.mkdir(mode=0o755)
    serves_alone(shared, "0755", "0700")
    assert list(directory.iterdir()) == []
    directory.chmod(0o700)


def test_directory_of_another_user(shared: Program, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    serves_alone(shared, "belongs to another user")
    os.chown(directory, 0, 0)


def test_directory_that_is_a_link(shared: Program, directory: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    directory.symlink_to(tmp_path)
    serves_alone(shared, "is no directory")
    directory.unlink()
    directory.mkdir(mode=0o700)


def test_directory_with_a_name_that_is_too_long(shared: Program, directory: Path) -> None:
    serves_alone(shared.having(PVE_QGA_CONTROL_PATH=f"{directory}{'x' * 100}"), "bytes", "--control-path")


def test_server_of_another_user(shared: Program, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with shared.serve(vm=WEB):
        (name,) = sockets(directory)
    shared.run("control", "exit")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as impostor:
        impostor.bind(str(directory / name))
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(12345)
            impostor.listen()
            os.write(tell, b"x")
            signal.pause()
            os._exit(0)
        try:
            assert os.read(told, 1) == b"x"
            serves_alone(shared, "belongs to user 12345")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            os.close(tell)
    (directory / name).unlink()


def test_another_version(shared: Program, directory: Path) -> None:
    """A server that refuses is believed, whatever its reason."""
    with shared.serve(vm=WEB):
        (name,) = sockets(directory)
    shared.run("control", "exit")
    refused = 10
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(directory / name))
        other.listen()

        def refuse() -> None:
            for _ in range(2):
                connection, _ = other.accept()
                connection.send(bytes([refused]) + b"the shared server is another version")
                connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        serves_alone(shared, "another version")
        thread.join()
    (directory / name).unlink()


@pytest.mark.ways("api", why="about the API's secrets")
def test_other_secrets(shared: Program, lab: Lab) -> None:
    wrong = shared.having(PROXMOX_TOKEN_SECRET="00000000-0000-0000-0000-000000000000")
    with shared.serve(vm=WEB) as client:
        assert is_shared(client)
        with wrong.serve(vm=WEB) as other:
            assert not is_shared(other)
            with pytest.raises(Error) as refused:
                other.exec_command("true")
        assert refused.value.code == "authentication"
        result = wrong.run("serve", "-v", stdin=b"")
        assert "other secrets" in result.complaint
        assert client.exec_command("echo 1").stdout == b"1\n"


def test_too_many_clients(shared: Program, directory: Path) -> None:
    with shared.serve(vm=WEB) as client:
        (name,) = sockets(directory)
        with contextlib.ExitStack() as stack:
            for _ in range(255):
                stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)).connect(str(directory / name))
            result = shared.run("serve", "-v", stdin=b"")
            assert result.status == 0 and "too many clients" in result.complaint
        assert client.exec_command("echo 1").stdout == b"1\n"
        until(lambda: clients(shared) == 1, "the others' end")
        assert shared.run("serve", "-v", stdin=b"").stderr == b""


def test_another_proxy_in_the_environment(shared: Program) -> None:
    with shared.serve(vm=WEB) as client:
        assert is_shared(client)
        result = shared.having(ALL_PROXY="http://u:p@127.0.0.1:1").run("serve", "-v", stdin=b"")
        assert result.status == 0 and "another environment" in result.complaint


def test_secrets_stay_secret(shared: Program, lab: Lab, directory: Path, tmp_path: Path) -> None:
    trace = tmp_path / "control-trace"
    program = shared.having(PVE_QGA_TRACE=str(trace))
    with Client([str(PROGRAM), "serve", "-vv"], vm=WEB, environment=program.environment) as client:
        client.exec_command("true")
        (pid,) = servers(program)
        assert CANARY in lab.token_secret.encode()
        assert CANARY not in Path(f"/proc/{pid}/cmdline").read_bytes()
    program.run("control", "exit")
    assert b"master-state" in trace.read_bytes() and CANARY not in trace.read_bytes()
    files = [path for path in [*directory.rglob("*"), *tmp_path.rglob("*")] if path.is_file()]
    assert [path for path in files if CANARY in path.read_bytes()] == []


def test_usage_of_control(program: Program) -> None:
    program.run("control").failed("check", "stop", "exit")
    program.run("control", "kill").failed("check", "stop", "exit")
