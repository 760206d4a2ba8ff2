"""Reads what Ansible's runs have measured; what was not measured is None."""

from __future__ import annotations

import statistics
from typing import Any

WORK_NAMES = {
    "first": "playbook of 10 tasks",
    "repeated": "playbook again, no changes",
    "warm": "playbook with changes, warm",
    "ping": "ping",
}
YARDSTICKS = {"local": "`local`", "ssh": "`ssh`"}


class Plays:
    """All series of ``ansible_runs.py``, and ``trips.py``'s, as results.json has them."""

    def __init__(self, series: list[dict[str, Any]], trips: list[dict[str, Any]]) -> None:
        self._trips: dict[tuple[str, int], dict[str, Any]] = {(one["who"], one["vmid"]): one for one in trips}
        self._series: dict[tuple[str, str, int], dict[str, Any]] = {
            (one["who"], one["work"], one["vmid"]): one for one in series
        }

    @property
    def guests(self) -> list[int]:
        """The VMs next to which Ansible ran."""
        return list(dict.fromkeys(vmid for _, _, vmid in self._series))

    def yardstick(self, vmid: int) -> str:
        """Which of Ansible's own connections was measured next to this guest."""
        return next(who for who, _, guest in self._series if guest == vmid and who in YARDSTICKS)

    def failures(self) -> list[tuple[str, str, int, str]]:
        """Who failed, at which work, on which guest, and why."""
        return [(*key, one["failure"]) for key, one in self._series.items() if one["failure"]]

    def _runs(self, who: str, work: str, vmid: int) -> list[dict[str, Any]]:
        return list(self._series.get((who, work, vmid), {"runs": []})["runs"])

    def seconds(self, who: str, work: str, vmid: int) -> float | None:
        """The median time of the whole process."""
        times = [run["seconds"] for run in self._runs(who, work, vmid)]
        return statistics.median(times) if times else None

    def trip(self, who: str, vmid: int) -> float | None:
        """The median time to the guest and back."""
        one = self._trips.get((who, vmid))
        return None if one is None else statistics.median(one["seconds"])

    def ratio(self, above: str, below: str, work: str, vmid: int) -> float | None:
        """How many times as long as ``below`` the other takes."""
        longer, shorter = self.seconds(above, work, vmid), self.seconds(below, work, vmid)
        return None if longer is None or shorter is None else longer / shorter

    def calls(self, who: str, work: str, vmid: int) -> float | None:
        """The median number of calls of a run."""
        counts = [sum(run["calls"].values()) for run in self._runs(who, work, vmid)]
        return statistics.median(counts) if counts else None

    def task_calls(self, who: str, work: str, vmid: int) -> dict[str, float]:
        """The median number of calls of each task, in the playbook's order."""
        runs = self._runs(who, work, vmid)
        counts: dict[str, list[int]] = {}
        for run in runs:
            for task in run["tasks"]:
                counts.setdefault(task["name"], []).append(sum(task["calls"].values()))
        return {name: statistics.median(numbers) for name, numbers in counts.items()}
