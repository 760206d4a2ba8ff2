"""``/access``: logging in, and what one may do."""

from __future__ import annotations

from typing import Any

from ..errors import HttpError
from ..schema import Param
from .method import Call, Method


def _create_ticket(call: Call) -> Any:
    params = call.params
    username = params["username"] + (f"@{params['realm']}" if "realm" in params else "")
    answer = call.env.authority.login(username, params["password"], params.get("otp"), params.get("tfa-challenge"))
    if answer is None:
        raise HttpError(401, "authentication failure", b"")
    return {**answer, "clustername": "lab"}


def _permissions(call: Call) -> Any:
    return {path: dict.fromkeys(granted, 1) for path, granted in call.identity.privileges.items()}


_TICKET_SCHEMA = {
    "username": Param(max_length=64),
    "password": Param(),
    "realm": Param(optional=True),
    "otp": Param(optional=True),
    "tfa-challenge": Param(optional=True),
    "new-format": Param("boolean", optional=True),
}

METHODS = [
    Method(
        "POST",
        "/access/ticket",
        "ticket",
        _create_ticket,
        _TICKET_SCHEMA,
        protected=True,
        public=True,
        allow_token=False,
    ),
    Method(
        "GET",
        "/access/permissions",
        "permissions",
        _permissions,
        {"path": Param(optional=True), "userid": Param(optional=True)},
    ),
]
