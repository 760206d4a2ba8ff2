"""The goals, each as a question to the figures of one guest or of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_figures import WORK_NAMES
from cases import QEMU, SOCKET
from figures import Figures, number_text, percent_text, times_text

_COMPARED = ("first", "repeated", "ping")
_LARGE = ("put 64 MiB random", "fetch 64 MiB random")
_BULK = tuple(
    f"{action} {content}"
    for content in ("10 MiB random", "10 MiB text", "64 MiB random", "64 MiB zeros")
    for action in ("put", "fetch")
)


@dataclass(frozen=True)
class Answer:
    """What was measured for a goal; ``met`` is None if it was not measured."""

    text: str
    met: bool | None


@dataclass(frozen=True)
class Goal:
    """``ask`` answers for one guest."""

    text: str
    ask: Callable[[Figures, int], Answer]
    guests: tuple[int, ...] = (SOCKET, QEMU)


_UNKNOWN = Answer("not measured", None)


def _share(case: str, least: float) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        share = figures.share(case, vmid)
        return _UNKNOWN if share is None else Answer(percent_text(share), share >= least)

    return Goal(f"{case}: at least {percent_text(least)} of the raw ceiling", ask)


def _share_with_results(case: str, least: float) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        share = figures.share_with_results(case, vmid)
        return _UNKNOWN if share is None else Answer(percent_text(share), share >= least)

    return Goal(f"{case}: at least {percent_text(least)} of a bare client that also takes each result", ask)


def _faster(case: str, least: float, guests: tuple[int, ...]) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        ratio = figures.faster(case, vmid)
        return _UNKNOWN if ratio is None else Answer(times_text(ratio), ratio >= least)

    return Goal(f"{case}: at least {least:.0f} x as fast as the peer", ask, guests)


def _exec_pair(figures: Figures, vmid: int) -> Answer:
    ours, pair = figures.seconds("ours", "exec true", vmid), figures.seconds("ceiling", "exec true", vmid)
    if ours is None or pair is None:
        return _UNKNOWN
    calls = sum(figures.calls("ours", "exec true", vmid).values())
    return Answer(f"{ours / pair:.2f}, {calls:.0f} calls", ours <= 0.8 * pair and calls <= 3)


def _put_calls(figures: Figures, vmid: int) -> Answer:
    calls = figures.calls("ours", "put 10 MiB random", vmid)
    if not calls:
        return _UNKNOWN
    status, execs = calls.get("exec-status", 0), calls.get("exec", 0)
    others = sum(calls.values()) - status
    return Answer(f"{others:.0f} + {status:.0f} status", others <= 35 and status <= execs)


def _handshakes(figures: Figures, _: int) -> Answer:
    counted = figures.results["handshakes"]
    if not counted or not counted["handshakes"]:
        return _UNKNOWN
    per = counted["calls"] / counted["handshakes"]
    return Answer(f"{counted['handshakes']} for {counted['calls']} calls", per >= 90)


def _peak_memory(figures: Figures, vmid: int) -> Answer:
    return _worst([figures.peak_mib("ours", case, vmid) for case in figures.cases], "MiB", 24)


def _cpu(figures: Figures, vmid: int) -> Answer:
    return _worst([figures.cpu_ms_per_mib("ours", case, vmid) for case in _BULK], "ms", 20)


def _worst(values: list[float | None], unit: str, most: float) -> Answer:
    known = [value for value in values if value is not None]
    return Answer(number_text(max(known), unit), max(known) <= most) if known else _UNKNOWN


# ---- Ansible ----


def _play_faster(work: str, least: float) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        ratio = figures.plays.ratio("peer", "ours", work, vmid)
        return _UNKNOWN if ratio is None else Answer(times_text(ratio), ratio >= least)

    return Goal(f"Ansible, {WORK_NAMES[work]}: at least {least:.0f} x as fast as the peer", ask, (SOCKET,))


def _play_within(work: str, yardstick: str, most: float, text: str, guest: int) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        ratio = figures.plays.ratio("ours", yardstick, work, vmid)
        return _UNKNOWN if ratio is None else Answer(number_text(ratio, "x", 2), ratio <= most)

    return Goal(f"Ansible, {WORK_NAMES[work]}: {text}", ask, (guest,))


def _task_calls(tasks: tuple[str, ...], work: str, most: int) -> Goal:
    def ask(figures: Figures, vmid: int) -> Answer:
        counted = figures.plays.task_calls("ours", work, vmid)
        return _worst([counted.get(task) for task in tasks], "calls", most)

    return Goal(f"Ansible, {', '.join(tasks)}: at most {most} calls on a warm connection", ask)


def _ping_calls(figures: Figures, vmid: int) -> Answer:
    return _worst([figures.plays.calls("ours", "ping", vmid)], "calls", 4)


GOALS = [
    *(_share(case, 0.9) for case in _LARGE),
    _share_with_results(_LARGE[0], 0.9),
    _faster("put 10 MiB random", 7, (SOCKET,)),
    _faster("put 10 MiB random", 10, (QEMU,)),
    _faster("fetch 10 MiB random", 4, (SOCKET,)),
    _faster("fetch 10 MiB random", 9, (QEMU,)),
    _faster("put 10 MiB text", 15, (SOCKET,)),
    _faster("fetch 10 MiB text", 10, (SOCKET,)),
    _faster("put 100 KiB", 10, (SOCKET,)),
    _faster("fetch 100 KiB", 10, (SOCKET,)),
    _faster("exec true", 20, (SOCKET,)),
    Goal("exec true: at most 0.8 of a lone bare pair, with at most one call more", _exec_pair, (QEMU,)),
    Goal("put 10 MiB random: at most 35 calls and one status call for each", _put_calls),
    Goal("TLS handshakes: at most one for 90 calls", _handshakes, (SOCKET,)),
    Goal("peak memory at any size: at most 24 MiB", _peak_memory),
    Goal("client CPU, 10 and 64 MiB: at most 20 ms per MiB", _cpu),
    _play_faster("first", 8),
    _play_faster("repeated", 8),
    *(_play_within(work, "local", 1.6, "at most 1.6 of `local`", SOCKET) for work in _COMPARED),
    *(_play_within(work, "ssh", 1.0, "no slower than `ssh` with pipelining", QEMU) for work in _COMPARED),
    Goal("Ansible, ping: at most 4 calls on a warm connection", _ping_calls),
    _task_calls(("command 2", "stat"), "repeated", 4),
    _task_calls(("copy 4 KiB",), "warm", 12),
]
