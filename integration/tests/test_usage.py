"""The command line and the configuration: help, version, mistakes and where values come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import WEB
from lab import Lab
from program import ROOT, Program

NO_SSH = pytest.mark.ways("api", why="a login over SSH is no mistake there")
COMMANDS = ["exec", "put", "fetch", "ping", "serve", "help"]


@pytest.fixture
def bare(program: Program) -> Program:
    """Without a server or credentials in the environment."""
    return program.having(
        PROXMOX_HOST=None, PROXMOX_PORT=None, PROXMOX_CA_FILE=None, PROXMOX_USER=None, PROXMOX_TOKEN_SECRET=None
    )


def write_config(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_version(bare: Program) -> None:
    version = re.search(r"^project\(\S+ VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert version and bare.run("--version").succeeded().stdout.decode() == f"pve-qga-run {version[1]}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(bare: Program, command: str) -> None:
    overview = bare.run("--help").succeeded().stdout.decode()
    assert command in overview and max(map(len, overview.splitlines())) <= 80
    text = bare.run("help", command).succeeded().stdout
    assert text == bare.run(command, "--help").succeeded().stdout and command.encode() in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["command"]),
        (["exce", "web"], ["exce", "exec"]),
        (["exec", "--tiemout=3", "web", "true"], ["--tiemout", "--timeout"]),
        (["exec", "--timeout=soon", "web", "true"], ["--timeout", "soon"]),
        (["exec", "--port=70000", "web", "true"], ["--port", "65535"]),
        (["exec", "web"], ["command"]),
        (["put", "web", "file"], ["VM"]),
        (["put", "--mode=999", "web", "a", "b"], ["--mode", "999"]),
        (["fetch", "web", "a", "b", "c"], ["'c'"]),
        (["fetch", "web", "", "b"], []),
        (["serve", "web"], ["web"]),
        pytest.param(["exec", "--via=ssh", "web", "true"], ["ssh"], marks=NO_SSH),
        (["exec", "--remote-tmp=tmp", "web", "true"], ["--remote-tmp", "tmp"]),
    ],
)
def test_mistakes(program: Program, lab: Lab, arguments: list[str], words: list[str]) -> None:
    program.run(*arguments).failed(*words)
    assert lab.counters()["requests_total"] == 0


def test_no_host(bare: Program) -> None:
    bare.exec(WEB, "true").failed("host")


@pytest.mark.ways("api", why="about the API's secrets")
def test_no_credentials(program: Program) -> None:
    program.having(PROXMOX_TOKEN_SECRET=None).exec(WEB, "true").failed("secret")


def test_no_vm(program: Program) -> None:
    program.run("exec", "--", "true").failed("VM")


def test_configuration_file(bare: Program, lab: Lab) -> None:
    text = f"""
        host = {lab.host}
        port = {lab.port}
        ca_file = {lab.ca_file}
        user = {lab.token_id}
        token_secret = {lab.token_secret}
        [vm box]
        vmid = {WEB}
        node = pve1
        remote_tmp = /var/tmp
    """
    write_config(bare.home / ".config" / "pve-qga-run.conf", text)
    assert bare.exec("box", "echo", "ok").succeeded().stdout == b"ok\n"
    assert "resources" not in lab.counters()["requests"]
    printed = bare.run("--print-config", "ping", "box").succeeded().stdout.decode()
    assert "/var/tmp" in printed and lab.token_secret not in printed and "<set>" in printed


def test_configuration_file_by_name(bare: Program, lab: Lab, tmp_path: Path) -> None:
    path = write_config(tmp_path / "my.conf", f"host = {lab.host}\nport = {lab.port}\nfingerprint = {lab.fingerprint}\n")
    mine = bare.having(PROXMOX_USER=lab.token_id, PROXMOX_TOKEN_SECRET=lab.token_secret)
    assert mine.run("exec", f"--config={path}", str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"
    assert mine.run("--config", path, "exec", str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"
    mine.run("exec", f"--config={tmp_path}/none.conf", str(WEB), "true").failed("none.conf")


def test_configuration_with_a_mistake(bare: Program) -> None:
    path = write_config(bare.home / ".config" / "pve-qga-run.conf", "[defaults]\nhost = h\nprot = 8006\n")
    bare.exec(WEB, "true").failed(f"{path}:3", "prot")


def test_configuration_with_a_secret_that_others_can_read(bare: Program) -> None:
    path = write_config(bare.home / ".config" / "pve-qga-run.conf", "host = h\ntoken_secret = CANARY\n", 0o644)
    assert "CANARY" not in bare.exec(WEB, "true").failed(str(path), "0600").complaint


def test_environment_goes_before_the_file_and_options_before_both(program: Program, lab: Lab) -> None:
    write_config(program.home / ".config" / "pve-qga-run.conf", "remote_tmp = /a\nnode = file\n")
    chosen = program.having(PROXMOX_NODE="environment")
    printed = chosen.run("--print-config", "--remote-tmp=/b").succeeded().stdout.decode()
    lines = {line.split()[0].strip(":="): line for line in printed.splitlines() if line.strip()}
    assert "/b" in lines["remote_tmp"] and "environment" in lines["node"]
    assert program.run("exec", "--node=pve1", "--remote-tmp=/tmp", str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"


def test_verbose_says_what_goes_on(program: Program) -> None:
    quiet = program.shell(WEB, "echo out; exit 3")
    loud = program.shell(WEB, "echo out; exit 3", "-vv")
    assert quiet.stderr == b"" and loud.stderr != b""
    assert (loud.status, loud.stdout) == (quiet.status, quiet.stdout) == (3, b"out\n")
    assert all(line.startswith(b"pve-qga-run: ") for line in loud.stderr.splitlines())


def test_trace_that_cannot_be_written(program: Program) -> None:
    program.having(PVE_QGA_TRACE="/no/such/trace").exec(WEB, "true").failed("/no/such/trace")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ping", str(WEB)]])
def test_full_stdout_is_told(program: Program, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        program.run(*arguments, stdout=full).failed("No space left")
