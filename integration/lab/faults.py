"""Faults that tests plan: which calls they meet, and what happens to those.

A rule names the kind of call (``exec``, ``file-read``, ... or ``*``), perhaps a VM, which of the matching calls
are hit (``nth``, or ``every`` k-th), and how many times at most (``count``, 0 for no limit). Whether the guest
acted is the property that matters, so every action says when it strikes:

before the node acts: ``cut-before``, ``status-before``, ``not-running``, ``timeout-before``, ``delay``
after the node acted: ``cut-after``, ``cut-mid``, ``status-after``, ``timeout-after``, ``garbage``
the node acts twice:  ``twice`` (the answer of the second delivery is sent; ``answer: "first"`` sends the first one's)

The kinds ``qm-exec``, ``qm-exec-status`` and ``qm-cmd`` are the calls of ``qm`` on a node: ``cut-...`` ends their SSH
session, ``garbage`` is what they print (``not-json`` or ``empty``); statuses and ``twice`` have no meaning there.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import asdict, dataclass
from typing import Any

BEFORE = {"cut-before", "status-before", "not-running", "timeout-before", "delay"}
AFTER = {"cut-after", "cut-mid", "status-after", "timeout-after", "garbage"}
ACTIONS = BEFORE | AFTER | {"twice"}
QM_ACTIONS = (BEFORE | AFTER) - {"status-before", "status-after"}
QM_GARBAGE = {"not-json", "empty"}
GARBAGE = {"not-json", "short-length", "long-length", "huge", "truncated-gzip", "empty", "deep", "not-http"}


@dataclass
class Rule:
    """One planned fault; ``matched`` and ``fired`` are counted by the lab."""

    kind: str
    action: str
    vmid: int | None = None
    nth: int | None = None
    every: int | None = None
    count: int = 1
    status: int = 596
    reason: str = "Broken pipe"
    delay_s: float = 0.0
    garbage: str = "not-json"
    answer: str = "second"
    id: int = 0
    matched: int = 0
    fired: int = 0

    def check(self) -> None:
        """Raise ValueError for a rule that could never do what was meant."""
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action}: one of {', '.join(sorted(ACTIONS))}")
        if self.garbage not in GARBAGE:
            raise ValueError(f"unknown garbage {self.garbage}: one of {', '.join(sorted(GARBAGE))}")
        if self.kind.startswith("qm-") and (self.action not in QM_ACTIONS or self.garbage not in QM_GARBAGE):
            raise ValueError(f"qm can have {', '.join(sorted(QM_ACTIONS))}; garbage {', '.join(sorted(QM_GARBAGE))}")

    def meets(self, kind: str, vmid: int | None) -> bool:
        """Count a call that matches and tell whether this one is hit."""
        if self.kind not in ("*", kind) or (self.vmid is not None and self.vmid != vmid):
            return False
        self.matched += 1
        if self.count and self.fired >= self.count:
            return False
        if self.nth is not None and self.matched < self.nth:
            return False
        if self.every is not None and self.matched % self.every != 0:
            return False
        self.fired += 1
        return True


class FaultPlan:
    """The rules in force, first match wins."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, **fields: Any) -> int:
        """Add a rule and return its id."""
        rule = Rule(**fields, id=next(self._ids))
        rule.check()
        with self._lock:
            self._rules.append(rule)
        return rule.id

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def strike(self, kind: str, vmid: int | None) -> Rule | None:
        """The rule that hits this call, if any."""
        if not self._rules:
            return None
        with self._lock:
            for rule in self._rules:
                if rule.meets(kind, vmid):
                    return rule
        return None
