"""Finds the method that a request names."""

from __future__ import annotations

import re

from . import access, agent, inventory
from .method import Method


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"/?\Z")


_METHODS = [(m.verb, _pattern(m.path), m) for m in (*inventory.METHODS, *access.METHODS, *agent.METHODS)]


def find(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method and the parameters that the path holds."""
    for known_verb, pattern, method in _METHODS:
        if known_verb == verb and (match := pattern.match(path)):
            return method, match.groupdict()
    return None
