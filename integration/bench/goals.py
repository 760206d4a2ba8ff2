"""The goals, each as a question to the figures of one guest or of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cases import QEMU, SOCKET
from figures import Figures, number_text, percent_text, times_text

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
    status = calls.get("exec-status", 0)
    others = sum(calls.values()) - status
    return Answer(f"{others:.0f} + {status:.0f} status", others <= 35 and status <= others)


def _handshakes(figures: Figures, _: int) -> Answer:
    counted = figures.results["handshakes"]
    if not counted:
        return _UNKNOWN
    per = counted["calls"] / counted["handshakes"]
    return Answer(f"{counted['handshakes']} for {counted['calls']} calls", per >= 90)


def _worst(figure: Callable[[Figures, str, int], float | None], unit: str, most: float) -> Callable[..., Answer]:
    """The largest figure of all large transfers."""

    def ask(figures: Figures, vmid: int) -> Answer:
        known = [value for case in _BULK if (value := figure(figures, case, vmid)) is not None]
        return Answer(number_text(max(known), unit), max(known) <= most) if known else _UNKNOWN

    return ask


GOALS = [
    *(_share(case, 0.9) for case in _LARGE),
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
    Goal("10 and 64 MiB: peak memory at most 24 MiB", _worst(lambda f, c, v: f.peak_mib("ours", c, v), "MiB", 24)),
    Goal(
        "10 and 64 MiB: client CPU at most 20 ms per MiB",
        _worst(lambda f, c, v: f.cpu_ms_per_mib("ours", c, v), "ms", 20),
    ),
]
