"""Counts and records of what reached the endpoint and what it did in the guests."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_LOG_ENTRIES = 100_000


@dataclass
class LogEntry:
    """One request as the endpoint saw it; times are seconds, ``started_s`` since the lab came up."""

    started_s: float
    seconds: float
    method: str
    path: str
    query: str
    kind: str
    vmid: int | None
    status: int
    request_bytes: int
    response_bytes: int
    connection: int
    fault: str | None


class Observer:
    """Thread-safe counters, in-flight gauges and the request log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born = time.monotonic()
        self._flying: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget all counts and the log; calls under way stay in flight."""
        with self._lock:
            self._totals: Counter[str] = Counter()
            self._requests: Counter[str] = Counter()
            self._statuses: Counter[str] = Counter()
            self._acts: dict[int, Counter[str]] = {}
            self._programs: Counter[str] = Counter()
            self._peaks: Counter[str] = +self._flying
            self._log: deque[LogEntry] = deque(maxlen=_LOG_ENTRIES)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a total such as ``tls_handshakes``."""
        with self._lock:
            self._totals[name] += amount

    def count_act(self, vmid: int, command: str) -> None:
        """Count an agent command that a guest's agent answered without an error."""
        with self._lock:
            self._acts.setdefault(vmid, Counter())[command] += 1

    def count_program(self, kind: str) -> None:
        """Count a program on a node, such as ``qm-exec``, that is about to do its work."""
        with self._lock:
            self._programs[kind] += 1

    def enter(self, *gauges: str) -> None:
        """Note that a call is under way at each of the gauges."""
        with self._lock:
            for gauge in gauges:
                self._flying[gauge] += 1
                self._peaks[gauge] = max(self._peaks[gauge], self._flying[gauge])

    def leave(self, *gauges: str) -> None:
        """Note that it is over."""
        with self._lock:
            for gauge in gauges:
                self._flying[gauge] -= 1

    def record(self, entry: LogEntry) -> None:
        """Log an answered request; its start is given on the monotonic clock."""
        entry.started_s = round(entry.started_s - self._born, 6)
        with self._lock:
            self._requests[entry.kind] += 1
            self._statuses[str(entry.status)] += 1
            self._log.append(entry)

    def counters(self) -> dict[str, Any]:
        """All counts as one object."""
        with self._lock:
            acts: Counter[str] = Counter()
            for counted in self._acts.values():
                acts.update(counted)
            return {
                **{name: self._totals[name] for name in ("tcp_connections", "tls_handshakes", "bytes_in", "bytes_out")},
                "requests": dict(self._requests),
                "requests_total": sum(self._requests.values()),
                "statuses": dict(self._statuses),
                "programs": dict(self._programs),
                "acts": dict(acts),
                "acts_by_vm": {str(vmid): dict(counted) for vmid, counted in self._acts.items()},
                "peak_in_flight": dict(self._peaks),
            }

    def log(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self._log]
