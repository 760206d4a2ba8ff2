"""Users, API tokens, tickets and privileges."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from .errors import HttpError, permission_error

TICKET_LIFE_S = 2 * 3600
_CLOCK_SKEW_S = 300
_TOTP_STEP_S = 30

LEGACY_PRIVILEGES = ["VM.Audit", "VM.Monitor", "Pool.Audit", "Sys.Audit"]
AGENT_PRIVILEGES = [
    "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted",
]  # fmt: skip
ALL_PRIVILEGES = [*LEGACY_PRIVILEGES, *AGENT_PRIVILEGES]


@dataclass
class User:
    """A login; ``totp_secret`` is base32 and makes the login a two-step one."""

    userid: str
    password: str
    privileges: dict[str, list[str]]
    totp_secret: str | None = None


@dataclass
class Token:
    """An API token. Its privileges are its own, as with privilege separation."""

    tokenid: str
    secret: str
    privileges: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """Who sent a request."""

    userid: str
    privileges: dict[str, list[str]]


ANYONE = Identity("", {})


class Authority:
    """Holds the credentials and checks what requests bring."""

    def __init__(self) -> None:
        self.clock_offset_s = 0.0
        self._users: dict[str, User] = {}
        self._tokens: dict[str, Token] = {}
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()

    def now(self) -> float:
        """The node's clock, which tests may move to let tickets expire."""
        return time.time() + self.clock_offset_s

    def add_user(self, user: User) -> None:
        self._users[user.userid] = user

    def add_token(self, token: Token) -> None:
        with self._lock:
            self._tokens[token.tokenid] = token

    def revoke_token(self, tokenid: str) -> None:
        with self._lock:
            self._tokens.pop(tokenid, None)

    def users(self) -> list[User]:
        return list(self._users.values())

    def tokens(self) -> list[Token]:
        return list(self._tokens.values())

    def identify(self, method: str, headers: dict[str, str]) -> Identity:
        """Check a request's credentials; a ticket in the cookie goes before an API token."""
        ticket = _extract(headers.get("cookie", ""), "PVEAuthCookie") or _extract(
            headers.get("authorization", ""), "PVEAuthCookie"
        )
        if ticket:
            return self._identify_ticket(unquote(ticket), method, headers.get("csrfpreventiontoken", ""))
        api_token = _extract(headers.get("authorization", ""), "PVEAPIToken")
        if api_token:
            return self._identify_token(unquote(api_token))
        raise HttpError(401, "No ticket", b"")

    def _identify_token(self, value: str) -> Identity:
        tokenid, _, secret = value.partition("=")
        token = self._tokens.get(tokenid)
        if token is None or not hmac.compare_digest(token.secret.encode(), secret.encode()):
            raise HttpError(401, "Authentication failed!", b"")
        return Identity(tokenid, token.privileges)

    def _identify_ticket(self, ticket: str, method: str, csrf: str) -> Identity:
        if ticket.startswith("PVE:!tfa!"):
            raise HttpError(401, "No ticket", b"")
        user = self._users.get(self._ticket_subject(ticket) or "")
        if user is None:
            raise HttpError(401, "Authentication failed!", b"")
        if method != "GET" and not self._csrf_fits(csrf, user.userid):
            raise HttpError(401, "Permission denied - invalid csrf token", b"")
        return Identity(user.userid, user.privileges)

    def login(self, username: str, password: str, otp: str | None, challenge: str | None) -> dict[str, Any] | None:
        """Answer ``POST /access/ticket``; None means that the login failed."""
        user = self._users.get(username)
        if user is None:
            return None
        if challenge is not None:
            if otp is not None or not self._challenge_fits(user, challenge, password):
                return None
        elif self._ticket_subject(password) != username:
            if not hmac.compare_digest(user.password.encode(), password.encode()):
                return None
            if user.totp_secret and otp is not None and not self._totp_fits(user, otp):
                return None
            if user.totp_secret and otp is None:
                return self._challenge(user)
        return {**self._credentials(username, username), "cap": {"vms": {"VM.Audit": 1}}}

    def _challenge(self, user: User) -> dict[str, Any]:
        info = quote('{"totp":true}', safe="")
        return {**self._credentials(f"!tfa!{info}", user.userid, signed_for=user.userid), "NeedTFA": 1}

    def _challenge_fits(self, user: User, challenge: str, response: str) -> bool:
        subject = self._ticket_subject(challenge, signed_for=user.userid)
        kind, _, code = response.partition(":")
        return bool(subject and subject.startswith("!tfa!") and kind == "totp" and self._totp_fits(user, code))

    def _credentials(self, subject: str, userid: str, signed_for: str = "") -> dict[str, Any]:
        stamp = f"{int(self.now()):08X}"
        plain = f"PVE:{subject}:{stamp}"
        csrf = f"{stamp}:{self._mac(f'csrf {stamp} {userid}', 32)}"
        return {
            "ticket": f"{plain}::{self._mac(plain + signed_for, 256)}",
            "username": userid,
            "CSRFPreventionToken": csrf,
        }

    def _ticket_subject(self, ticket: str, signed_for: str = "") -> str | None:
        """Whom an unexpired ticket of ours speaks for."""
        match = re.fullmatch(r"(PVE:(\S+):([0-9A-F]{8}))::(\S+)", ticket)
        if not match or not hmac.compare_digest(match[4], self._mac(match[1] + signed_for, 256)):
            return None
        age = self.now() - int(match[3], 16)
        return match[2] if -_CLOCK_SKEW_S < age < TICKET_LIFE_S else None

    def _csrf_fits(self, csrf: str, userid: str) -> bool:
        stamp, _, mac = csrf.partition(":")
        if not re.fullmatch(r"[0-9A-F]{8}", stamp) or not hmac.compare_digest(
            mac, self._mac(f"csrf {stamp} {userid}", 32)
        ):
            return False
        return -_CLOCK_SKEW_S < self.now() - int(stamp, 16) < TICKET_LIFE_S

    def _mac(self, text: str, size: int) -> str:
        """A signature of the length that PVE's has, in base64 with its ``+``, ``/`` and ``=``."""
        blocks = (hmac.digest(self._key, f"{i} {text}".encode(), "sha256") for i in range(-(-size // 32)))
        return base64.b64encode(b"".join(blocks)).decode()

    def _totp_fits(self, user: User, code: str) -> bool:
        if user.totp_secret is None:
            return False
        step = int(self.now()) // _TOTP_STEP_S
        return any(hmac.compare_digest(totp(user.totp_secret, step + drift), code) for drift in (-1, 0, 1))


def totp(secret_base32: str, step: int) -> str:
    """The six digits of RFC 6238 for a time step of 30 s."""
    digest = hmac.digest(base64.b32decode(secret_base32), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1000000:06d}"


def check_privileges(identity: Identity, path: str, privileges: list[str]) -> None:
    """Raise the 403 answer unless the identity has any one of the privileges on the path or above it."""
    held: set[str] = set()
    for granted_path, granted in identity.privileges.items():
        if granted_path == "/" or path == granted_path or path.startswith(granted_path + "/"):
            held.update(granted)
    if not held.intersection(privileges):
        raise permission_error(path, privileges)


def _extract(header: str, name: str) -> str | None:
    match = re.search(rf"(?:^|\s){name}[= ]([^;]*)", header)
    return match[1] if match else None
