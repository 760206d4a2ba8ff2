"""Tokens, tickets, two-factor logins, privileges."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from lab import Lab
from lab.auth import totp
from rawhttp import Answer, Api

EXEC = "/nodes/pve1/qemu/100/agent/exec"
TRUE = {"command": ["true"]}


@pytest.fixture
def quick(lab: Lab) -> Lab:
    """The shared lab, with 401s at once."""
    lab.set_unauthorized_delay(0)
    return lab


def login(api: Api, user: str, password: str, **more: str) -> Answer:
    return api.post("/access/ticket", {"username": user, "password": password, **more}, auth=False)


def cookie(ticket: str, csrf: str | None = None) -> dict[str, str]:
    headers = {"Cookie": f"PVEAuthCookie={quote(ticket, safe='')}"}
    return {**headers, "CSRFPreventionToken": csrf} if csrf else headers


def credentials(lab: Lab, user: str) -> dict[str, str]:
    return next(entry for entry in lab.info["users"] if entry["user"] == user)


def test_unauthorized_answers_wait_three_seconds_and_have_no_body(api: Api) -> None:
    answer = api.get("/version", auth=False)
    assert (answer.status, answer.reason, answer.raw) == (401, "No ticket", b"")
    assert 2.9 < answer.seconds < 3.5


def test_bad_token(quick: Lab, api: Api) -> None:
    for secret in ("wrong", ""):
        answer = api.get("/version", headers={"Authorization": f"PVEAPIToken={quick.token_id}={secret}"})
        assert (answer.status, answer.reason) == (401, "Authentication failed!")


def test_revoked_token(quick: Lab, api: Api) -> None:
    token = quick.add_token("a@pve!x", [])
    headers = {"Authorization": f"PVEAPIToken={token['token_id']}={token['token_secret']}"}
    assert api.get("/version", headers=headers).status == 200
    quick.revoke_token("a@pve!x")
    assert api.get("/version", headers=headers).status == 401


def test_secrets_are_canaries(lab: Lab) -> None:
    assert "CANARY" in lab.token_secret
    assert all("CANARY" in user["password"] for user in lab.info["users"])


def test_ticket_needs_csrf_token_to_write(quick: Lab, api: Api) -> None:
    user = credentials(quick, "lab@pve")
    answer = login(api, user["user"], user["password"]).data
    assert answer["ticket"].startswith("PVE:lab@pve:") and answer["username"] == "lab@pve"
    assert api.get("/version", headers=cookie(answer["ticket"]), auth=False).status == 200
    refused = api.post(EXEC, TRUE, headers=cookie(answer["ticket"]), auth=False)
    assert (refused.status, refused.reason, refused.raw) == (401, "Permission denied - invalid csrf token", b"")
    allowed = api.post(EXEC, TRUE, headers=cookie(answer["ticket"], answer["CSRFPreventionToken"]), auth=False)
    assert allowed.status == 200


def test_wrong_password(quick: Lab, api: Api) -> None:
    for user in ("lab@pve", "nobody@pve"):
        answer = login(api, user, "wrong")
        assert (answer.status, answer.reason, answer.raw) == (401, "authentication failure", b"")


def test_ticket_lives_two_hours_and_renews_itself(quick: Lab, api: Api) -> None:
    user = credentials(quick, "lab@pve")
    old = login(api, user["user"], user["password"]).data
    quick.set_clock_offset(7000)
    new = login(api, user["user"], old["ticket"]).data
    quick.set_clock_offset(7300)
    assert api.get("/version", headers=cookie(old["ticket"]), auth=False).reason == "Authentication failed!"
    assert api.get("/version", headers=cookie(new["ticket"]), auth=False).status == 200
    assert login(api, user["user"], old["ticket"]).status == 401


def test_two_factor_login(quick: Lab, api: Api) -> None:
    user = credentials(quick, "totp@pve")
    first = login(api, user["user"], user["password"]).data
    assert first["NeedTFA"] == 1 and "cap" not in first
    assert api.get("/version", headers=cookie(first["ticket"]), auth=False).reason == "No ticket"
    code = totp(user["totp_secret"], int(time.time()) // 30)
    wrong = login(api, user["user"], "totp:000000", **{"tfa-challenge": first["ticket"]})
    assert wrong.status == 401 or code == "000000"
    second = login(api, user["user"], f"totp:{code}", **{"tfa-challenge": first["ticket"]}).data
    assert "NeedTFA" not in second
    assert api.get("/version", headers=cookie(second["ticket"]), auth=False).status == 200


def test_totp_is_rfc_6238() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert [totp(secret, t // 30) for t in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]


def test_token_cannot_make_tickets(api: Api) -> None:
    answer = api.post("/access/ticket", {"username": "lab@pve", "password": "x"})
    assert answer.status == 403 and answer.reason.startswith("Permission check failed")


def authorization(lab: Lab, privileges: list[str] | dict[str, list[str]]) -> dict[str, str]:
    token = lab.add_token("some@pve!one", privileges)
    return {"Authorization": f"PVEAPIToken={token['token_id']}={token['token_secret']}"}


def test_privileges_of_pve9(lab: Lab, api: Api) -> None:
    audit = authorization(lab, ["VM.GuestAgent.Audit"])
    assert api.agent("POST", "ping", headers=audit).status == 200
    answer = api.post(EXEC, TRUE, headers=audit)
    assert (answer.status, answer.reason) == (403, "Permission check failed (/vms/100, VM.GuestAgent.Unrestricted)")
    answer = api.agent("GET", "file-read?file=/x", headers=audit)
    assert answer.reason == "Permission check failed (/vms/100, VM.GuestAgent.FileRead|VM.GuestAgent.Unrestricted)"
    reader = authorization(lab, ["VM.GuestAgent.FileRead"])
    assert api.agent("GET", "file-read?file=/etc/hostname", headers=reader).status == 200
    everything = authorization(lab, ["VM.GuestAgent.Unrestricted"])
    assert api.agent("POST", "ping", headers=everything).status == 200
    assert api.post(EXEC, TRUE, headers=authorization(lab, ["VM.Monitor"])).status == 403


def test_privileges_before_pve9(lab: Lab, api: Api) -> None:
    lab.set_profile("pve8")
    assert api.post(EXEC, TRUE, headers=authorization(lab, ["VM.Monitor"])).status == 200
    answer = api.post(EXEC, TRUE, headers=authorization(lab, ["VM.Audit"]))
    assert answer.reason == "Permission check failed (/vms/100, VM.Monitor)"


def test_privileges_by_path(lab: Lab, api: Api) -> None:
    headers = authorization(lab, {"/vms/107": ["VM.GuestAgent.Unrestricted", "VM.Audit"]})
    assert api.exec("true", headers=headers).status == 403
    assert api.exec("true", vmid=107, headers=headers).status == 200
    assert api.get("/access/permissions", headers=headers).data == {
        "/vms/107": {"VM.GuestAgent.Unrestricted": 1, "VM.Audit": 1}
    }
    assert [vm["vmid"] for vm in api.get("/cluster/resources?type=vm", headers=headers).data] == [107]


def test_privileges_go_before_parameters(lab: Lab, api: Api) -> None:
    assert api.post(EXEC, {"nonsense": 1}, headers=authorization(lab, ["VM.Audit"])).status == 403
