"""Answers that no sane server sends, for clients that must survive them."""

from __future__ import annotations

import gzip
from dataclasses import replace

from .faults import Rule
from .http1 import Response

_HUGE_BYTES = 64 * 1024 * 1024
_DEEP_LEVELS = 200_000


class Cut(Exception):
    """The fault closes the connection without an answer."""


class RawResponse(Response):
    """An answer whose bytes are sent as they are, after which the connection is closed."""

    def __init__(self, raw: bytes, status: int) -> None:
        super().__init__(status, "", raw)


def spoil(response: Response, fault: Rule) -> Response:
    """The answer as the fault would have it."""
    body = response.body
    if fault.action == "cut-mid":
        return _raw(response, body[: max(1, len(body) // 2)], len(body))
    match fault.garbage:
        case "not-json":
            return replace(response, body=b"<html><body>Bad Gateway \xff\xfe</body></html>", content_type="text/html")
        case "short-length":
            return _raw(response, body, max(1, len(body) // 2))
        case "long-length":
            return _raw(response, body, len(body) + 1000)
        case "huge":
            return replace(response, body=b'{"data":"' + b"A" * _HUGE_BYTES + b'"}', headers={})
        case "truncated-gzip":
            packed = gzip.compress(body + b" " * 2000)
            return replace(response, body=packed[: len(packed) // 2], headers={"Content-Encoding": "gzip"})
        case "empty":
            return _raw(response, b"", 0)
        case "deep":
            return replace(response, body=b"[" * _DEEP_LEVELS, headers={})
    return RawResponse(b"\x00\x01\x02 this is not HTTP\r\n\r\n", response.status)


def _raw(response: Response, body: bytes, stated_length: int) -> RawResponse:
    head = [f"HTTP/1.1 {response.status} {response.reason}", "Connection: close", "Server: pve-api-daemon/3.0"]
    head += [f"{name}: {value}" for name, value in response.headers.items()]
    head += [f"Content-Length: {stated_length}", f"Content-Type: {response.content_type}", "", ""]
    return RawResponse("\r\n".join(head).encode("latin-1", "replace") + body, response.status)
