"""Measures one case on one guest: all contenders and the ceiling in turn, several times, each result checked."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import prepare
from cases import ENOUGH_S, REPETITIONS_MIN, Case
from ceiling import Ceiling, CeilingError, Mode, Tape
from contenders import Contender, ContenderError, Ours, Peer
from lab import Lab

_REMOTE = "/root/bench"
_PEER_LEFTOVERS = "/tmp/.ansible_*"
_LONG_S = 20.0
_QUIET_POLL_S = 0.01


@dataclass(frozen=True)
class Sample:
    """One run of one contender. CPU and memory are of its process, the rest is what the lab saw."""

    seconds: float
    calls: dict[str, int]
    handshakes: int
    bytes_in: int
    bytes_out: int
    cpu_seconds: float
    peak_kib: int


@dataclass
class Result:
    """Everything known of a case on a guest. ``failures`` says why a contender has no samples."""

    case: str
    vmid: int
    bytes: int
    ours: list[Sample] = field(default_factory=list)
    peer: list[Sample] = field(default_factory=list)
    ceiling_seconds: list[float] = field(default_factory=list)
    ceiling_mode: dict[str, Any] = field(default_factory=dict)
    results_seconds: list[float] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


class Bench:
    """A lab with all that is compared in it."""

    def __init__(self, lab: Lab, ours: Ours, ceiling: Ceiling, peer: Peer | None, directory: Path) -> None:
        self._lab = lab
        self._ours = ours
        self._ceiling = ceiling
        self._peer = peer
        self._fetched = directory / "fetched"
        self._warm: set[tuple[str, int]] = set()

    def run(self, case: Case, vmid: int, *, full: bool) -> Result:
        """Measure a case."""
        result = Result(case.name, vmid, case.size)
        self._warm_up(self._ours, vmid)
        tape, mode = self._prepare_ceiling(case, vmid, result)
        spent = 0.0
        for number in range(case.repetitions):
            if number >= REPETITIONS_MIN and spent > ENOUGH_S:
                break
            begin = time.monotonic()
            if len(result.ours) <= number:
                self._sample(self._ours, case, vmid, result)
            if tape is not None and mode is not None:
                self._replay(vmid, tape, mode, result)
                if case.takes_results:
                    self._replay(vmid, tape, replace(mode, results=True), result)
            spent += time.monotonic() - begin
            if self._peer is not None and number < case.peer_repetitions_on(vmid, full):
                self._warm_up(self._peer, vmid)
                self._sample(self._peer, case, vmid, result)
        self._ceiling.clean(vmid)
        return result

    # ---- the ceiling ----

    def _prepare_ceiling(self, case: Case, vmid: int, result: Result) -> tuple[Tape | None, Mode | None]:
        """What to replay and how; None if that is not possible."""
        try:
            if case.action == "exec":
                tape = self._ceiling.bare_pair(vmid)
            else:
                tape = self._record(case, vmid, result)
            mode = self._ceiling.best_mode(vmid, tape)
        except (CeilingError, ContenderError) as error:
            result.failures["ceiling"] = str(error)
            return None, None
        result.ceiling_mode = {**asdict(mode), "requests": len(tape.lines), "pairs": tape.pairs}
        return tape, mode

    def _record(self, case: Case, vmid: int, result: Result) -> Tape:
        """A tape of a run of ours, which counts if it is so long that what recording costs vanishes in it."""
        recorded = Result(case.name, vmid, case.size)
        self._make_ready(case, vmid)
        fetched = self._remote(case) if case.action == "fetch" else None
        tape = self._ceiling.record(vmid, lambda: self._sample(self._ours, case, vmid, recorded), fetched=fetched)
        if "ours" in recorded.failures:
            raise ContenderError(recorded.failures["ours"])
        if recorded.ours[0].seconds > _LONG_S:
            result.ours += recorded.ours
        return tape

    def _replay(self, vmid: int, tape: Tape, mode: Mode, result: Result) -> None:
        self._settle()
        try:
            seconds = self._ceiling.replay(vmid, tape, mode)
            (result.results_seconds if mode.results else result.ceiling_seconds).append(seconds)
        except CeilingError as error:
            result.failures["ceiling"] = str(error)

    # ---- contenders ----

    def _sample(self, who: Contender, case: Case, vmid: int, result: Result) -> None:
        """One measured run, unless an earlier one failed."""
        if who.name in result.failures:
            return
        self._make_ready(case, vmid)
        self._settle()
        who.forget_peak()
        cpu = who.cpu_seconds()
        try:
            seconds = self._act(who, case, vmid)
            counters = self._lab.counters()
            self._check(case, vmid)
        except ContenderError as error:
            result.failures[who.name] = str(error)
            self._lab.guest(vmid).run(["sh", "-c", f"rm -f {_PEER_LEFTOVERS}"])
            return
        sample = Sample(
            seconds, counters["requests"], counters["tls_handshakes"], counters["bytes_in"], counters["bytes_out"],
            who.cpu_seconds() - cpu, who.peak_kib(),
        )  # fmt: skip
        (result.ours if who is self._ours else result.peer).append(sample)

    def _act(self, who: Contender, case: Case, vmid: int) -> float:
        match case.action:
            case "put":
                return who.put(vmid, prepare.content(case.kind, case.size), self._remote(case))
            case "fetch":
                return who.fetch(vmid, self._remote(case), self._fetched)
        return who.exec_true(vmid)

    def _warm_up(self, who: Contender, vmid: int) -> None:
        """The first command to a guest pays for what later ones find ready."""
        if (who.name, vmid) not in self._warm:
            who.exec_true(vmid)
            self._warm.add((who.name, vmid))

    # ---- files ----

    def _remote(self, case: Case) -> str:
        return f"{_REMOTE}/{case.kind}-{case.size}"

    def _make_ready(self, case: Case, vmid: int) -> None:
        """The destination is not there, the source is."""
        guest, remote = self._lab.guest(vmid), self._remote(case)
        if case.action == "put":
            guest.run(["sh", "-c", f"mkdir -p {_REMOTE} && rm -f {remote}"])
        elif case.action == "fetch":
            self._fetched.unlink(missing_ok=True)
            if not self._has(case, vmid):
                guest.run(["mkdir", "-p", _REMOTE])
                self._ours.put(vmid, prepare.content(case.kind, case.size), remote)

    def _has(self, case: Case, vmid: int) -> bool:
        """Whether the guest has the file, with the right content."""
        told = self._lab.guest(vmid).run(["sha256sum", self._remote(case)], timeout_s=120)
        return told.stdout.decode().split(" ")[0] == prepare.digest(prepare.content(case.kind, case.size))

    def _check(self, case: Case, vmid: int) -> None:
        if case.action == "exec":
            return
        if case.action == "put" and not self._has(case, vmid):
            raise ContenderError("the file in the guest is not what was put")
        content = prepare.content(case.kind, case.size)
        if case.action == "fetch" and prepare.digest(self._fetched) != prepare.digest(content):
            raise ContenderError("the fetched file is not what the guest has")

    def _settle(self) -> None:
        """Wait until nothing is under way, and count from zero."""
        self._lab.reset_counters()
        while self._lab.counters()["peak_in_flight"]:
            time.sleep(_QUIET_POLL_S)
            self._lab.reset_counters()
