#!/usr/bin/env python3
"""Measures the ways over SSH next to the API, against the lab: whole runs of the program, each way in turn, medians.

    integration/bench/ssh_ways.py [--runs N] [--program FILE]

The guest is qemu-ga on a unix socket; qm takes 0.7 s to start, as on a node. Each content is checked. Needs root.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "client"), str(HERE.parent / "tests_ssh"), str(HERE)]

import prepare  # noqa: E402
from contenders import our_environment  # noqa: E402
from figures import time_text  # noqa: E402
from lab import Lab  # noqa: E402
from ssh_environment import environment  # noqa: E402

VMID = "100"
SIZE = 10 * prepare.MIB
QM_START_S = 0.7
REMOTE = "/root/bench-file"
WAYS = ("api", "socket", "qm")

PUBLISHED_KB_S = {"put": 334, "fetch": 116}
"""What tools that run qm for each call have published, in kB/s."""


class Ways:
    """Runs the program by each way and keeps how long it took."""

    def __init__(self, lab: Lab, program: Path, directory: Path) -> None:
        over = {method: {**our_environment(lab), **environment(lab, method)} for method in ("socket", "qm")}
        self._environments = {"api": {**our_environment(lab), "PVE_QGA_VIA": "api"}, **over}
        self._program = program
        self._noise = prepare.content("random", SIZE)
        self._back = directory / "back"
        self.seconds: dict[tuple[str, str], list[float]] = {}

    def measure(self, way: str) -> None:
        """Each job once."""
        self._time(way, "short command", "exec", VMID, "--", "true")
        self._time(way, "put", "put", VMID, str(self._noise), REMOTE)
        self._time(way, "fetch", "fetch", VMID, REMOTE, str(self._back))
        if self._back.read_bytes() != self._noise.read_bytes():
            raise SystemExit(f"bench: what came back over {way} is not what went in")

    def median(self, way: str, job: str) -> float:
        return statistics.median(self.seconds[way, job])

    def _time(self, way: str, job: str, *arguments: str) -> None:
        begin = time.perf_counter()
        subprocess.run([self._program, *arguments], env=self._environments[way], check=True)
        self.seconds.setdefault((way, job), []).append(time.perf_counter() - begin)


def report(ways: Ways) -> bool:
    """Print the table and whether the goals are met."""
    print("| way | a short command | 10 MiB in | 10 MiB out |\n|---|--:|--:|--:|")
    for way in WAYS:
        print("| " + " | ".join([way, *(time_text(ways.median(way, job)) for job in ("short command", "put", "fetch"))]) + " |")
    met = True
    for job, published in PUBLISHED_KB_S.items():
        faster = ways.median("api", job) / ways.median("socket", job)
        rate = SIZE / 1000 / ways.median("qm", job)
        good = faster > 1 and rate >= 5 * published
        met &= good
        print(f"{job}: socket {faster:.2f} x as fast as the API; qm {rate:.0f} kB/s, {rate / published:.1f} x the published")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--program", type=Path, help="measure this program instead of building one")
    arguments = parser.parse_args()
    if arguments.program is None:
        prepare.packages()
    program = arguments.program or prepare.program()
    with tempfile.TemporaryDirectory() as directory, Lab(vms=[f"{VMID}:web:pve1:socket"], ssh=True) as lab:
        lab.set_qm_start(QM_START_S)
        ways = Ways(lab, program, Path(directory))
        for _ in range(arguments.runs):
            for way in WAYS:
                ways.measure(way)
        return 0 if report(ways) else 1


if __name__ == "__main__":
    sys.exit(main())
