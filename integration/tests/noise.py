"""Data that no compression shrinks and that is the same in each run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024


def _blocks() -> Iterator[bytes]:
    number = 0
    while True:
        yield hashlib.shake_128(b"%d" % number).digest(MIB)
        number += 1


def noise(size: int) -> bytes:
    """The first ``size`` bytes."""
    data = bytearray()
    for block in _blocks():
        data += block
        if len(data) >= size:
            return bytes(data[:size])
    raise AssertionError


def write_noise(path: Path, mebibytes: int) -> str:
    """Fill a file with so many MiB; returns its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _, block in zip(range(mebibytes), _blocks()):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
