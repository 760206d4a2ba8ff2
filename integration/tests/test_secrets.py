"""Secrets stay secret: not in output, traces, arguments, environments of children, or files.

The lab's credentials all contain CANARY; whatever a run leaves behind is searched for it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import OFF, WEB
from lab import Lab
from lab.auth import totp
from noise import noise
from program import PROGRAM, Program, Result, ended, finish
from pve_qga_client import Client

CANARY = b"CANARY"


@pytest.fixture
def traced(program: Program, tmp_path: Path) -> Iterator[Program]:
    """Everything is told and traced; no file that is made may have the canary."""
    trace = tmp_path / "trace"
    yield program.having(PVE_QGA_TRACE=str(trace), TMPDIR=str(tmp_path))
    assert trace.stat().st_size > 500
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert trace in files
    assert [path for path in files if CANARY in path.read_bytes()] == []


def clean(result: Result) -> Result:
    assert CANARY not in result.stdout + result.stderr
    return result


def user(lab: Lab, name: str) -> dict[str, Any]:
    return next(entry for entry in lab.info["users"] if entry["user"] == name)


def test_commands_and_files(traced: Program, remote: Callable[[int], str], tmp_path: Path) -> None:
    assert clean(traced.shell(WEB, "env; cat", "-vv", stdin=b"x")).status == 0
    (tmp_path / "file").write_bytes(noise(600_000))
    assert clean(traced.put(WEB, tmp_path / "file", f"{remote(WEB)}/file", "-vv")).status == 0
    assert clean(traced.fetch(WEB, f"{remote(WEB)}/file", tmp_path / "back", "-vv")).status == 0
    assert clean(traced.run("ping", "-vv", str(WEB))).status == 0


@pytest.mark.ways("api", why="about the API's secrets")
def test_errors(traced: Program, lab: Lab) -> None:
    for changed, arguments in [
        ({"PROXMOX_TOKEN_SECRET": "CANARY-wrong"}, []),
        ({"PROXMOX_TOKEN_SECRET": "CANARY wrong\n"}, []),
        ({"PROXMOX_USER": "lab@pve", "PROXMOX_PASSWORD": "CANARY-wrong", "PROXMOX_TOKEN_SECRET": None}, []),
        ({"PROXMOX_PROXY_USERPWD": "me:CANARY", "PROXMOX_PROXY": "http://127.0.0.1:1"}, ["--connect-timeout=0"]),
        ({}, ["--token-secret=CANARY"]),
        ({}, ["--password=CANARY"]),
        ({}, ["--fingerprint=" + "AB" * 32]),
        ({"PROXMOX_TOKEN_SECRET": None}, ["--token-secret-command=echo CANARY; exit 3"]),
    ]:
        result = traced.having(**changed).run("exec", "-vv", *arguments, str(WEB), "true")
        assert result.status == 255
        shown = result.stderr.replace(b"echo CANARY", b"")
        assert CANARY not in result.stdout + shown, result.stderr
    clean(traced.run("exec", "-vv", str(OFF), "true"))
    lab.fault("*", "garbage", garbage="not-json", count=0)
    clean(traced.run("exec", "-vv", "--connect-timeout=0", str(WEB), "true"))


def test_passwords(traced: Program, lab: Lab) -> None:
    login = user(lab, "lab@pve")
    by_password = traced.having(PROXMOX_USER="lab@pve", PROXMOX_PASSWORD=login["password"], PROXMOX_TOKEN_SECRET=None)
    result = clean(by_password.run("exec", "-vv", str(WEB), "true"))
    assert result.status == 0
    shown = result.stderr + Path(traced.environment["PVE_QGA_TRACE"]).read_bytes()
    assert b"PVE:lab@pve:" not in shown and b"PVE%3A" not in shown, "tickets are secrets, too"
    login = user(lab, "totp@pve")
    code = totp(login["totp_secret"], int(time.time()) // 30)
    two = traced.having(PROXMOX_USER="totp@pve", PROXMOX_PASSWORD=login["password"], PROXMOX_TOKEN_SECRET=None, PROXMOX_OTP=code)
    assert clean(two.run("exec", "-vv", str(WEB), "true")).status == 0


def test_print_config(traced: Program) -> None:
    assert b"<set>" in clean(traced.run("--print-config")).stdout
    traced.exec(WEB, "true").succeeded()


@pytest.mark.ways("api", why="about the API's secrets")
def test_arguments_and_children(traced: Program, lab: Lab, tmp_path: Path) -> None:
    """/proc/PID/cmdline of the program, and the environment of commands that it runs here."""
    (tmp_path / "secret").write_text(lab.token_secret)
    command = f"env >{tmp_path}/environment; cat {tmp_path}/secret"
    program = traced.having(PROXMOX_TOKEN_SECRET=None, PROXMOX_PASSWORD="CANARY-unused")
    with ended(program.start("exec", f"--token-secret-command={command}", "--shell", "echo ready; cat", str(WEB), stdin=subprocess.PIPE)) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert CANARY not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert finish(process).status == 0
    (tmp_path / "secret").unlink()
    assert "PATH=" in (tmp_path / "environment").read_text()
    (tmp_path / "environment").unlink()


def test_serve(traced: Program) -> None:
    lines: list[str] = []
    with Client(
        [str(PROGRAM), "serve", "-vv"], vm=WEB, environment=traced.environment, on_log=lambda _, line: lines.append(line)
    ) as client:
        assert CANARY not in client.exec_command("env").stdout
        client.exec_command("true", options={"user": "root@pam!lab", "token_secret": traced.lab.token_secret})
    assert lines and not any("CANARY" in line for line in lines)


def test_guest_sees_no_secret(traced: Program, lab: Lab) -> None:
    """Neither arguments nor files of the guest have them while a command runs."""
    with traced.serve(vm=WEB) as client:
        seen = client.exec_command("cat /proc/[0-9]*/cmdline /proc/self/environ; cat /tmp/.pve-qga-run-*/*").stdout
    assert CANARY not in seen and b"sh" in seen


def test_no_core_dumps(traced: Program) -> None:
    with ended(traced.start("exec", "--shell", "echo ready; cat", str(WEB), stdin=subprocess.PIPE)) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4] == "0"
        assert finish(process).status == 0


def test_trace_is_private(traced: Program) -> None:
    traced.exec(WEB, "true").succeeded()
    assert os.stat(traced.environment["PVE_QGA_TRACE"]).st_mode & 0o777 == 0o600


def test_guest_data_is_not_in_the_trace(traced: Program) -> None:
    secret = b"guest-data-that-is-nobody's-business"
    assert traced.shell(WEB, b"cat; echo " + secret[:10], stdin=secret).succeeded().stdout.startswith(secret)
    assert secret not in Path(traced.environment["PVE_QGA_TRACE"]).read_bytes()
