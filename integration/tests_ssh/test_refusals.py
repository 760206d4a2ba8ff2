"""What can be wrong on the way over SSH: one line each, which says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Make
from lab import Lab
from program import ended, finish, until
from pve_qga_client import Error

NAME = "PROXMOX_VE_SSH_USERNAME"
KEY = "PROXMOX_VE_SSH_PRIVATE_KEY"


def test_unknown_host(make: Make, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    program = make(PROXMOX_VE_SSH_KNOWN_HOSTS=str(known))
    program.shell(100, "true").failed("host key", "is not known", "ssh-keyscan -t ed25519 -p", f">> {known}")
    result = program.shell(100, "true", "--ssh-accept-new")
    assert result.status == 0 and "was new" in result.complaint
    program.shell(100, "true").succeeded()


def test_changed_and_revoked_host_keys(make: Make, lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    lines = lab.ssh["nodes"]["pve1"]["known_hosts"]
    other = lab.ssh["nodes"]["pve2"]["known_hosts"]
    host = lines[0].split()[0]
    program = make(PROXMOX_VE_SSH_KNOWN_HOSTS=str(known))
    known.write_text("".join(f"{host} {line.split(None, 1)[1]}\n" for line in other))
    program.shell(100, "true", "--ssh-accept-new").failed("another one than in", f"{known}:1", "ssh-keygen -R")
    known.write_text(f"{lines[0]}\n@revoked {lines[0]}\n")
    program.shell(100, "true", "--ssh-accept-new").failed("is revoked", f"{known}:2")


def test_wrong_logins(make: Make, lab: Lab) -> None:
    unknown = Path(lab.ssh["keys"]["unknown"]["file"]).read_text(encoding="ascii")
    locked = Path(lab.ssh["keys"]["ed25519-passphrase"]["file"]).read_text(encoding="ascii")
    make(**{KEY: unknown}).shell(100, "true").failed("cannot log in as root@", "the key was refused")
    make(**{KEY: locked}).shell(100, "true").failed("passphrase", "--ssh-key-passphrase-file")
    wrong = {KEY: locked, "PROXMOX_VE_SSH_KEY_PASSPHRASE": "wrong"}
    make(**wrong).shell(100, "true").failed("wrong passphrase")
    make(**{KEY: "no key"}).shell(100, "true").failed("is no private key")
    make(**{KEY: None, "PROXMOX_VE_SSH_PASSWORD": "wrong"}).shell(100, "true").failed("password was refused")
    make(**{KEY: None}).shell(100, "true").failed("--ssh-key-file")
    make(**{KEY: None, "SSH_AUTH_SOCK": "/nonexistent"}).shell(100, "true").failed("no SSH agent", "/nonexistent")


def test_errors_have_their_codes(make: Make) -> None:
    """As a client of ``serve`` sees them."""
    for variables, code in (({KEY: None}, "ssh-login"), ({"PROXMOX_VE_SSH_KNOWN_HOSTS": "/nonexistent"}, "host-key")):
        with make(**variables).serve(vm="100") as client, pytest.raises(Error) as failure:
            client.exec_command("true")
        assert (failure.value.code, failure.value.effect) == (code, "none")


def test_closed_port_and_unknown_name(make: Make) -> None:
    make(PROXMOX_VE_SSH_PORT="1").shell(100, "true").failed("SSH: connecting to 127.0.0.1:1")
    make().shell(100, "true", "--ssh-host", "nosuch.invalid").failed("nosuch.invalid", "--ssh-node")


@pytest.mark.parametrize("user", ["pve-ask", "pve-nosudo"])
def test_sudo_that_asks_for_a_password(make: Make, method: str, user: str) -> None:
    make(method, **{NAME: user}).shell(100, "true").failed("sudo: a password is required", "sudoers")


def test_sudo_for_qm_alone(make: Make) -> None:
    make("socket", **{NAME: "pve-qm"}).shell(100, "true").failed("sudo")


def test_missing_tools(make: Make, lab: Lab) -> None:
    lab.node().hide("/usr/sbin/qm")
    make("qm").shell(100, "true").failed("no `qm`", "Proxmox VE node")
    make("socket").shell(100, "true").succeeded()
    lab.node().hide("/usr/bin/perl")
    make("socket").shell(100, "true").failed("no `perl`")


@pytest.mark.parametrize("fault", ["cut-before", "cut-after"])
def test_a_lost_session_runs_a_command_once(make: Make, lab: Lab, fault: str) -> None:
    """The job finds out by itself whether its start came through."""
    lab.fault("qm-exec", fault, vmid=100, nth=1)
    program = make("qm")
    program.shell(100, "echo x >>/tmp/once").succeeded()
    assert lab.guest(100).run(["cat", "/tmp/once"]).stdout == b"x\n"
    assert lab.guest(100).run(["rm", "/tmp/once"]).exit_code == 0


def test_a_session_lost_while_a_command_runs(make: Make, lab: Lab, method: str) -> None:
    """The command goes on in the guest; its end is learned over another session."""
    line = "echo x >>/tmp/lost; while [ -e /tmp/lost-wait ]; do sleep 0.1; done; echo done"
    guest = lab.guest(100)
    assert guest.run(["touch", "/tmp/lost-wait"]).exit_code == 0
    process = make(method).start("exec", "--shell", line, "100")
    with ended(process):
        until(lambda: guest.run(["cat", "/tmp/lost"]).exit_code == 0, "the command runs")
        lab.node().cut()
        assert guest.run(["rm", "/tmp/lost-wait"]).exit_code == 0
        result = finish(process)
    assert (result.status, result.stdout) == (0, b"done\n"), result.stderr
    assert guest.run(["cat", "/tmp/lost"]).stdout == b"x\n"
    assert guest.run(["rm", "/tmp/lost"]).exit_code == 0


def test_a_node_that_goes_away_for_good(make: Make, lab: Lab, method: str) -> None:
    """What became of the command is not known, and that is said."""
    guest = lab.guest(100)
    process = make(method, PROXMOX_CONNECT_TIMEOUT="3").start("exec", "--shell", "touch /tmp/gone; sleep 5", "100")
    with ended(process):
        until(lambda: guest.run(["cat", "/tmp/gone"]).exit_code == 0, "the command runs")
        lab.node().stop_sshd()
        lab.node().cut()
        try:
            result = finish(process)
        finally:
            lab.node().start_sshd()
    assert result.status == 255 and b"127.0.0.1" in result.stderr
    assert guest.run(["rm", "-f", "/tmp/gone"]).exit_code == 0
