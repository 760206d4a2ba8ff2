"""What is measured: the rows of the table, each with its number of repetitions."""

from __future__ import annotations

import re
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

SOCKET, QEMU = 100, 101
GUESTS = {SOCKET: "agent on a socket", QEMU: "QEMU guest"}
VMS = [f"{SOCKET}:socket:pve1:socket", f"{QEMU}:guest:pve1:qemu"]


REPETITIONS_MIN = 2
ENOUGH_S = 60.0
"""A row that has taken so long, and was repeated so often, is repeated no more."""


@dataclass(frozen=True)
class Case:
    """One row. Ours and the ceiling are repeated ``REPETITIONS_MIN`` to ``repetitions`` times, less where that takes
    long; the peer, which needs minutes for large files, as often as its own number says.
    """

    action: str
    """``exec``, ``put`` or ``fetch``."""
    repetitions: int
    peer_repetitions: int
    kind: str = ""
    size: int = 0

    @property
    def name(self) -> str:
        if self.action == "exec":
            return "exec true"
        return f"{self.action} {size_text(self.size)}" + ("" if self.size < 10 * MIB else f" {self.kind}")

    @property
    def takes_results(self) -> bool:
        """Whether it is also compared with a client that takes the result of each call."""
        return self.action == "put" and self.kind == "random" and self.size >= 64 * MIB

    def peer_repetitions_on(self, vmid: int, full: bool) -> int:
        """How often the peer does it. What takes it minutes and tells nothing new is for full runs."""
        alike = self.kind == "text" and vmid == QEMU
        return self.peer_repetitions if full or not (alike or self.size >= 64 * MIB) else 0


def size_text(size: int) -> str:
    """A round number of bytes as people write it."""
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


_FILES = (
    ("random", KIB, 9, 3),
    ("random", 100 * KIB, 7, 3),
    ("random", MIB, 5, 1),
    ("random", 10 * MIB, 3, 1),
    ("text", 10 * MIB, 3, 1),
    ("random", 64 * MIB, 3, 1),
    ("zeros", 64 * MIB, 3, 1),
)

CASES = [Case("exec", 25, 5)] + [
    Case(action, repetitions, peer_repetitions, kind, size)
    for kind, size, repetitions, peer_repetitions in _FILES
    for action in ("put", "fetch")
]

_QUICK_BYTES_MAX = MIB


def chosen(pattern: str | None, quick: bool) -> list[Case]:
    """The cases whose names match; quick ones move little and rarely."""
    cases = [case for case in CASES if pattern is None or re.search(pattern, case.name)]
    if not quick:
        return cases
    return [
        Case(case.action, min(case.repetitions, 3), 1, case.kind, case.size)
        for case in cases
        if case.size <= _QUICK_BYTES_MAX or pattern is not None
    ]
