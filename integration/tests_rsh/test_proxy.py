"""OpenSSH's own ssh, with pve-qga-rsh as its ProxyCommand and `sshd -i` in the guest."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab
from program import ROOT, ended, until
from rsh import RSH, Rsh

EXAMPLES = ROOT / "contrib/examples"


@pytest.fixture
def ssh(rsh: Rsh, lab: Lab, tmp_path: Path) -> Iterator[list[str]]:
    """The example's configuration with this test's files in it, and a guest prepared with the example's script."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    known = rsh.tool(EXAMPLES / "prepare-sshd", "web", f"{key}.pub").succeeded().stdout
    assert known.startswith(b"web ssh-ed25519 ")
    assert rsh.tool(EXAMPLES / "prepare-sshd", "web", f"{key}.pub").succeeded().stdout == known
    (tmp_path / "known_hosts").write_bytes(known)
    text = (EXAMPLES / "ssh_config").read_text()
    text = re.sub(r"(?m)^ *Control.*\n", "", text)
    text = text.replace("~/.ssh/known_hosts_qga", str(tmp_path / "known_hosts")).replace("pve-qga-rsh -q", f"{RSH} -q")
    (tmp_path / "config").write_text(text)
    yield ["ssh", "-F", str(tmp_path / "config"), "-i", str(key), "-oBatchMode=yes", "-oLogLevel=ERROR"]
    rsh.run("web", "rm -rf /var/lib/pve-qga-sshd")


def test_command_and_status(rsh: Rsh, ssh: list[str]) -> None:
    done = rsh.tool(*ssh, "web", "cat; echo err >&2; exit 7", stdin=os.urandom(1000) + b"end")
    assert (done.status, done.stdout[-3:], done.stderr, len(done.stdout)) == (7, b"end", b"err\n", 1003)


def test_names_with_a_suffix(rsh: Rsh, ssh: list[str]) -> None:
    done = rsh.tool(*ssh, "-oHostKeyAlias=web", "web.qga", "echo $SSH_CONNECTION; hostname")
    assert done.status == 0 and done.stdout.decode().splitlines()[-1] == rsh.run("web", "hostname").stdout.decode().strip()


def test_terminal(rsh: Rsh, ssh: list[str]) -> None:
    done = rsh.tool(*ssh, "-tt", "web", "test -t 0 && tty")
    assert done.status == 0 and b"/dev/pts/" in done.stdout


def test_a_wrong_host_key_is_refused(rsh: Rsh, ssh: list[str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    (tmp_path / "known_hosts").write_text("web " + Path(f"{other}.pub").read_text())
    done = rsh.tool(*ssh, "web", "true")
    assert done.status == 255 and b"HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_port_forwarding(rsh: Rsh, ssh: list[str], tmp_path: Path, lab: Lab) -> None:
    """A connection to a socket here comes out at one in the guest."""
    local = tmp_path / "forward"
    server = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/tmp/echo'); s.listen(); print('up', flush=True);"
        "c, _ = s.accept()\nwhile d := c.recv(65536): c.sendall(d.upper())"
    )
    serving = rsh.start("web", f'rm -f /tmp/echo; exec {_python()} -c "{server}"')
    forwarding = subprocess.Popen([*ssh, "-N", "-oExitOnForwardFailure=yes", "-L", f"{local}:/tmp/echo", "web"], env=rsh.environment)
    with ended(serving), ended(forwarding):
        assert serving.stdout and serving.stdout.readline() == b"up\n"
        until(local.exists, "the forwarded socket")
        data = b"some text " * 20_000
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(local))
            sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
            sender.start()
            got = bytearray()
            while len(got) < len(data) and (piece := connection.recv(65536)):
                got += piece
            sender.join()
        assert bytes(got) == data.upper()
        forwarding.send_signal(signal.SIGTERM)
        forwarding.wait(60)


def _python() -> str:
    return "$(command -v python3)"


def test_nothing_goes_on_after_the_end(rsh: Rsh, ssh: list[str]) -> None:
    """ssh ends its ProxyCommand with HUP and does not wait; the guest's sshd is gone soon."""
    process = subprocess.Popen([*ssh, "web", "echo up; sleep 1000"], env=rsh.environment, stdout=subprocess.PIPE)
    with ended(process):
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.terminate()
        process.wait(60)
    until(lambda: not rsh.run("web", "ps -eo args= | grep '^sshd: [^[]*\\[\\|[s]shd -i'").stdout, "the guest's sshd ends", 60)
