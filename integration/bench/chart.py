"""Draws the times of a run as an SVG: for each guest one row per case, with a bar each for ours, ceiling and peer."""

from __future__ import annotations

import math
from html import escape

from figures import Figures, time_text

_COLOURS = {"ours": "#1f6feb", "ceiling": "#b7bec8", "peer": "#e5823b"}
_LABELS = {"ours": "pve-qga-run", "ceiling": "raw ceiling", "peer": "proxmox_qemu_api (Ansible)"}
_BAR, _GAP, _ROW_GAP = 8, 1, 9
_NAMES, _PANEL, _MARGIN, _VALUE = 128, 330, 14, 48
_HEAD, _AXIS, _LEGEND = 62, 24, 110
_STYLE = "font-family: system-ui, sans-serif; font-size: 11px; fill: #24292f"


def _text(x: float, y: float, text: str, *, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


class _Axis:
    """A logarithmic axis over whole decades of seconds."""

    def __init__(self, times: list[float]) -> None:
        self.low = math.floor(math.log10(min(times)))
        self.high = math.ceil(math.log10(max(times)))
        self.high = max(self.high, self.low + 1)

    def width(self, seconds: float) -> float:
        return (math.log10(seconds) - self.low) / (self.high - self.low) * (_PANEL - _VALUE)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _bars(figures: Figures, case: str, vmid: int, axis: _Axis, x: float, y: float) -> list[str]:
    drawn = []
    for index, (who, colour) in enumerate(_COLOURS.items()):
        seconds, top = figures.seconds(who, case, vmid), y + index * (_BAR + _GAP)
        if seconds is None:
            continue
        width = max(axis.width(seconds), 1)
        title = f"{case}, {figures.guests[vmid]}, {_LABELS[who]}: {time_text(seconds)}"
        drawn.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{colour}">'
            f"<title>{escape(title)}</title></rect>"
        )
        if who != "ceiling":
            drawn.append(_text(x + width + 4, top + _BAR - 0.5, time_text(seconds), extra=' font-size="9"'))
    return drawn


def _panel(figures: Figures, vmid: int, axis: _Axis, x: float, height: float) -> list[str]:
    drawn = [_text(x, _HEAD - 12, figures.guests[vmid], extra=' font-weight="600"')]
    for seconds in axis.decades():
        at = x + axis.width(seconds)
        drawn.append(f'<line x1="{at:.1f}" y1="{_HEAD - 4}" x2="{at:.1f}" y2="{height - _AXIS}" stroke="#d8dee4"/>')
        name = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.0f} s"
        drawn.append(_text(at, height - _AXIS + 14, name, anchor="middle", extra=' font-size="9"'))
    return drawn


def draw(figures: Figures) -> str:
    """The whole chart."""
    guests = list(figures.guests)
    cases = [case for case in figures.cases if any(figures.seconds("ours", case, vmid) for vmid in guests)]
    times = [figures.seconds(who, case, vmid) for who in _COLOURS for case in cases for vmid in guests]
    axis = _Axis([seconds for seconds in times if seconds])
    row = 3 * (_BAR + _GAP) + _ROW_GAP
    width = _MARGIN + _NAMES + len(guests) * (_PANEL + _MARGIN)
    height = _HEAD + len(cases) * row + _AXIS
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" style="{_STYLE}">',
        "<title>Time for each operation, shorter is better</title>",
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
        _text(_MARGIN, 21, "Time, logarithmic: shorter is better", extra=' font-weight="600"'),
    ]
    x = _MARGIN + 2 * _NAMES
    for who, colour in _COLOURS.items():
        drawn += [
            f'<rect x="{x}" y="12" width="10" height="10" fill="{colour}"/>',
            _text(x + 14, 21, _LABELS[who]),
        ]
        x += _LEGEND
    for panel, vmid in enumerate(guests):
        left = _MARGIN + _NAMES + panel * (_PANEL + _MARGIN)
        drawn += _panel(figures, vmid, axis, left, height)
        for index, case in enumerate(cases):
            drawn += _bars(figures, case, vmid, axis, left, _HEAD + index * row)
    for index, case in enumerate(cases):
        drawn.append(_text(_MARGIN + _NAMES - 8, _HEAD + index * row + 1.9 * _BAR, case, anchor="end"))
    return "\n".join([*drawn, "</svg>", ""])
