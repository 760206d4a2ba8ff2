"""Writes the results of a run as Markdown: everything for RESULTS.md, and the table that README.md shows."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import ansible_report
from ansible_figures import WORK_NAMES
from figures import MIB, NOTHING, Figures, number_text, percent_text, table, time_text, times_text
from goals import GOALS, Answer

BEGIN = "<!-- made by integration/bench/run --publish: begin -->\n"
END = "<!-- made by integration/bench/run --publish: end -->\n"
_KINDS = ("exec", "exec-status", "file-read", "file-write")
_COSTLY_BYTES = 10 * MIB


def conditions(figures: Figures) -> str:
    """When, on what, and with which versions."""
    results = figures.results
    machine, versions = results["machine"], results["versions"]
    known = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"Measured {results['date']} on {machine['cores']} cores ({machine['cpu']}, {machine['system']}): {known}."


def _peer_text(figures: Figures, case: str, vmid: int) -> str:
    cell = figures.cell(case, vmid)
    if cell and "peer" in cell["failures"]:
        return "fails"
    return time_text(figures.seconds("peer", case, vmid))


def readme_table(figures: Figures) -> str:
    """Ours, its share of the ceiling, the peer and the ratio, on each guest."""
    head = [""]
    for name in figures.guests.values():
        head += [name, "of the ceiling", "peer", "faster"]
    rows = []
    for case in figures.cases:
        row = [case]
        for vmid in figures.guests:
            row += [
                time_text(figures.seconds("ours", case, vmid)), percent_text(figures.share(case, vmid)),
                _peer_text(figures, case, vmid), times_text(figures.faster(case, vmid)),
            ]  # fmt: skip
        rows.append(row)
    return table(head, rows)


def _times(figures: Figures, vmid: int) -> str:
    head = ["", "ours", "rate", "raw ceiling", "of it", "connections", "peer", "faster"]
    rows = []
    for case in figures.cases:
        cell = figures.cell(case, vmid)
        ours = figures.seconds("ours", case, vmid)
        if cell is None:
            continue
        rate = cell["bytes"] / MIB / ours if ours and cell["bytes"] >= MIB else None
        rows.append([
            case, "fails" if "ours" in cell["failures"] else time_text(ours), number_text(rate, "MiB/s"),
            time_text(figures.seconds("ceiling", case, vmid)), percent_text(figures.share(case, vmid)),
            _mode_text(cell), _peer_text(figures, case, vmid), times_text(figures.faster(case, vmid)),
        ])  # fmt: skip
    return table(head, rows)


def _mode_text(cell: dict[str, Any]) -> str:
    mode = cell["ceiling_mode"]
    if not mode:
        return NOTHING
    return "pair" if mode["pairs"] else str(mode["connections"])


def _costs(figures: Figures, vmid: int) -> str:
    head = [
        "",
        "who",
        "exec",
        "status",
        "read",
        "write",
        "handshakes",
        "KiB up",
        "KiB down",
        "CPU per MiB",
        "peak memory",
    ]
    rows = []
    for case in figures.cases:
        cell = figures.cell(case, vmid)
        for who in ("ours", "peer"):
            if cell is None or not cell[who] or cell["bytes"] < _COSTLY_BYTES:
                continue
            calls = figures.calls(who, case, vmid)
            wire = [figures.median(who, name, case, vmid) or 0 for name in ("bytes_in", "bytes_out")]
            rows.append([
                case, who, *(f"{calls.get(kind, 0):.0f}" for kind in _KINDS),
                number_text(figures.median(who, "handshakes", case, vmid), digits=0),
                *(f"{count / 1024:.0f}" for count in wire),
                number_text(figures.cpu_ms_per_mib(who, case, vmid), "ms"),
                number_text(figures.peak_mib(who, case, vmid), "MiB"),
            ])  # fmt: skip
    return table(head, rows)


def _goals(figures: Figures) -> str:
    verdicts = {True: "met: ", False: "**not met**: ", None: ""}
    rows: list[list[str]] = []
    answers: list[Answer] = []
    for goal in GOALS:
        asked = {vmid: goal.ask(figures, vmid) for vmid in figures.guests if vmid in goal.guests}
        answers += asked.values()
        rows.append([goal.text, *(_answer_text(asked.get(vmid), verdicts) for vmid in figures.guests)])
    counts = [sum(answer.met is verdict for answer in answers) for verdict in verdicts]
    told = f"{counts[0]} met, {counts[1]} not met, {counts[2]} not measured.\n\n"
    return told + table(["goal", *figures.guests.values()], rows)


def _answer_text(answer: Answer | None, verdicts: dict[bool | None, str]) -> str:
    return "" if answer is None else verdicts[answer.met] + answer.text


def _whole_processes(figures: Figures) -> str:
    lines = []
    for begun in figures.results["starts"]:
        seconds, guest = statistics.median(begun["seconds"]), figures.guests[begun["vmid"]]
        calls = ", ".join(f"{count} {kind}" for kind, count in sorted(begun["calls"].items()))
        lines.append(f"- `pve-qga-run exec VM -- true`, {guest}: {time_text(seconds)}; {calls}\n")
    for stream in figures.results["streams"]:
        mib, exact = stream["bytes"] / MIB, "exact" if stream["exact"] else "**not exact**"
        lines.append(
            f"- {stream['name']}, {mib:.0f} MiB random, agent on a socket: {mib / stream['seconds']:.1f} MiB/s, "
            f"peak memory {stream['peak_kib'] / 1024:.1f} MiB, {exact}\n"
        )
    return "".join(lines)


def _failures(figures: Figures) -> str:
    lines = [
        f"- {cell['case']}, {figures.guests[cell['vmid']]}, {who}: {reason}\n"
        for cell in figures.results["cells"]
        for who, reason in cell["failures"].items()
    ] + [
        f"- Ansible, {WORK_NAMES[work]}, {figures.guests[vmid]}, {who}: {reason}\n"
        for who, work, vmid, reason in figures.plays.failures()
    ]
    return "\n## What could not be measured\n" + "".join(lines) if lines else ""


_METHOD = """\
All figures of a row come from one run, taken in turn, and are medians; `integration/bench/run` makes this file.

