"""Checks of single parameters, with Proxmox VE's own complaints."""

from __future__ import annotations

import re
from typing import Any

from .perl import Command, bad_parameters


def check_vmid(command: Command, params: dict[str, Any]) -> int:
    """The VM's number."""
    text = params["vmid"]
    if not re.fullmatch(r"[1-9][0-9]{2,8}", text):
        raise bad_parameters(command, {"vmid": "invalid format - value does not look like a valid VM ID"})
    return int(text)


def check_integer(command: Command, params: dict[str, Any], name: str, minimum: int | None = None) -> int:
    """An integer."""
    text = params[name]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise bad_parameters(command, {name: f"type check ('integer') failed - got '{text}'"})
    if minimum is not None and int(text) < minimum:
        raise bad_parameters(command, {name: f"value must have a minimum value of {minimum}"})
    return int(text)
