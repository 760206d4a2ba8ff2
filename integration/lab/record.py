"""Keeps requests and their answers in files, so that a transfer can be replayed by a client that does nothing else.

While recording, request N (from 0, in the order of the answers) leaves ``N.body`` and ``N.answer``, both bodies without
any compression. ``stop`` adds ``index.json``: a list of ``Entry`` in the order in which the requests came. Headers are
not kept, so no credentials are.
"""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from .gateway import Outcome
from .http1 import Request


@dataclass(frozen=True)
class Entry:
    """One request; ``started_s`` is on a clock of its own, ``gzip`` tells whether compressed answers were asked for."""

    number: int
    started_s: float
    method: str
    target: str
    kind: str
    vmid: int | None
    status: int
    gzip: bool


class Recorder:
    """Records everything between ``start`` and ``stop``; idle otherwise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: Path | None = None
        self._entries: list[Entry] = []

    def start(self, directory: Path) -> None:
        """Record into a directory, which is made."""
        directory.mkdir(parents=True)
        with self._lock:
            self._directory, self._entries = directory, []

    def keep(self, request: Request, outcome: Outcome) -> None:
        """Record a request whose answer is known."""
        response = outcome.response
        with self._lock:
            directory = self._directory
            if directory is None:
                return
            entry = Entry(
                len(self._entries), request.started, request.method, request.target, outcome.kind, outcome.vmid,
                0 if outcome.cut else response.status, request.accepts_gzip(),
            )  # fmt: skip
            self._entries.append(entry)
            packed = response.headers.get("Content-Encoding") == "gzip"
            (directory / f"{entry.number}.body").write_bytes(request.body)
            (directory / f"{entry.number}.answer").write_bytes(
                gzip.decompress(response.body) if packed else response.body
            )

    def stop(self) -> int:
        """End the recording; returns how many requests it has."""
        with self._lock:
            directory, self._directory = self._directory, None
            if directory is None:
                raise ValueError("nothing is being recorded")
            entries = sorted(self._entries, key=lambda entry: entry.started_s)
            (directory / "index.json").write_text(json.dumps([asdict(entry) for entry in entries]))
            return len(entries)
