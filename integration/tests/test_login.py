"""Logging in: tokens, passwords, second factors, expiry; never a loop of attempts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import WEB
from lab import Lab
from lab.auth import totp
from program import Program
from pve_qga_client import Error
from refusal import refused

pytestmark = pytest.mark.ways("api", why="about the API's logins")

TICKET_LIFE_S = 2 * 3600


def user(lab: Lab, name: str) -> dict[str, Any]:
    return next(entry for entry in lab.info["users"] if entry["user"] == name)


def unauthorized(lab: Lab) -> int:
    count: int = lab.counters()["statuses"].get("401", 0)
    return count


@pytest.fixture
def by_password(program: Program, lab: Lab) -> Program:
    login = user(lab, "lab@pve")
    return program.having(PROXMOX_USER="lab@pve", PROXMOX_PASSWORD=login["password"], PROXMOX_TOKEN_SECRET=None)


# ---- tokens ----


def test_token_in_two_options(program: Program, lab: Lab) -> None:
    name, _, token = lab.token_id.partition("!")
    split = program.having(PROXMOX_USER=name, PROXMOX_TOKEN_ID=token)
    assert split.exec(WEB, "echo", "ok").succeeded().stdout == b"ok\n"


def test_token_id_with_its_user(program: Program, lab: Lab) -> None:
    """As community.proxmox.proxmox_qemu_api has it."""
    whole = program.having(PROXMOX_USER=None, PROXMOX_TOKEN_ID=lab.token_id)
    assert whole.exec(WEB, "echo", "ok").succeeded().stdout == b"ok\n"


def test_unknown_token(program: Program, lab: Lab) -> None:
    program.having(PROXMOX_USER="root@pam!other").exec(WEB, "true").failed("token", "127.0.0.1")
    assert unauthorized(lab) <= 2


def test_wrong_secret(program: Program, lab: Lab) -> None:
    refused(program.having(PROXMOX_TOKEN_SECRET="CANARY-wrong"), "authentication", "token")
    assert unauthorized(lab) <= 2 * 2, "command line and serve"


def test_token_that_is_revoked_during_the_session(program: Program, lab: Lab) -> None:
    token = lab.ask("add_token", tokenid="root@pam!short")
    mine = program.having(PROXMOX_USER=token["token_id"], PROXMOX_TOKEN_SECRET=token["token_secret"])
    told: list[str] = []
    with mine.serve(vm=WEB, on_log=lambda _, line: told.append(line)) as client:
        assert client.exec_command("echo ok").stdout == b"ok\n"
        lab.revoke_token("root@pam!short")
        lab.reset_counters()
        with pytest.raises(Error) as raised:
            client.exec_command("echo ran")
        assert (raised.value.code, raised.value.effect) == ("authentication", "none")
        assert unauthorized(lab) <= 2
        restored = lab.ask("add_token", tokenid="root@pam!short")
        result = client.exec_command("echo back", options={"token_secret": restored["token_secret"]})
        assert result.stdout == b"back\n"
    assert told, "what the first token made in the guest cannot be removed any more, which is told"
    (left,) = lab.guest(WEB).path("/tmp").glob(".pve-qga-run-*")
    shutil.rmtree(left)


@pytest.mark.parametrize(
    ("profile", "privileges", "missing"),
    [
        ("pve9.2", ["VM.Audit"], "VM.GuestAgent.Unrestricted"),
        ("pve9.2", ["VM.Audit", "VM.GuestAgent.Audit"], "VM.GuestAgent.Unrestricted"),
        ("pve8", ["VM.Audit"], "VM.Monitor"),
    ],
)
def test_missing_privilege_is_named(
    program: Program, lab: Lab, profile: str, privileges: list[str], missing: str
) -> None:
    lab.set_profile(profile)
    token = lab.add_token("root@pam!poor", {f"/vms/{WEB}": privileges})
    poor = program.having(PROXMOX_USER=token["token_id"], PROXMOX_TOKEN_SECRET=token["token_secret"])
    refused(poor, "permission", missing, str(WEB))
    lab.revoke_token("root@pam!poor")


def test_just_the_privileges_that_are_documented(program: Program, lab: Lab) -> None:
    token = lab.add_token("root@pam!frugal", {f"/vms/{WEB}": ["VM.GuestAgent.Unrestricted"]})
    frugal = program.having(PROXMOX_USER=token["token_id"], PROXMOX_TOKEN_SECRET=token["token_secret"])
    result = frugal.run("exec", "--node=pve1", str(WEB), "echo", "ok").succeeded()
    assert result.stdout == b"ok\n"
    lab.revoke_token("root@pam!frugal")


# ---- passwords ----


def test_password(by_password: Program, lab: Lab) -> None:
    assert by_password.exec(WEB, "echo", "ok").succeeded().stdout == b"ok\n"
    assert lab.counters()["requests"]["ticket"] == 1


def test_wrong_password(by_password: Program, lab: Lab) -> None:
    refused(by_password.having(PROXMOX_PASSWORD="CANARY-wrong"), "authentication", "127.0.0.1")
    assert lab.counters()["requests"]["ticket"] <= 2 * 2


def test_ticket_is_renewed(by_password: Program, lab: Lab) -> None:
    with by_password.serve(vm=WEB) as client:
        assert client.exec_command("echo one").stdout == b"one\n"
        lab.set_clock_offset(TICKET_LIFE_S + 60)
        assert client.exec_command("echo two").stdout == b"two\n"
        assert client.exec_command("echo three").stdout == b"three\n"
    assert lab.counters()["requests"]["ticket"] <= 3


def test_ticket_is_renewed_while_a_command_runs(by_password: Program, lab: Lab) -> None:
    with by_password.serve(vm=WEB) as client:
        request = client.start_command("echo ready; cat", stdin="stream")
        request.write(b"early\n")
        lab.set_clock_offset(TICKET_LIFE_S + 60)
        request.write(b"late\n")
        request.end()
        assert request.result().stdout == b"ready\nearly\nlate\n"


# ---- second factors ----


def one_time_password(lab: Lab) -> str:
    return totp(user(lab, "totp@pve")["totp_secret"], int(time.time()) // 30)


@pytest.fixture
def two_factors(program: Program, lab: Lab) -> Program:
    password = user(lab, "totp@pve")["password"]
    return program.having(PROXMOX_USER="totp@pve", PROXMOX_PASSWORD=password, PROXMOX_TOKEN_SECRET=None)


def test_one_time_password(two_factors: Program, lab: Lab) -> None:
    result = two_factors.having(PROXMOX_OTP=one_time_password(lab)).exec(WEB, "echo", "ok").succeeded()
    assert result.stdout == b"ok\n"


def test_one_time_password_from_a_command(two_factors: Program, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "otp").write_text(one_time_password(lab))
    result = two_factors.run("exec", f"--otp-command=cat {tmp_path}/otp", str(WEB), "echo", "ok").succeeded()
    assert result.stdout == b"ok\n"


def test_second_factor_missing(two_factors: Program) -> None:
    refused(two_factors, "second-factor", "--otp")


def test_second_factor_wrong(two_factors: Program, lab: Lab) -> None:
    wrong = two_factors.having(PROXMOX_OTP="000000" if one_time_password(lab) != "000000" else "111111")
    result = wrong.exec(WEB, "true")
    result.failed("127.0.0.1")
    assert lab.counters()["requests"]["ticket"] <= 4


# ---- where secrets come from ----


def test_secret_from_a_file(program: Program, lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(lab.token_secret + "\n")
    secret.chmod(0o600)
    elsewhere = program.having(PROXMOX_TOKEN_SECRET=None)
    assert elsewhere.run("exec", f"--token-secret-file={secret}", str(WEB), "echo", "ok").succeeded().stdout == b"ok\n"
    secret.chmod(0o640)
    elsewhere.run("exec", f"--token-secret-file={secret}", str(WEB), "true").failed(str(secret), "0600")
    elsewhere.run("exec", f"--token-secret-file={secret}.none", str(WEB), "true").failed("secret.none")


def test_secret_from_a_descriptor(program: Program, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(lab.token_secret)
    with (tmp_path / "secret").open("rb") as secret:
        number = secret.fileno()
        elsewhere = program.having(PROXMOX_TOKEN_SECRET=None)
        result = elsewhere.run("exec", f"--token-secret-fd={number}", str(WEB), "echo", "ok", pass_fds=[number])
    assert result.succeeded().stdout == b"ok\n"


def test_secret_from_a_command_that_fails(program: Program) -> None:
    program.having(PROXMOX_TOKEN_SECRET=None).run("exec", "--token-secret-command=exit 3", str(WEB), "true").failed("token-secret-command", "status 3")


def test_secret_on_the_command_line_is_refused(program: Program, lab: Lab) -> None:
    result = program.run("exec", "--token-secret=CANARY-argument", str(WEB), "true")
    result.failed("token-secret-file")
    assert "CANARY-argument" not in result.complaint
    assert lab.counters()["requests_total"] == 0


def test_secrets_have_a_code(program: Program) -> None:
    with program.having(PROXMOX_TOKEN_SECRET=None).serve() as client, pytest.raises(Error) as raised:
        client.exec_command("true", vm=WEB)
    assert raised.value.code in ("config", "secret-source"), raised.value
