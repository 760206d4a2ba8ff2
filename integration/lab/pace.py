"""How long Proxmox VE's own code takes, where that decides what a client should do.

The figures are medians measured on a real node. The lab's code is faster than Perl in some places and would
mislead a benchmark or hide a time-out if it answered as fast as it could.
"""

from __future__ import annotations

from bisect import bisect_left

MIB = 1024 * 1024

# One command on one connection: connect, sync, answer.
_ROUND_TRIP_S = 0.0011
_SLOWER_ROUND_TRIP_S = {"guest-exec": 0.0042}
# Perl encodes and writes a long request no faster than this.
_SEND_S_PER_MIB = 0.032
# From one connection's end to the next one's start. It matters beyond its length: a virtio-serial agent that
# notices the gap sleeps for 100 ms, and without one would often miss it.
_GAP_S = 0.001

# Seconds to read one answer, by its length in KiB of base64 text: the reader is quadratic.
_STATUS_READER = (
    (0, 0.0),
    (22, 0.008),
    (171, 0.014),
    (341, 0.070),
    (683, 0.242),
    (1365, 0.89),
    (2731, 1.9),
    (4096, 5.2),
)
_FILE_READER = ((0, 0.0), (86, 0.003), (341, 0.050), (683, 0.16), (1365, 0.41), (2731, 1.9), (4096, 5.2))

_enabled = True


def set_pace(enabled: bool) -> None:
    """Switch the imitation of PVE's slowness on or off (on unless told)."""
    global _enabled
    _enabled = enabled


def enabled() -> bool:
    """Whether the imitation is on."""
    return _enabled


def trip_seconds(command: str, request_bytes: int, answer_bytes: int) -> float:
    """The least time one agent round trip takes, from the connection to the parsed answer."""
    if not _enabled:
        return 0.0
    table = _STATUS_READER if command == "guest-exec-status" else _FILE_READER
    base = _SLOWER_ROUND_TRIP_S.get(command, _ROUND_TRIP_S)
    return base + _SEND_S_PER_MIB * request_bytes / MIB + _interpolate(table, answer_bytes / 1024)


def gap_seconds() -> float:
    """The time between two connections of one call."""
    return _GAP_S if _enabled else 0.0


def _interpolate(table: tuple[tuple[float, float], ...], x: float) -> float:
    index = bisect_left(table, (x,))
    if index == 0:
        return table[0][1]
    if index == len(table):
        return table[-1][1]
    (x0, y0), (x1, y1) = table[index - 1], table[index]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
