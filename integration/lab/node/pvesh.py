"""``pvesh get PATH``: the API's answers without HTTP. Texts are ``key: value`` lines where Proxmox VE draws tables."""

from __future__ import annotations

import json
import sys
from typing import Any

from .lablink import LabLink, LinkError
from .perl import Command, Died, bad_parameters, parse, print_json, run

_FORMATS = ("text", "json", "json-pretty", "yaml")
_GET = Command(
    "pvesh get", ("api_path",), {"noproxy": "boolean", "output-format": "string", "type": "string"}, format_options=True
)


def _dispatch(link: LabLink, argv: list[bytes]) -> None:
    if not argv or argv[0] != b"get":
        raise Died("ERROR: unknown command\nUSAGE: pvesh <COMMAND> [ARGS] [OPTIONS]\n")
    params = parse(_GET, argv[1:])
    form = params.pop("output-format", "text")
    if form not in _FORMATS:
        listed = ", ".join(_FORMATS)
        raise bad_parameters(
            _GET, {"output-format": f"value '{form}' does not have a value in the enumeration '{listed}'"}
        )
    if form == "yaml":
        raise Died("the lab's pvesh writes no YAML\n")
    params.pop("noproxy", None)
    try:
        data = link.api_get(params.pop("api_path"), params)
    except LinkError as error:
        raise Died(error.text) from None
    sys.stdout.buffer.write(_rendered(data, form))


def _rendered(data: Any, form: str) -> bytes:
    if form == "json":
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    if form == "json-pretty":
        return print_json(data)
    entries = data if isinstance(data, list) else [data]
    return "\n".join("".join(f"{key}: {entry[key]}\n" for key in sorted(entry)) for entry in entries).encode()


def main(node: str) -> int:
    """The program ``pvesh`` of a node."""
    return run(node, _dispatch)
