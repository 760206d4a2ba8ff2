"""What stands in the way of the server: one line that says what, where and what to do; nothing happens in any guest."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import WEB
from lab import Lab
from program import Program, until
from pve_qga_client import STREAM, Error
from refusal import refused
from relay import Relay

pytestmark = pytest.mark.ways("api", why="about the API's server")

NO_SUCH_HOST = "no-such-host.invalid"
OTHER_FINGERPRINT = ":".join(["AB"] * 32)


def test_host_that_does_not_resolve(program: Program) -> None:
    refused(program, "resolve", NO_SUCH_HOST, "PROXMOX_HOST", host=NO_SUCH_HOST)


def test_port_where_nothing_listens(program: Program) -> None:
    """A server that was never reached is not waited for: it is more likely a mistake than a reboot."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        refused(program, "connect", f"127.0.0.1:{port}", port=str(port))


def test_server_that_goes_away_and_comes_back(program: Program, lab: Lab) -> None:
    """As when pveproxy is restarted: calls that could not be made are made again."""
    with Relay(lab.port) as relay, program.serve(vm=WEB, options={"port": relay.port}) as client:
        assert client.exec_command("echo before").stdout == b"before\n"
        running = client.start_command("echo ready; cat; echo done", stdin=STREAM)
        until(lambda: bytes(running.output["stdout"]) == b"ready\n", "the command runs")
        relay.stop()
        later = client.start_command("echo after")
        running.write(b"input\n")
        running.end()
        relay.start()
        assert later.result().stdout == b"after\n"
        assert running.result().stdout == b"ready\ninput\ndone\n"


def test_connections_that_are_dropped(program: Program, lab: Lab) -> None:
    with program.serve(vm=WEB) as client:
        for number in range(20):
            request = client.start_command(f"echo {number}")
            lab.drop_connections()
            assert request.result().stdout == b"%d\n" % number


def test_what_is_no_api(program: Program) -> None:
    """A server that speaks TLS is needed first; this one hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        port = str(listener.getsockname()[1])
        program.run("exec", f"--port={port}", "--connect-timeout=0", str(WEB), "true").failed(f"127.0.0.1:{port}")


def test_certificate_of_an_unknown_issuer(program: Program) -> None:
    refused(program.having(PROXMOX_CA_FILE=None), "tls", "127.0.0.1", "--fingerprint")


@pytest.fixture
def other_address(lab: Lab) -> Iterator[dict[str, str]]:
    """The lab at an address that its certificate does not name."""
    with Relay(lab.port, "127.0.0.2") as relay:
        yield {"host": relay.host, "port": str(relay.port)}


def test_certificate_of_another_host(program: Program, other_address: dict[str, str]) -> None:
    refused(program, "tls", "127.0.0.2", "--fingerprint", **other_address)


def test_right_fingerprint(program: Program, lab: Lab, other_address: dict[str, str]) -> None:
    pinned = program.having(PROXMOX_CA_FILE=None, PROXMOX_FINGERPRINT=lab.fingerprint)
    assert pinned.exec(WEB, "echo", "ok").succeeded().stdout == b"ok\n"
    plain = pinned.having(PROXMOX_FINGERPRINT=lab.fingerprint.replace(":", "").lower())
    options = [f"--{name}={value}" for name, value in other_address.items()]
    assert plain.run("exec", *options, str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"


def test_wrong_fingerprint(program: Program, lab: Lab) -> None:
    refused(program, "fingerprint", lab.fingerprint, "pvenode cert info", fingerprint=OTHER_FINGERPRINT)
    assert lab.counters()["requests_total"] == 0, "no credentials go to a server that is another one"


def test_unchecked_certificate(program: Program) -> None:
    careless = program.having(PROXMOX_CA_FILE=None).run("exec", "--no-validate-certs", str(WEB), "echo", "ok")
    assert (careless.status, careless.stdout) == (0, b"ok\n")
    assert "certificate" in careless.complaint, "it warns"


def test_ca_file_that_is_missing(program: Program, tmp_path: Path) -> None:
    program.having(PROXMOX_CA_FILE=str(tmp_path / "none.pem")).exec(WEB, "true").failed("none.pem")


@pytest.mark.parametrize("garbage", ["not-json", "empty", "deep", "not-http", "huge"])
def test_server_that_talks_garbage(program: Program, lab: Lab, garbage: str) -> None:
    """Never an endless loop, never more than a line, never much memory."""
    lab.fault("*", "garbage", garbage=garbage, count=0)
    result = program.measure("exec", "--connect-timeout=1", str(WEB), "true")
    result.failed("127.0.0.1")
    assert result.peak_kib < 64 * 1024


def test_bad_answer_has_a_code(program: Program, lab: Lab) -> None:
    lab.fault("*", "garbage", garbage="not-json", count=0)
    with program.serve(options={"connect_timeout": 0}) as client, pytest.raises(Error) as raised:
        client.exec_command("true", vm=WEB)
    assert (raised.value.code, raised.value.effect) == ("bad-answer", "none")


@pytest.mark.parametrize(("status", "code"), [(400, "http"), (596, "network")])
def test_refusals_of_every_call(program: Program, lab: Lab, status: int, code: str) -> None:
    lab.fault("*", "status-before", status=status, reason="Too bad", count=0)
    refused(program, code, "Too bad", connect_timeout="0")


def test_proxy_that_is_not_there(program: Program) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        refused(program, "proxy", f"port {port}", "proxy", proxy=f"http://127.0.0.1:{port}", connect_timeout="0")
