#!/usr/bin/env python3
"""Measures pve-qga-rsh and pve-qga-shell against the lab, next to what they are to be compared with, in turn, medians.

    integration/bench/streams.py [--runs N] [--guest socket|busybox|debian] [--only WORD,...] [--mebibytes N]

    keys    a key's way to the guest's terminal and back, next to a bare exec with its exec-status, each after a pause like
            a person's, so that neither meets the other's calls; calls of an idle session
    tar     the same bytes by a stream of tar and by put and fetch
    rsync   a tree of 2,000 files: there, again without a change, back
    large   1 GiB (--mebibytes) each way: exact, our memory, the guest's disk

Each content is checked. Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent / folder) for folder in ("", "client", "tests", "tests_rsh", "bench")]

import prepare  # noqa: E402
from ceiling import Ceiling, Mode  # noqa: E402
from contenders import our_environment  # noqa: E402
from figures import time_text  # noqa: E402
from lab import Lab  # noqa: E402
from rsh import facts, make_tree  # noqa: E402
from screen import Line  # noqa: E402

MIB = 1024 * 1024
VMID = 100
GUESTS = {"socket": "socket", "busybox": "qemu", "debian": "qemu,root=debian"}
TREE_FILES = 2000
IDLE_S = 60
SETTLES_S = 30
"""So long after the last key a session asks as seldom as it ever does."""


class Bench:
    """A lab with one guest, and the programs."""

    def __init__(self, lab: Lab, folder: Path, runs: int, *, fast: bool) -> None:
        self.lab, self.folder, self.runs, self.guest_is_fast = lab, folder, runs, fast
        self.bin = prepare.program().parent
        self.environment = {**our_environment(lab), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        self.guest = lab.guest(VMID)

    def run(self, *command: object, **more: object) -> float:
        """The seconds that it takes."""
        begin = time.perf_counter()
        subprocess.run([str(word) for word in command], env=self.environment, check=True, **more)  # type: ignore[call-overload]
        return time.perf_counter() - begin

    def in_guest(self, line: str) -> bytes:
        done = self.guest.run(["sh", "-c", line], timeout_s=600)
        if done.exit_code:
            raise SystemExit(f"bench: '{line}' in the guest: {done.stderr!r}")
        return done.stdout


# ---- keys ----


def keys(bench: Bench) -> None:
    ceiling = Ceiling(bench.lab, prepare.replay(), bench.folder)
    pair = ceiling.bare_pair(VMID)
    echoes, pairs = [], []
    line = Line([str(bench.bin / "pve-qga-shell"), str(VMID)], bench.environment)
    line.until(b"# ", 60)
    for number in range(10 * bench.runs + 1):
        time.sleep(random.uniform(0.5, 1.5))
        key = b"abcdefgh"[number % 8 :][:1]
        begin = time.perf_counter()
        line.type(key)
        line.until(key)
        echoes.append(time.perf_counter() - begin)
        time.sleep(random.uniform(0.5, 1.5))
        pairs.append(ceiling.replay(VMID, pair, Mode(1, False)))
    echo, bare = statistics.median(echoes[1:]), statistics.median(pairs[1:])
    print(f"key: {time_text(echo)}; bare exec + exec-status: {time_text(bare)}; ratio {echo / bare:.2f} (at most 1.5)")
    deadline = time.monotonic() + SETTLES_S
    while time.monotonic() < deadline:
        line.read(0.5)
    before = len(bench.lab.log())
    deadline = time.monotonic() + IDLE_S
    while time.monotonic() < deadline:
        line.read(0.5)
    calls = len(bench.lab.log()) - before
    print(f"idle session: {calls} calls in {IDLE_S} s, one in {IDLE_S / calls:.1f} s (no more than one in 2 s)")
    line.type(b"\x15exit\r")
    line.end()
    line.close()


# ---- tar ----


def tar(bench: Bench) -> None:
    size = (64 if bench.guest_is_fast else 6) * MIB
    folder = bench.folder / "tar"
    folder.mkdir()
    content = prepare.content("random", 64 * MIB).read_bytes()[:size]
    (folder / "file").write_bytes(content)
    ways: dict[str, Callable[[], float]] = {
        "put": lambda: bench.run("pve-qga-run", "put", "--quiet", VMID, folder / "file", "/root/bench"),
        "tar in": lambda: bench.run("sh", "-c", f"tar c -C '{folder}' file | pve-qga-rsh {VMID} tar x -C /root"),
        "fetch": lambda: bench.run("pve-qga-run", "fetch", "--quiet", VMID, "/root/bench", bench.folder / "fetched"),
        "tar out": lambda: bench.run("sh", "-c", f"pve-qga-rsh {VMID} tar c -C /root file | tar x -C '{bench.folder}'"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(bench.runs):
        for name, way in ways.items():
            seconds[name].append(way())
        for back in ("file", "fetched"):
            if (bench.folder / back).read_bytes() != content:
                raise SystemExit(f"bench: {back} is not what went in")
            (bench.folder / back).unlink()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    mib = size // MIB
    print(f"{mib} MiB: " + "; ".join(f"{name} {time_text(value)}" for name, value in median.items()))
    for name, than in (("tar in", "put"), ("tar out", "fetch")):
        print(f"{name}: {median[than] / median[name]:.2f} of the speed of {than} (at least 0.6)")
    bench.in_guest("rm -f /root/bench /root/file")


# ---- rsync ----


def rsync(bench: Bench) -> None:
    tree, back = make_tree(bench.folder / "tree", TREE_FILES if bench.guest_is_fast else 200), bench.folder / "back"
    ceiling = Ceiling(bench.lab, prepare.replay(), bench.folder)
    pair = ceiling.bare_pair(VMID)
    copy = ["rsync", "-a", "-e", "pve-qga-rsh"]
    bench.in_guest("rm -rf /root/tree")
    there = bench.run(*copy, f"{tree}/", f"{VMID}:/root/tree/")
    again, trips, calls = [], [], []
    for _ in range(bench.runs):
        trips.append(ceiling.replay(VMID, pair, Mode(1, False)))
        before = len(bench.lab.log())
        again.append(bench.run(*copy, f"{tree}/", f"{VMID}:/root/tree/"))
        calls.append(len(bench.lab.log()) - before)
    home = bench.run(*copy, f"{VMID}:/root/tree/", f"{back}/")
    if facts(tree) != facts(back):
        raise SystemExit("bench: the tree that came back is another one")
    unchanged, trip = statistics.median(again), statistics.median(trips)
    files = sum(len(names) for _, _, names in os.walk(tree))
    print(f"rsync of {files} files: there {time_text(there)}, back {time_text(home)}")
    print(f"unchanged: {time_text(unchanged)}, {statistics.median(calls):.0f} calls; 12 trips of {time_text(trip)} and 1 s are "
          f"{time_text(12 * trip + 1)}")  # fmt: skip
    bench.in_guest("rm -rf /root/tree")


# ---- large ----


def noise(size: int) -> Iterator[bytes]:
    """The same bytes each time, which nothing packs."""
    block = prepare.content("random", 64 * MIB).read_bytes()
    for at in range(0, size, len(block)):
        yield at.to_bytes(8, "big") + block[8 : min(len(block), size - at)]


class Watch:
    """The most that a process had in memory, and the guest on its disk, while it ran."""

    def __init__(self, bench: Bench, process: subprocess.Popen[bytes]) -> None:
        self.memory_kib = self.disk_kib = 0
        self._bench, self._process = bench, process
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while self._process.poll() is None:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{self._process.pid}/status").read_text()
                peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
                self.memory_kib = max(self.memory_kib, int(peak))
            # Files come and go while they are counted.
            used = self._bench.guest.run(["sh", "-c", "du -sk /tmp 2>/dev/null"]).stdout.split()
            self.disk_kib = max(self.disk_kib, int(used[0]) if used else 0)
            time.sleep(0.2)

    def end(self) -> None:
        self._thread.join()


def large(bench: Bench, mebibytes: int) -> None:
    size = mebibytes * MIB
    digest = hashlib.sha256()
    begin = time.perf_counter()
    into = subprocess.Popen([bench.bin / "pve-qga-rsh", str(VMID), "sha256sum"], env=bench.environment,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    watch = Watch(bench, into)
    assert into.stdin is not None and into.stdout is not None
    for block in noise(size):
        digest.update(block)
        into.stdin.write(block)
    into.stdin.close()
    said = into.stdout.read().split()[0].decode()
    watch.end()
    verdict("in", size, begin, said == digest.hexdigest() and into.wait() == 0, watch)
    # Each turn of the guest's own shell repeats a file, so nothing large has to be made there.
    bench.run("pve-qga-run", "put", "--quiet", VMID, prepare.content("random", 64 * MIB), "/root/bench")
    expected = hashlib.sha256()
    block = prepare.content("random", 64 * MIB).read_bytes()
    turns = mebibytes // 64
    for _ in range(turns):
        expected.update(block)
    begin = time.perf_counter()
    line = f"i=0; while [ $i -lt {turns} ]; do cat /root/bench; i=$((i + 1)); done; rm /root/bench"
    out = subprocess.Popen([bench.bin / "pve-qga-rsh", str(VMID), line], env=bench.environment, stdout=subprocess.PIPE)
    watch = Watch(bench, out)
    assert out.stdout is not None
    came = hashlib.sha256()
    while data := out.stdout.read(MIB):
        came.update(data)
    watch.end()
    verdict("out", turns * 64 * MIB, begin, came.digest() == expected.digest() and out.wait() == 0, watch)


def verdict(way: str, size: int, begin: float, exact: bool, watch: Watch) -> None:
    seconds = time.perf_counter() - begin
    print(f"{size // MIB} MiB {way}: {'exact' if exact else 'NOT EXACT'}, {size / MIB / seconds:.1f} MiB/s, memory "
          f"{watch.memory_kib / 1024:.1f} MiB (at most 24), the guest's /tmp {watch.disk_kib / 1024:.1f} MiB (at most 64)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--guest", choices=GUESTS, default="socket")
    parser.add_argument("--only", default="keys,tar,rsync,large", metavar="WORD,...")
    parser.add_argument("--mebibytes", type=int, default=1024, metavar="N")
    arguments = parser.parse_args()
    prepare.packages()
    with tempfile.TemporaryDirectory() as folder, Lab(vms=[f"{VMID}:web:pve1:{GUESTS[arguments.guest]}"]) as lab:
        bench = Bench(lab, Path(folder), arguments.runs, fast=arguments.guest == "socket")
        for word in arguments.only.split(","):
            if word == "large":
                large(bench, arguments.mebibytes)
            else:
                {"keys": keys, "tar": tar, "rsync": rsync}[word](bench)


if __name__ == "__main__":
    main()
