"""The plugin's client of ``serve`` against the program itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PIPED, ROOT
from lab import Lab
from program import PROGRAM, Program, commands_named, until

sys.path.append(str(ROOT / "contrib"))

from ansible_collections.pve.qga.plugins.plugin_utils.serve import Call, Refusal, Server  # noqa: E402  (see above)

MIB = 1024 * 1024


@pytest.fixture
def server(lab: Lab, tmp_path: Path) -> Iterator[Server]:
    server = Server([str(PROGRAM), "serve"], Program(lab, tmp_path).environment)
    server.hello("test", str(PIPED))
    yield server
    server.close()


def wait(server: Server, call: Call) -> Call:
    while not call.done:
        server.step()
    return call


def test_much_in_and_out(server: Server) -> None:
    data = os.urandom(3 * MIB)
    call = server.start("exec_command", {"cmd": "cat; echo end >&2; exit 3", "stdin": "stream", "live": False})
    call.write(data[:MIB])
    call.write(data[MIB:], eof=True)
    assert wait(server, call).result()["exit_code"] == 3
    assert (bytes(call.output["stdout"]), bytes(call.output["stderr"])) == (data, b"end\n")


def test_payload_and_several_calls(server: Server) -> None:
    calls = [server.start("exec_command", {"cmd": "cat"}, b"%d" % number) for number in range(5)]
    assert [bytes(wait(server, call).output["stdout"]) for call in calls] == [b"%d" % number for number in range(5)]


def test_refusal(server: Server) -> None:
    with pytest.raises(Refusal) as caught:
        server.call("fetch_file", {"in_path": "/none", "out_path": "/tmp/none"})
    assert (caught.value.code, caught.value.effect) == ("remote-file-not-found", "none")


def test_abort_ends_the_command(server: Server, lab: Lab) -> None:
    server.start("exec_command", {"cmd": "exec sleep 765"})
    guest = lab.guest(PIPED)
    while not commands_named(guest.processes(), "sleep"):
        server.step(0.1)
    server.abort()
    until(lambda: not commands_named(guest.processes(), "sleep"), "the command has ended", 5)


def test_server_that_ends(server: Server, lab: Lab) -> None:
    call = server.start("exec_command", {"cmd": "sleep 1"})
    while server.step(0.2):
        pass
    os.kill(server._process.pid, signal.SIGKILL)
    with pytest.raises(Refusal) as caught:
        wait(server, call).result()
    assert (caught.value.code, caught.value.effect) == ("ended", "unknown")
    with pytest.raises(Refusal) as caught:
        server.call("ping", {})
    assert (caught.value.code, caught.value.effect) == ("ended", "none")
    # Killed like this it cannot clean up.
    lab.guest(PIPED).run(["sh", "-c", "rm -rf /tmp/.pve-qga-run-*"])


def test_left_alone(lab: Lab, tmp_path: Path, control: Path) -> None:
    """A shared program finishes what it was left with."""
    sharing = {"PVE_QGA_CONTROL_PERSIST": "60s", "PVE_QGA_CONTROL_PATH": str(control)}
    server = Server([str(PROGRAM), "serve"], {**Program(lab, tmp_path).environment, **sharing})
    server.hello("test", str(PIPED))
    guest = lab.guest(PIPED)
    go, done = guest.path("/tmp/go"), guest.path("/tmp/done")
    server.start("exec_command", {"cmd": "until [ -e /tmp/go ]; do sleep 0.1; done; rm /tmp/go; echo done >/tmp/done"})
    while server.queued:
        server.step()
    server.leave()
    go.touch()
    until(done.exists, "the command has run to its end")
    done.unlink()


@pytest.mark.parametrize("answer", ["nonsense", '{"id":1}', '{"id":1,"error":7}', "[]", ""])
def test_what_is_no_server(answer: str) -> None:
    server = Server(["sh", "-c", 'read -r line; printf "%s\\n" "$0"', answer], os.environ)
    with pytest.raises(Refusal) as caught:
        server.hello("test")
        server.call("ping", {})
    server.abort()
    assert caught.value.code == "ended"
