"""The nodes' SSH servers: logging in, what is on a node, and what can be made to go wrong there."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, LabError
from rawhttp import Api
from socks_connect import connect
from sshclient import Ssh

VMS = ["100:web:pve1:socket", "101:off:pve1:stopped", "110:db:pve2:socket"]

# One round trip over the agent's socket of VM 100, as a client's relay does it.
SYNC = """perl -MIO::Socket::UNIX -e '
    $s = IO::Socket::UNIX->new(Peer => "/var/run/qemu-server/100.qga") or die "$!\\n";
    syswrite $s, "{\\"execute\\":\\"guest-sync\\",\\"arguments\\":{\\"id\\":4711}}\\n";
    print scalar <$s>; $| = 1; print "held\\n"; <STDIN>;'"""


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
    module_lab.start_socks()
    module_lab.open_api()
    for path in ("/usr/sbin/qm", "/usr/bin/perl", "/run/qemu-server/100.qga"):
        module_lab.node().restore(path)


@pytest.fixture
def ssh(lab: Lab, tmp_path: Path) -> Ssh:
    return Ssh(lab, tmp_path)


@pytest.mark.parametrize("key", ["ed25519", "rsa", "rsa-pem"])
def test_login_with_a_key(ssh: Ssh, key: str) -> None:
    answer = ssh("id -un; hostname", key=key)
    assert (answer.status, answer.stdout) == (0, b"root\npve1\n")


@pytest.mark.parametrize("key", ["ed25519-passphrase", "rsa-pem-passphrase"])
def test_login_with_a_passphrase(lab: Lab, ssh: Ssh, key: str) -> None:
    assert ssh("true", key=key).status == 255
    passphrase = lab.ssh["keys"][key]["passphrase"]
    assert "CANARY" in passphrase
    assert ssh("id -un", key=key, password=passphrase, method="publickey").stdout == b"root\n"


def test_key_files_have_the_forms_they_say(lab: Lab) -> None:
    first = {name: Path(key["file"]).read_text().splitlines()[0] for name, key in lab.ssh["keys"].items()}
    for name, key in lab.ssh["keys"].items():
        container = "RSA" if key["container"] == "pem" else "OPENSSH"
        assert first[name] == f"-----BEGIN {container} PRIVATE KEY-----"


def test_unknown_key_is_refused(ssh: Ssh) -> None:
    answer = ssh("true", key="unknown")
    assert answer.status == 255 and "Permission denied" in answer.stderr


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_login_with_a_password(lab: Lab, ssh: Ssh, method: str) -> None:
    password = lab.ssh["users"]["pve-ops"]["password"]
    assert ssh("id -un", user="pve-ops", key=None, password=password, method=method).stdout == b"pve-ops\n"
    assert ssh("true", user="pve-ops", key=None, password="no", method=method).status == 255


def test_user_that_only_keyboard_interactive_lets_in(lab: Lab, ssh: Ssh) -> None:
    password = lab.ssh["users"]["pve-kbd"]["password"]
    assert ssh("true", user="pve-kbd").status == 255
    assert ssh("true", user="pve-kbd", key=None, password=password, method="password").status == 255
    answer = ssh("id -un", user="pve-kbd", key=None, password=password, method="keyboard-interactive")
    assert answer.stdout == b"pve-kbd\n"


def test_login_with_the_agent(lab: Lab, ssh: Ssh) -> None:
    assert ssh("id -un", key=None, agent=True).stdout == b"root\n"
    assert ssh("true", key=None).status == 255


def test_every_node_has_its_own_name_and_keys(lab: Lab, ssh: Ssh) -> None:
    assert ssh("hostname", node="pve2").stdout == b"pve2\n"
    nodes = lab.ssh["nodes"]
    assert nodes["pve2"]["host"] == "127.0.0.2"
    assert not {line.split()[2] for line in nodes["pve1"]["known_hosts"]} & {
        line.split()[2] for line in nodes["pve2"]["known_hosts"]
    }


def test_machine_is_left_alone(lab: Lab, ssh: Ssh) -> None:
    assert ssh("grep -c ^pve- /etc/passwd; echo x > /etc/lab-was-here; ls /root/.ssh").stdout == b"5\nauthorized_keys\n"
    assert "pve-ops" not in Path("/etc/passwd").read_text() and not Path("/etc/lab-was-here").exists()
    assert not Path("/usr/sbin/qm").exists() and not Path("/run/qemu-server").exists()


