"""Reads what a run has measured: medians, ratios, and how to write them."""

from __future__ import annotations

import statistics
from typing import Any

from ansible_figures import Plays

MIB = 1024 * 1024
Cell = dict[str, Any]


class Figures:
    """The results of one run; what was not measured is None."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results
        self.plays = Plays(results.get("plays", []), results.get("trips", []))
        self._cells: dict[tuple[str, int], Cell] = {(cell["case"], cell["vmid"]): cell for cell in results["cells"]}

    @property
    def guests(self) -> dict[int, str]:
        """The VMs that were measured, by number."""
        return {int(vmid): name for vmid, name in self.results["guests"].items()}

    @property
    def cases(self) -> list[str]:
        """The rows, in their order."""
        return list(dict.fromkeys(case for case, _ in self._cells))

    def cell(self, case: str, vmid: int) -> Cell | None:
        return self._cells.get((case, vmid))

    def seconds(self, who: str, case: str, vmid: int) -> float | None:
        """The median time of ``ours``, ``peer`` or ``ceiling``."""
        cell = self.cell(case, vmid)
        if cell is None:
            return None
        times = cell["ceiling_seconds"] if who == "ceiling" else [sample["seconds"] for sample in cell[who]]
        return statistics.median(times) if times else None

    def faster(self, case: str, vmid: int) -> float | None:
        """How many times as fast as the peer we are."""
        return _ratio(self.seconds("peer", case, vmid), self.seconds("ours", case, vmid))

    def share(self, case: str, vmid: int) -> float | None:
        """Which part of the raw ceiling we reach; 1 is all of it."""
        return _ratio(self.seconds("ceiling", case, vmid), self.seconds("ours", case, vmid))

    def share_with_results(self, case: str, vmid: int) -> float | None:
        """The same of a client that sends the same bodies and takes each result."""
        cell = self.cell(case, vmid)
        times = cell.get("results_seconds") if cell else None
        return _ratio(statistics.median(times) if times else None, self.seconds("ours", case, vmid))

    def median(self, who: str, name: str, case: str, vmid: int) -> float | None:
        """The median of a sample's member."""
        cell = self.cell(case, vmid)
        return statistics.median(sample[name] for sample in cell[who]) if cell and cell[who] else None

    def calls(self, who: str, case: str, vmid: int) -> dict[str, float]:
        """The median number of calls of each kind."""
        cell = self.cell(case, vmid)
        samples = cell[who] if cell else []
        kinds = sorted({kind for sample in samples for kind in sample["calls"]})
        return {kind: statistics.median(sample["calls"].get(kind, 0) for sample in samples) for kind in kinds}

    def peak_mib(self, who: str, case: str, vmid: int) -> float | None:
        """The highest peak of memory of all repetitions."""
        cell = self.cell(case, vmid)
        return max(sample["peak_kib"] for sample in cell[who]) / 1024 if cell and cell[who] else None

    def cpu_ms_per_mib(self, who: str, case: str, vmid: int) -> float | None:
        cell, cpu = self.cell(case, vmid), self.median(who, "cpu_seconds", case, vmid)
        return None if cell is None or cpu is None or not cell["bytes"] else cpu * 1000 / (cell["bytes"] / MIB)


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above / below


# ---- how figures are written ----

NOTHING = "–"


def time_text(seconds: float | None) -> str:
    """Two or three digits: more are not the same in the next run."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"


def times_text(ratio: float | None) -> str:
    if ratio is None:
        return NOTHING
    return f"{ratio:.1f} x" if ratio < 10 else f"{ratio:.0f} x"


def percent_text(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:.0f} %"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown whose first column has the names."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number_text(number: float | None, unit: str = "", digits: int = 1) -> str:
    return NOTHING if number is None else f"{number:.{digits}f}{unit and ' ' + unit}"
