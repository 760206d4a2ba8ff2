"""Answers in the two forms of the API: ``json`` (errors are HTTP statuses) and ``extjs`` (always 200)."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

from .encoding import encode_json
from .errors import ApiError, HttpError
from .http1 import Response
from .profiles import Profile

FORMS = ("json", "extjs")
_JSON = "application/json;charset=UTF-8"
_STALLED_HOP_S = 5.0
_GZIP_ABOVE_BYTES = 1024


def success(data: Any, form: str) -> Response:
    """The answer of a method that did what was asked."""
    return Response(200, "OK", encode_json({"data": data, "success": 1} if form == "extjs" else {"data": data}), _JSON)


def failure(error: ApiError, form: str, profile: Profile) -> Response:
    """The answer of a method that raised an error."""
    body: dict[str, Any] = {"data": None}
    if error.errors:
        body["errors"] = error.errors
    if form == "extjs":
        body |= {"success": 0, "status": error.status, "message": error.message}
        return Response(200, "OK", encode_json(body), _JSON)
    if profile.message_in_body:
        body["message"] = error.message
    return Response(error.status, error.message.split("\n", 1)[0], encode_json(body), _JSON)


def refusal(error: HttpError, form: str = "json") -> Response:
    """An answer made without a formatter; a failed login is the one that ``extjs`` wraps all the same."""
    if form == "extjs" and error.status == 401:
        body = {"data": None, "success": 0, "status": 401, "message": error.reason + "\n"}
        return Response(200, "OK", encode_json(body), _JSON, delay_s=error.delay_s)
    text = error.reason.encode() if error.body is None else error.body
    return Response(error.status, error.reason, text, delay_s=error.delay_s)


def over_the_hop(response: Response) -> Response:
    """What pveproxy makes of pvedaemon's answer.

    A status text with a character that has no byte (the agent's message for a missing program quotes
    typographically) breaks pvedaemon in the middle of its answer, which then never comes.
    """
    if any(ord(char) > 255 for char in response.reason):
        return Response(596, "Broken pipe", delay_s=_STALLED_HOP_S)
    return replace(response, inner=True)


def compressed(response: Response) -> Response:
    """The answer, gzipped if that is worth while."""
    if len(response.body) <= _GZIP_ABOVE_BYTES:
        return response
    return replace(response, body=gzip.compress(response.body, 6), headers={"Content-Encoding": "gzip"})