def test_sudo(lab: Lab, ssh: Ssh) -> None:
    assert ssh("sudo -n qm status 100", user="pve-ops").stdout == b"status: running\n"
    assert ssh("sudo -n perl -e 'print $>'", user="pve-ops").stdout == b"0"
    assert ssh("sudo -n qm status 100", user="pve-qm").stdout == b"status: running\n"
    for user, command in (("pve-qm", "perl -e 1"), ("pve-ask", "qm status 100"), ("pve-nosudo", "qm status 100")):
        answer = ssh(f"sudo -n {command}", user=user)
        assert answer.status == 1 and "password is required" in answer.stderr
    password = lab.ssh["users"]["pve-ask"]["password"]
    asked = ssh("sudo -S -p '' qm status 100", f"{password}\n".encode(), user="pve-ask")
    assert asked.stdout == b"status: running\n"
    answer = ssh("/usr/sbin/qm status 100", user="pve-ops")
    assert (answer.status, answer.stderr) == (255, "please run as root\n")


def test_rules_of_sudo_can_be_replaced(lab: Lab, ssh: Ssh) -> None:
    lab.node().set_sudoers(["pve-nosudo ALL=(root) NOPASSWD: /usr/sbin/qm status 100"])
    assert ssh("sudo -n qm status 100", user="pve-nosudo").status == 0
    assert ssh("sudo -n qm status 101", user="pve-nosudo").status == 1
    lab.node().set_sudoers()
    assert ssh("sudo -n qm status 100", user="pve-nosudo").status == 1


def test_agent_socket_is_the_one_that_the_api_uses(lab: Lab, ssh: Ssh) -> None:
    with Api(lab) as api:
        relay = ssh.start(SYNC)
        assert relay.stdin and relay.stdout
        assert relay.stdout.readline() == b'{"return": 4711}\n' and relay.stdout.readline() == b"held\n"
        answer = api.post("/nodes/pve1/qemu/100/agent/ping")
        assert (answer.status, answer.reason) == (500, "QEMU guest agent is not running")
        relay.communicate(b"\n")
    with Api(lab) as api:
        assert api.post("/nodes/pve1/qemu/100/agent/ping").status == 200


def test_agent_socket_is_for_root(ssh: Ssh) -> None:
    answer = ssh(SYNC, user="pve-nosudo")
    assert answer.status != 0 and "Permission denied" in answer.stderr


def test_sockets_follow_the_vms(lab: Lab, ssh: Ssh) -> None:
    def listed(node: str) -> list[str]:
        return ssh("cd /var/run/qemu-server && ls | grep qga", node=node).stdout.decode().split()

    assert (listed("pve1"), listed("pve2")) == (["100.qga"], ["110.qga"])
    lab.move_vm(110, "pve1")
    assert (listed("pve1"), listed("pve2")) == (["100.qga", "110.qga"], [])
    assert ssh.qm("guest", "cmd", "110", "ping", node="pve2").status == 2
    assert ssh.qm("guest", "cmd", "110", "ping").status == 0
    lab.move_vm(110, "pve2")
    lab.stop_vm(110)
    assert listed("pve2") == []
    lab.start_vm(110)
    assert ssh.qm("guest", "cmd", "110", "ping", node="pve2").status == 0


def test_sessions_can_be_cut(lab: Lab, ssh: Ssh) -> None:
    session = ssh.start("echo up; sleep 60")
    assert session.stdout and session.stdout.readline() == b"up\n"
    assert lab.node().connections() == 1
    lab.node().cut()
    assert session.wait(10) == 255
    assert lab.node().connections() == 0 and ssh("true").status == 0


def test_frozen_session_is_silent(lab: Lab, ssh: Ssh) -> None:
    session = ssh.start("echo up; cat", extra=("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"))
    assert session.stdout and session.stdout.readline() == b"up\n"
    lab.node().freeze()
    assert session.wait(20) == 255
    lab.node().unfreeze()
    assert ssh("true").status == 0


