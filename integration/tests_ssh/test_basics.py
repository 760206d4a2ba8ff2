"""exec, put, fetch, serve, ping over both methods, as root and as a user with sudo."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Make
from lab import Lab

NAME = "PROXMOX_VE_SSH_USERNAME"
KEY = "PROXMOX_VE_SSH_PRIVATE_KEY"
EVERY_BYTE = bytes(range(256)) * 3


@pytest.fixture(params=["root", "pve-ops"])
def user(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_exec(make: Make, method: str, user: str) -> None:
    program = make(method, **{NAME: user})
    result = program.shell(100, "cat; echo err >&2; exit 42", stdin=EVERY_BYTE)
    assert (result.status, result.stdout, result.stderr) == (42, EVERY_BYTE, b"err\n")
    odd = ["'", '"', "$x", "`", "\\", "", "-n", "ä", "a\nb"]
    assert program.exec(100, "printf", "%s,", *odd).succeeded().stdout == ("".join(f"{a}," for a in odd)).encode()


def test_put_and_fetch(make: Make, lab: Lab, method: str, user: str, tmp_path: Path) -> None:
    program = make(method, **{NAME: user})
    local, back, remote = tmp_path / "local", tmp_path / "back", "/tmp/over-ssh"
    for size in (0, 1, 70_000, 3_000_000):
        content = os.urandom(size)
        local.write_bytes(content)
        program.put(100, local, remote).succeeded()
        program.fetch(100, remote, back).succeeded()
        assert back.read_bytes() == content
    assert lab.guest(100).run(["rm", remote]).exit_code == 0
    program.fetch(100, remote, back).failed("no such file")
    program.fetch(100, "/tmp", back).failed("directory")


def test_serve(make: Make, method: str) -> None:
    with make(method).serve(vm="100") as client:
        requests = [client.start_command(f"sleep 0.1; echo {number}", live=False) for number in range(8)]
        assert [request.result().stdout for request in requests] == [f"{number}\n".encode() for number in range(8)]


def test_the_fastest_method_that_is_allowed_is_taken(make: Make, lab: Lab) -> None:
    assert make("auto", **{NAME: "pve-ops"}).shell(100, "echo a").succeeded().stdout == b"a\n"
    assert lab.counters()["programs"] == {}
    assert make("auto", **{NAME: "pve-qm"}).shell(100, "echo a").succeeded().stdout == b"a\n"
    assert lab.counters()["programs"]["qm-exec"] > 0


def test_many_vms_share_a_session(make: Make, lab: Lab, method: str) -> None:
    program = make(method, PROXMOX_VE_SSH_NODES="pve2=127.0.0.2")
    with program.serve() as client:
        requests = [client.start_command("hostname", vm=vm, live=False) for vm in ("web", "db", "100", "db") * 3]
        assert all(request.result().exit_code == 0 for request in requests)


def test_a_vm_by_name_on_another_node(make: Make, method: str) -> None:
    """Its node and the node's address come from the first one."""
    program = make(method)
    assert program.shell("db", "echo a").succeeded().stdout == b"a\n"
    assert program.shell("101", "echo a").succeeded().stdout == b"a\n"
    program.shell("nosuch", "true").failed("there is no VM 'nosuch'")
    program.shell("999", "true").failed("999")


def test_what_the_vm_refuses(make: Make, method: str) -> None:
    program = make(method)
    program.shell(102, "true").failed("VM 102 is not running")
    program.shell(103, "true", ).failed("disabled")


LOGINS: dict[str, Callable[[Lab, str], dict[str, str | None]]] = {
    "key": lambda lab, user: {},
    "agent": lambda lab, user: {KEY: None, "PROXMOX_VE_SSH_AUTH_SOCK": lab.ssh["agent_socket"]},
    "password": lambda lab, user: {KEY: None, "PROXMOX_VE_SSH_PASSWORD": lab.ssh["users"][user]["password"]},
}


@pytest.mark.parametrize("login", LOGINS)
def test_each_login(make: Make, lab: Lab, method: str, user: str, login: str) -> None:
    program = make(method, **{NAME: user}, **LOGINS[login](lab, user))
    assert program.shell(100, "cat; id -u", stdin=b"in\n").succeeded().stdout == b"in\n0\n"
    assert bool(lab.counters()["programs"]) == (method == "qm")


@pytest.mark.parametrize("key", ["ed25519", "ed25519-passphrase"])
def test_keys(make: Make, lab: Lab, tmp_path: Path, key: str) -> None:
    told = lab.ssh["keys"][key]
    program = make("socket", PROXMOX_VE_SSH_PRIVATE_KEY=None, PROXMOX_VE_SSH_KEY_PASSPHRASE=told["passphrase"])
    file = tmp_path / "key"
    file.write_bytes(Path(told["file"]).read_bytes())
    file.chmod(0o600)
    program.shell(100, "true", "--ssh-key-file", file).succeeded()
    file.chmod(0o644)
    program.shell(100, "true", "--ssh-key-file", file).failed("open to other users")


def test_agent(make: Make, lab: Lab) -> None:
    program = make("socket", PROXMOX_VE_SSH_PRIVATE_KEY=None)
    program.shell(100, "true", "--ssh-agent-socket", lab.ssh["agent_socket"]).succeeded()
    program.having(SSH_AUTH_SOCK=lab.ssh["agent_socket"]).shell(100, "true").succeeded()


def test_keyboard_interactive(make: Make, lab: Lab) -> None:
    user = "pve-kbd"
    make("socket", **{NAME: user}, **LOGINS["password"](lab, user)).shell(100, "true").succeeded()


def test_socks(make: Make, lab: Lab) -> None:
    socks = lab.ssh["socks"]
    program = make(
        "socket", PROXMOX_VE_SSH_SOCKS5_SERVER=f"{socks['host']}:{socks['port']}",
        PROXMOX_VE_SSH_SOCKS5_USERNAME=socks["user"], PROXMOX_VE_SSH_SOCKS5_PASSWORD=socks["password"],
    )  # fmt: skip
    program.shell(100, "true").succeeded()
    wrong = program.having(PROXMOX_VE_SSH_SOCKS5_PASSWORD="wrong")
    wrong.shell(100, "true").failed("proxy")
    lab.stop_socks()
    program.shell(100, "true").failed("proxy")


def test_auto_takes_ssh_only_where_the_api_is_closed(make: Make, lab: Lab) -> None:
    program = make("socket", PVE_QGA_VIA="auto")
    assert program.shell(100, "echo a").succeeded().stdout == b"a\n"
    lab.close_api()
    result = program.shell(100, "echo a")
    assert (result.status, result.stdout) == (0, b"a\n")
    assert "going on over SSH" in result.complaint