- **ours**: through a warm `pve-qga-run serve`; each file is compared after each transfer.
- **raw ceiling**: the same bodies posted, or the same pieces read, by a C client that does nothing else, over as many
  kept connections as are fastest (1 to 4). Where a transfer is one command ("pair"), that exec and its exec-status,
  asked for without a pause, which a client that knows when to ask can beat. It leaves the results of a put's calls in
  the agent until the clock has stopped. No real client may, since the agent would find them in place of later
  processes', so a large put is also compared with one that **takes each result**, when it has sent the next body.
- **peer**: the Connection class of Ansible's `community.proxmox.proxmox_qemu_api`, called directly, warm. It takes
  minutes for large files, so it is repeated less, and moves 64 MiB, and text with the QEMU guest, only with `--full`.
- **agent on a socket**: `qemu-ga` behind a unix socket, on a Debian root. **QEMU guest**: `qemu-ga` on a virtio-serial
  port under software emulation, on a busybox root, with Debian's `split` added, which the peer needs.
- **random** bytes do not compress; **text** is the source files of Python's standard library, one after the other.
"""


def results_page(figures: Figures) -> str:
    """RESULTS.md."""
    page = f"# Speed\n\n{conditions(figures)}\n\n![Seconds, ours, ceiling and peer](speed.svg)\n\n{_METHOD}\n"
    page += f"## Goals\n{_goals(figures)}"
    measured = figures.guests if figures.cases else {}
    for vmid, name in measured.items():
        page += f"\n## Times: {name}\n{_times(figures, vmid)}"
    page += ansible_report.section(figures)
    for vmid, name in measured.items():
        page += f"\n## Costs: {name}\n{_costs(figures, vmid)}"
    return page + f"\n## Whole processes\n{_whole_processes(figures)}" + _failures(figures)


def into_readme(readme: Path, figures: Figures) -> None:
    """Replace what is between the two marks."""
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {readme} has no marks for the table")
    tables = f"{readme_table(figures)}\n{ansible_report.readme_table(figures)}"
    readme.write_text(f"{before}{BEGIN}{conditions(figures)}\n\n{tables}{END}{after}")