def test_server_can_be_stopped(lab: Lab, ssh: Ssh) -> None:
    session = ssh.start("cat")
    assert session.stdin and session.stdout
    session.stdin.write(b"before\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"before\n"
    lab.node().stop_sshd()
    answer = ssh("true")
    assert answer.status == 255 and "Connection refused" in answer.stderr
    assert session.communicate(b"after\n", timeout=10)[0] == b"after\n"
    lab.node().start_sshd()
    assert ssh("true").status == 0


def test_changed_host_key(lab: Lab, tmp_path: Path) -> None:
    with Lab(vms=["100:web:pve1:none"], nodes="pve1", ssh=True) as own:
        ssh = Ssh(own, tmp_path)
        assert ssh("true").status == 0
        lines = own.node().change_host_keys()
        answer = ssh("true")
        assert answer.status == 255 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in answer.stderr
        Path(own.ssh["known_hosts"]).write_text("\n".join(lines) + "\n")
        assert ssh("true").status == 0


@pytest.mark.parametrize(
    ("path", "command", "says"),
    [
        ("/usr/sbin/qm", "qm list", "qm: command not found"),
        ("/usr/bin/perl", "perl -e 1", "perl: command not found"),
        ("/run/qemu-server/100.qga", SYNC, "No such file or directory"),
        ("/run/qemu-server/100.qga", "qm guest cmd 100 ping", "QEMU guest agent is not running"),
    ],
)
def test_things_can_be_missing(lab: Lab, ssh: Ssh, path: str, command: str, says: str) -> None:
    if Path(path).name == "perl" and ssh("type -a perl | grep -v /bin/perl").stdout:
        pytest.skip("this machine has more than one perl")
    lab.node().hide(path)
    answer = ssh(command)
    assert answer.status != 0 and says in answer.stderr
    lab.node().restore(path)
    assert ssh(command, b"\n").status == 0


def test_api_can_be_closed(lab: Lab, ssh: Ssh) -> None:
    with Api(lab) as api:
        assert api.get("/version").status == 200
        lab.close_api()
        with pytest.raises(OSError):
            api.get("/version")
    assert ssh.qm("guest", "cmd", "100", "ping").status == 0
    lab.open_api()
    with Api(lab) as api:
        assert api.get("/version").status == 200


def test_socks_proxy(lab: Lab, ssh: Ssh) -> None:
    before = lab.socks_counts()["connections"]
    assert ssh("echo through", socks=True).stdout == b"through\n"
    assert lab.socks_counts()["connections"] == before + 1
    socks, port = lab.ssh["socks"], lab.ssh["port"]
    sock, code = connect(socks["port"], socks["user"], socks["password"], "pve2", port)
    with sock:
        assert code == 0 and sock.recv(4, socket.MSG_WAITALL) == b"SSH-"
    sock, code = connect(socks["port"], socks["user"], "wrong", "pve2", port)
    sock.close()
    assert code == -1 and lab.socks_counts()["refused_logins"] >= 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sock, code = connect(socks["port"], socks["user"], socks["password"], "127.0.0.1", unused.getsockname()[1])
    sock.close()
    assert code == 5


def test_socks_proxy_can_be_stopped(lab: Lab, ssh: Ssh) -> None:
    lab.stop_socks()
    assert ssh("true", socks=True).status == 255
    lab.start_socks()
    assert ssh("true", socks=True).status == 0


def test_socks_proxy_cuts_at_a_byte(lab: Lab) -> None:
    socks = lab.ssh["socks"]
    sock, code = connect(socks["port"], socks["user"], socks["password"], "pve1", lab.ssh["port"])
    with sock:
        assert code == 0
        lab.cut_socks_after("down", 6)
        data = b""
        while piece := sock.recv(100):
            data += piece
    # The banner may have passed, wholly, before the cut was planned: then the next bytes from the node meet it.
    assert len(data) == 6 or data.startswith(b"SSH-2.0-")


def test_cut_in_the_middle_of_a_transfer(lab: Lab, ssh: Ssh) -> None:
    session = ssh.start("cat", socks=True)
    assert session.stdin and session.stdout
    session.stdin.write(b"x\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"x\n"
    lab.cut_socks_after("up", 100_000)
    try:
        session.communicate(os.urandom(4_000_000), timeout=20)
    except BrokenPipeError:
        session.wait(20)
    assert session.returncode == 255


def test_start_of_qm_takes_its_time(lab: Lab, ssh: Ssh) -> None:
    lab.set_qm_start(0.7)
    started = time.monotonic()
    assert ssh.qm("status", "100").status == 0
    lab.set_qm_start(0)
    assert time.monotonic() - started >= 0.7


def test_log_tells_who_logged_in(lab: Lab, ssh: Ssh) -> None:
    ssh("true", user="pve-qm")
    assert "Accepted publickey for pve-qm" in lab.node().log()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Lab(vms=["100:web:pve1:none"], nodes="pve1", ssh=True, directory=tmp_path / "lab") as lab:
        session = Ssh(lab, tmp_path).start("echo up; exec sleep 4711")
        assert session.stdout and session.stdout.readline() == b"up\n"
    assert session.wait(10) == 255
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 4711" not in listed and str(tmp_path) not in listed


def test_lab_without_ssh_has_no_nodes() -> None:
    with Lab(vms=["100:web:pve1:none"]) as lab:
        assert "ssh" not in lab.info
        with pytest.raises(LabError):
            lab.node().cut()
