"""Verification of request parameters against a method's schema, with PVE's error texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import parameter_error

_INTEGER = re.compile(r"[+-]?\d+\Z")
_NODE = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\Z")
_UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"


@dataclass(frozen=True)
class Param:
    """One property of a method's schema."""

    type: str = "string"
    optional: bool = False
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    format: str | None = None


VM_PARAMS = {
    "node": Param(format="pve-node"),
    "vmid": Param("integer", minimum=100, maximum=999999999, format="pve-vmid"),
}
NODE_PARAMS = {"node": Param(format="pve-node")}


def verify(params: dict[str, Any], schema: dict[str, Param]) -> dict[str, Any]:
    """Return the parameters with integers and booleans converted; raise the 400 answer if any does not fit."""
    errors: dict[str, str] = {}
    verified: dict[str, Any] = {}
    for name, spec in schema.items():
        value = params.get(name)
        if value is None:
            if not spec.optional:
                errors[name] = "property is missing and it is not optional"
            continue
        if spec.type == "array":
            verified[name] = _verify_array(name, value, errors)
            continue
        problem = _problem(spec, value)
        if problem:
            errors[name] = problem
        else:
            verified[name] = _converted(spec, value)
    for name in params:
        if name not in schema:
            errors[name] = _UNKNOWN
    if errors:
        raise parameter_error(errors)
    return verified


def _verify_array(name: str, value: Any, errors: dict[str, str]) -> list[str]:
    """Check an array of strings. A single scalar counts as an array of one, as forms need it."""
    if isinstance(value, dict):
        errors[name] = "type check ('array') failed"
        return []
    items = value if isinstance(value, list) else [value]
    for index, item in enumerate(items):
        path = f"{name}[{index}]"
        if item is None:
            errors[path] = "property is missing and it is not optional"
        elif isinstance(item, (list, dict, bool)):
            errors[path] = f"type check ('string') failed - got {_perl_type(item)}"
    return [_text(item) for item in items]


def _problem(spec: Param, value: Any) -> str | None:
    if isinstance(value, (list, dict)) or (isinstance(value, bool) and spec.type != "boolean"):
        return f"type check ('{spec.type}') failed - got {_perl_type(value)}"
    text = _text(value)
    if spec.type == "boolean" and not isinstance(value, bool) and text not in ("0", "1"):
        return f"type check ('boolean') failed - got '{text}'"
    if spec.type == "integer" and not _INTEGER.match(text):
        return f"type check ('integer') failed - got '{text}'"
    if spec.format == "pve-vmid" and not re.match(r"[1-9]\d{2,8}\Z", text):
        return "invalid format - value does not look like a valid VM ID\n"
    if spec.format == "pve-node" and not _NODE.match(text):
        return "invalid format - value does not look like a valid node name\n"
    if spec.max_length is not None and len(text) > spec.max_length:
        return f"value may only be {spec.max_length} characters long"
    if spec.type == "integer":
        if spec.maximum is not None and int(text) > spec.maximum:
            return f"value must have a maximum value of {spec.maximum}"
        if spec.minimum is not None and int(text) < spec.minimum:
            return f"value must have a minimum value of {spec.minimum}"
    return None


def _converted(spec: Param, value: Any) -> Any:
    if spec.type == "boolean":
        return value is True or _text(value) == "1"
    return int(_text(value)) if spec.type == "integer" else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _perl_type(value: Any) -> str:
    if isinstance(value, bool):
        return "JSON::PP::Boolean"
    return "ARRAY" if isinstance(value, list) else "HASH"
