"""Request parameters and answers in the forms that pveproxy reads and writes.

Forms follow Perl's ``split``: a value ends at a second raw ``=``, an empty value counts as undefined, and an
undefined value replaces what an earlier field of the same name held. JSON answers come in random key order
because Perl's hashes do.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

_SEPARATOR = re.compile(r"[&;]")
_FORM_SAFE = "-_.!~*'()"


def decode_form(data: str, joins_with_nul: bool = False) -> dict[str, Any]:
    """Decode an urlencoded body or query string.

    Repeated fields become a list; before PVE 8 they were joined by NUL (``joins_with_nul``).
    """
    params: dict[str, Any] = {}
    for field in _SEPARATOR.split(data) if data else ():
        parts = field.split("=")
        key = _unescape(parts[0])
        value: Any = _unescape(parts[1]) if len(parts) > 1 and any(parts[1:]) else None
        old = params.get(key)
        if value is not None and old is not None:
            if joins_with_nul:
                value = f"{old}\0{value}"
            else:
                value = [*old, value] if isinstance(old, list) else [old, value]
        params[key] = value
    return params


def _unescape(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def encode_form(params: dict[str, Any]) -> str:
    """Encode parameters as pveproxy does for the hop to pvedaemon: all reserved characters escaped."""
    fields = []
    for key, value in params.items():
        for item in value if isinstance(value, list) else [value]:
            name = quote_plus(key, safe=_FORM_SAFE)
            fields.append(name if item is None else f"{name}={quote_plus(str(item), safe=_FORM_SAFE)}")
    return "&".join(fields)


def encode_json(value: Any) -> bytes:
    """Encode an answer as Perl's JSON::XS does: no spaces, non-ASCII as UTF-8, keys in any order."""
    return json.dumps(_shuffled(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [_shuffled(item) for item in value]
    return value
