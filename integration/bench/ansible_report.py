"""Writes the figures of Ansible's runs as Markdown, for RESULTS.md and README.md."""

from __future__ import annotations

from ansible_figures import WORK_NAMES, YARDSTICKS
from figures import Figures, number_text, table, time_text, times_text

_METHOD = """\
A playbook of ten tasks (three commands, copies of 4 KiB and 1 MiB, a template, a directory, a line in a file, stat,
fetch of 100 KiB; see `plays/site.yml`) and the second `ansible -m ping` in a row, each a whole process of Ansible. All
have the same ansible-core, Python and settings: no facts, pipelining where the connection has it, an absolute
`remote_tmp` (the peer knows no `~`), an idle shared connection kept (`ssh`'s ControlPersist, ours). The first run
begins without one, the others find it.

- **ours**: `pve.qga.guest`. **peer**: `community.proxmox.proxmox_qemu_api`, which has no pipelining; it is run once,
  and next to the QEMU guest only with `--full`.
- **`local`**: Ansible's own, on this machine. The guest of the agent on a socket is a namespace of it, with the same
  kernel, Python and modules, so this is the floor: the same work with no way to get there.
- **`ssh`**: Ansible's own, to the same QEMU guest: Debian, over QEMU's user networking.
"""


def section(figures: Figures) -> str:
    """The section of RESULTS.md; nothing if Ansible was not run."""
    plays = figures.plays
    if not plays.guests:
        return ""
    text = f"\n## Ansible\n{_METHOD}"
    for vmid in plays.guests:
        text += f"\n### {figures.guests[vmid]}\n{_times(figures, vmid)}\n{_trips(figures, vmid)}"
        text += f"Calls of each task:\n\n{_calls(figures, vmid)}"
    return text


def _trips(figures: Figures, vmid: int) -> str:
    """What a way to the guest and back takes, which bounds all tasks from below."""
    plays = figures.plays
    if plays.trip("ours", vmid) is None:
        return ""
    ssh = plays.trip("ssh", vmid)
    by_ssh = "" if ssh is None else f", a session over `ssh`'s shared connection {time_text(ssh)}"
    return (
        f"To the guest and back, for `true`: ours {time_text(plays.trip('ours', vmid))}, a bare exec and its exec-status"
        f" {time_text(plays.trip('pair', vmid))}{by_ssh}. A task takes one such way, one that brings a file five or six.\n\n"
    )


def _times(figures: Figures, vmid: int) -> str:
    plays = figures.plays
    yardstick = plays.yardstick(vmid)
    head = ["", "ours", YARDSTICKS[yardstick], "ours / it", "peer", "faster", "our calls", "peer's"]
    rows = []
    for work, name in WORK_NAMES.items():
        rows.append([
            name, time_text(plays.seconds("ours", work, vmid)), time_text(plays.seconds(yardstick, work, vmid)),
            number_text(plays.ratio("ours", yardstick, work, vmid), digits=2),
            time_text(plays.seconds("peer", work, vmid)), times_text(plays.ratio("peer", "ours", work, vmid)),
            *(number_text(plays.calls(who, work, vmid), digits=0) for who in ("ours", "peer")),
        ])  # fmt: skip
    return table(head, rows)


def _calls(figures: Figures, vmid: int) -> str:
    columns = [
        (who, work, counted)
        for who in ("ours", "peer")
        for work in ("first", "repeated", "warm")
        if (counted := figures.plays.task_calls(who, work, vmid))
    ]
    tasks = list(dict.fromkeys(task for _, _, counted in columns for task in counted))
    rows = [[task, *(number_text(counted.get(task), digits=0) for _, _, counted in columns)] for task in tasks]
    return table(["", *(f"{who}, {work}" for who, work, _ in columns)], rows)


def readme_table(figures: Figures) -> str:
    """Ours next to each yardstick, in one table."""
    plays = figures.plays
    head = ["Ansible"]
    for vmid in plays.guests:
        yardstick = YARDSTICKS[plays.yardstick(vmid)]
        head += [figures.guests[vmid], yardstick, f"of {yardstick}", "peer", "faster"]
    rows = []
    for work, name in WORK_NAMES.items():
        if work == "warm":
            continue
        row = [name]
        for vmid in plays.guests:
            yardstick = plays.yardstick(vmid)
            row += [
                time_text(plays.seconds("ours", work, vmid)), time_text(plays.seconds(yardstick, work, vmid)),
                number_text(plays.ratio("ours", yardstick, work, vmid), "x", digits=2),
                time_text(plays.seconds("peer", work, vmid)), times_text(plays.ratio("peer", "ours", work, vmid)),
            ]  # fmt: skip
        rows.append(row)
    return table(head, rows)
