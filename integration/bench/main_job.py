#!/usr/bin/env python3
"""Measures the main job against the lab and prints one table: exec latency next to a bare exec + exec-status pair,
calls and TLS handshakes, and 100 MiB of stdin and stdout and a 256 MiB file with the peak memory of pve-qga-run.

    integration/bench/main_job.py [--program PATH] [--runs N] [--quick]

Everything is measured in one run with the compared things in turn; figures are medians. The guests are `qemu-ga` on a
unix socket and a real QEMU guest under software emulation.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "client"), str(HERE)]

from lab import Lab  # noqa: E402
from pve_qga_client import Client  # noqa: E402
from raw_api import RawApi  # noqa: E402

MIB = 1024 * 1024
MEASURE = HERE.parent / "tests" / "measure.py"
GUESTS = {100: "agent on a socket", 101: "QEMU guest"}
VMS = ["100:socket:pve1:socket", "101:guest:pve1:qemu"]


def credentials(lab: Lab) -> dict[str, str]:
    """The environment that reaches the lab."""
    user, token = lab.token_id.split("!")
    return {
        **os.environ,
        "PROXMOX_HOST": lab.info["host"],
        "PROXMOX_PORT": str(lab.info["port"]),
        "PROXMOX_USER": user,
        "PROXMOX_TOKEN_ID": token,
        "PROXMOX_TOKEN_SECRET": lab.token_secret,
        "PROXMOX_CA_FILE": str(lab.ca_file),
    }


def timed(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def exec_latency(lab: Lab, program: str, vmid: int, runs: int) -> None:
    """`true` through a warm `serve` session in turn with a bare pair."""
    raw = RawApi(lab.info["host"], lab.info["port"], str(lab.ca_file), lab.token_id, lab.token_secret)
    with Client([program, "serve"], environment=credentials(lab)) as client:
        client.exec_command("true", vm=vmid)
        raw.exec_pair("pve1", vmid, ["/bin/true"])
        ours, bare = [], []
        lab.reset_counters()
        for _ in range(runs):
            ours.append(timed(lambda: client.exec_command("true", vm=vmid)))
            bare.append(timed(lambda: raw.exec_pair("pve1", vmid, ["/bin/true"])))
        requests = lab.counters()["requests"]
        own = lab_calls_of(client, lab, vmid, runs)
    ratio = statistics.median(a / b for a, b in zip(ours, bare))
    print(
        f"exec true, {GUESTS[vmid]}: {statistics.median(ours):.1f} ms, bare pair {statistics.median(bare):.1f} ms, "
        f"ratio {ratio:.2f} (median of {runs} pairs); {own}; requests in turn {requests}"
    )
    raw.close()


def lab_calls_of(client: Client, lab: Lab, vmid: int, runs: int) -> str:
    """Agent calls of one command, counted without the bare pairs."""
    lab.reset_counters()
    for _ in range(runs):
        client.exec_command("true", vm=vmid)
    requests = lab.counters()["requests"]
    return ", ".join(f"{count / runs:.2f} {kind}" for kind, count in sorted(requests.items()))


def handshakes(lab: Lab, program: str, runs: int) -> None:
    """TLS handshakes of one `serve` process over many calls."""
    lab.reset_counters()
    with Client([program, "serve"], environment=credentials(lab)) as client:
        for _ in range(runs):
            client.exec_command("true", vm=100)
    counters = lab.counters()
    total = counters["requests_total"]
    print(f"handshakes: {counters['tls_handshakes']} for {total} calls")


def process_start(lab: Lab, program: str, vmid: int, runs: int) -> None:
    """A whole process for one command."""
    wall = []
    environment = credentials(lab)
    for _ in range(runs):
        lab.reset_counters()
        command = [program, "exec", str(vmid), "--", "true"]
        wall.append(timed(lambda: subprocess.run(command, env=environment, check=True)))
    requests = lab.counters()["requests"]
    print(f"`pve-qga-run exec {vmid} -- true`, {GUESTS[vmid]}: {statistics.median(wall):.0f} ms, calls {requests}")


def run(lab: Lab, program: str, arguments: list[str], **files: Any) -> int:
    """Runs the program; returns its peak resident memory in KiB.

    The kernel counts what a process had before it executed a program, so a small parent measures it.
    """
    with tempfile.NamedTemporaryFile("r") as peak:
        measured = [sys.executable, "-I", "-S", str(MEASURE), peak.name, program, *arguments]
        subprocess.run(measured, env=credentials(lab), check=True, **files)
        return int(peak.read())


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def report(what: str, size: int, seconds: float, rss_kib: int, exact: bool) -> None:
    print(
        f"{what}: {'exact' if exact else 'NOT EXACT'}, {seconds:.1f} s, {size / MIB / seconds:.1f} MiB/s, "
        f"peak memory {rss_kib / 1024:.1f} MiB"
    )


def bulk(lab: Lab, program: str, directory: Path, stream_bytes: int, file_bytes: int) -> None:
    """stdin, stdout and files of random bytes on the socket guest."""
    source, result = directory / "source", directory / "result"
    with source.open("wb") as file:
        for _ in range(file_bytes // MIB):
            file.write(os.urandom(MIB))
    begin = time.perf_counter()
    rss = run(lab, program, ["put", "100", str(source), "/root/bulk"])
    seconds = time.perf_counter() - begin
    arrived = lab.guest(100).run(["sha256sum", "/root/bulk"]).stdout.split()[0]
    arrived = arrived.decode() if isinstance(arrived, bytes) else arrived
    report(f"put {file_bytes // MIB} MiB", file_bytes, seconds, rss, arrived == digest(source))

    begin = time.perf_counter()
    rss = run(lab, program, ["fetch", "100", "/root/bulk", str(result)])
    report(f"fetch {file_bytes // MIB} MiB", file_bytes, time.perf_counter() - begin, rss, digest(result) == digest(source))

    os.truncate(source, stream_bytes)
    with source.open("rb") as stdin, result.open("wb") as stdout:
        begin = time.perf_counter()
        rss = run(lab, program, ["exec", "100", "--", "sha256sum"], stdin=stdin, stdout=stdout)
        seconds = time.perf_counter() - begin
    exact = result.read_text().split()[0] == digest(source)
    report(f"stdin {stream_bytes // MIB} MiB", stream_bytes, seconds, rss, exact)

    with result.open("wb") as stdout:
        begin = time.perf_counter()
        rss = run(lab, program, ["exec", "-n", "100", "--", "head", "-c", str(stream_bytes), "/root/bulk"], stdout=stdout)
        seconds = time.perf_counter() - begin
    report(f"stdout {stream_bytes // MIB} MiB", stream_bytes, seconds, rss, digest(result) == digest(source))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parents[1] / "build" / "release" / "bin" / "pve-qga-run"))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes and runs")
    arguments = parser.parse_args()
    share = 10 if arguments.quick else 1
    runs = max(arguments.runs // share, 3)
    with Lab(vms=VMS) as lab, tempfile.TemporaryDirectory() as directory:
        for vmid in GUESTS:
            exec_latency(lab, arguments.program, vmid, runs)
            process_start(lab, arguments.program, vmid, max(runs // 6, 3))
        handshakes(lab, arguments.program, 5 * runs)
        bulk(lab, arguments.program, Path(directory), 100 * MIB // share, 256 * MIB // share // MIB * MIB)


if __name__ == "__main__":
    main()
