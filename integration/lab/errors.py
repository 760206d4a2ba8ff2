"""The exceptions that end an API call with an answer other than success."""

from __future__ import annotations

REASONS = {
    200: "OK",
    301: "Moved Permanently",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    500: "Internal Server Error",
    501: "Not Implemented",
    506: "Variant Also Negotiates",
}


class ApiError(Exception):
    """An error that a REST handler raises; the formatter turns it into an answer."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


class HttpError(Exception):
    """An error that the HTTP front raises before, or instead of, a formatter.

    ``body`` None means that the text is repeated in the body; ``delay_s`` is waited before the answer.
    """

    def __init__(self, status: int, reason: str, body: bytes | None = None, delay_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.body = body
        self.delay_s = delay_s


class Disconnect(Exception):
    """The connection is over: closed by the client, or idle for too long."""


def parameter_error(errors: dict[str, str]) -> ApiError:
    """The answer to parameters that do not fit the method's schema."""
    return ApiError(400, "Parameter verification failed.\n", errors)


def permission_error(path: str, privileges: list[str]) -> ApiError:
    """The answer to a call that lacks a privilege (any one of ``privileges`` would do)."""
    return ApiError(403, f"Permission check failed ({path}, {'|'.join(privileges)})\n")
