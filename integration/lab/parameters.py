"""A request's parameters as the method gets them, after the hop to pvedaemon where there is one."""

from __future__ import annotations

import json
from typing import Any

from .api.method import Method
from .encoding import decode_form, encode_form
from .errors import HttpError, parameter_error
from .http1 import Request
from .profiles import Profile


def collect(request: Request, method: Method, uri_params: dict[str, str], profile: Profile) -> dict[str, Any]:
    """All parameters: of the body, of the query string, of the path."""
    sent = _from_body(request, method, profile) if request.method in ("POST", "PUT") and request.body else {}
    sent |= decode_form(request.query, not profile.command_is_array)
    sent.pop("_dc", None)
    for name, value in uri_params.items():
        if name in sent and str(sent[name]) != value:
            raise parameter_error({name: "duplicate parameter (already defined in URI) with conflicting values!"})
    return {**sent, **uri_params}


def _from_body(request: Request, method: Method, profile: Profile) -> dict[str, Any]:
    if request.content_type() == "application/json" and profile.json_bodies:
        return _decode_json(request.body)
    sent = decode_form(request.body.decode("latin-1"), not profile.command_is_array)
    if not method.protected:
        return sent
    # pveproxy writes the form anew for pvedaemon, which may make it too large for that one.
    form = encode_form(sent)
    if len(form) > profile.max_body_bytes:
        raise HttpError(501, "for data too large")
    return decode_form(form, not profile.command_is_array)


def _decode_json(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body.decode("utf-8"))
        json.dumps(params, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(500, "malformed UTF-8 character in JSON string, at character offset 0") from None
    except UnicodeEncodeError:
        raise HttpError(500, "missing low surrogate character in surrogate pair") from None
    except ValueError as error:
        raise HttpError(500, f"malformed JSON string, at character offset {getattr(error, 'pos', 0)}") from None
    if not isinstance(params, dict):
        raise HttpError(500, "Not a HASH reference")
    return params
