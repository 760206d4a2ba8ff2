"""The raw ceiling: how fast a client could be that only posts a transfer's bodies or reads its pieces.

One transfer of ours is recorded in the lab. Of its requests those that carry content are replayed by ``replay.c``:

- of a put, the ``exec`` calls whose arguments, beyond the script, are at least ``_CONTENT_BYTES`` long;
- of a fetch, the ``file-read`` calls. The files that the transfer made in the guest and removes again (packed
  sections, slices) are read as stand-ins of the same length, made beforehand, of random bytes: these, as what is
  packed, cannot be compressed further. That somebody has to make them is no part of the ceiling;
- if a put is one command, or a fetch has no reads, each ``exec`` with its ``exec-status``: the end, or the content,
  cannot be had with less.

The number of connections, 1 to 4, and for a fetch whether answers are compressed, are those that are fastest for the
first ``_TRIAL_REQUESTS`` requests. The guest's side of a replayed put, which nobody waits for, ends after the clock:
its results are taken and what it wrote is removed. No client can leave the results: a record that nobody takes stays in
the agent, and is later found in place of another process's. So a large put is also compared with a replay that takes
each result as soon as it has sent the next body.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from lab import Lab
from raw_api import RawApi

CONNECTIONS = (1, 2, 3, 4)
_CONTENT_BYTES = 1024
_TRIAL_REQUESTS = 16
_TRIAL_ROUNDS = 3
_SHORT_TRIAL_S = 2.0
_REAPERS = 3
_IDLE_S = 60.0
_WATCHED = ("/tmp", "/var/tmp", "/root/bench")
_STAND_IN = "/tmp/bench-stand-in-"
_BASE = "/api2/json"


class CeilingError(Exception):
    """A transfer cannot be replayed."""


@dataclass(frozen=True)
class Line:
    """One request to replay; ``body`` is the file of its body."""

    method: str
    target: str
    body: Path | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.target}" + (f" {self.body}" if self.body else "")


@dataclass(frozen=True)
class Tape:
    """What is replayed of one transfer; ``pairs`` waits for each exec's end."""

    lines: list[Line]
    pairs: bool = False

    @property
    def reads(self) -> bool:
        return self.lines[0].method == "GET"

    def beginning(self) -> Tape:
        return Tape(self.lines[:_TRIAL_REQUESTS], self.pairs)


@dataclass(frozen=True)
class Mode:
    """How a tape is replayed."""

    connections: int
    gzip: bool
    results: bool = False
    """The result of each exec is taken before the clock stops."""


@dataclass(frozen=True)
class _Recorded:
    """One request of a recording."""

    directory: Path
    entry: dict[str, Any]

    @property
    def target(self) -> str:
        return str(self.entry["target"])

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def body(self) -> Path:
        return self.directory / f"{self.entry['number']}.body"

    @property
    def answer(self) -> Any:
        return json.loads((self.directory / f"{self.entry['number']}.answer").read_bytes())["data"]

    def content_bytes(self) -> int:
        """How long the arguments of an exec behind ``/bin/sh -c SCRIPT`` are."""
        return sum(len(argument) for argument in json.loads(self.body.read_bytes())["command"][3:])


class Ceiling:
    """Records and replays in one lab."""

    def __init__(self, lab: Lab, replay: Path, directory: Path) -> None:
        self._lab = lab
        self._replay = replay
        self._directory = directory
        self._environment = {**os.environ, "REPLAY_AUTHORIZATION": lab.authorization}

    # ---- tapes ----

    def bare_pair(self, vmid: int) -> Tape:
        """A lone exec of ``/bin/true`` and its exec-status."""
        self._directory.mkdir(parents=True, exist_ok=True)
        body = self._directory / "true.json"
        body.write_text(json.dumps({"command": ["/bin/true"]}))
        return Tape([Line("POST", f"{_BASE}/nodes/{self._node(vmid)}/qemu/{vmid}/agent/exec", body)], pairs=True)

    def record(self, vmid: int, transfer: Callable[[], object], *, fetched: str | None) -> Tape:
        """Record a transfer of ours, a put unless ``fetched`` names a guest's file. Its tape stays good until the
        next recording, or until ``clean``.
        """
        tape = self._directory / "tape"
        shutil.rmtree(tape, ignore_errors=True)
        self._lab.record(tape)
        try:
            transfer()
        finally:
            self._lab.stop_recording()
        index = json.loads((tape / "index.json").read_text())
        recorded = [_Recorded(tape, entry) for entry in index if entry["status"] == 200]
        execs = [request for request in recorded if request.entry["kind"] == "exec"]
        reads = [request for request in recorded if request.entry["kind"] == "file-read"]
        if fetched is None:
            execs = [request for request in execs if request.content_bytes() >= _CONTENT_BYTES]
        elif reads:
            return Tape(self._reads(vmid, reads, fetched))
        if not execs:
            raise CeilingError("no request carries content")
        # Without reads the content came in answers of exec-status.
        return Tape(
            [Line("POST", exec.target, exec.body) for exec in execs], pairs=fetched is not None or len(execs) == 1
        )

    def _reads(self, vmid: int, reads: list[_Recorded], fetched: str) -> list[Line]:
        """The reads of a fetch, of stand-ins but for those of the fetched file itself."""
        queries = [{name: values[0] for name, values in parse_qs(read.query).items()} for read in reads]
        lengths: dict[str, int] = {}
        for read, query in zip(reads, queries):
            end = int(query.get("offset", "0")) + read.answer["bytes-read"]
            lengths[query["file"]] = max(end, lengths.get(query["file"], 0))
        lengths.pop(fetched, None)
        names = {fetched: fetched}
        for number, (name, length) in enumerate(lengths.items()):
            names[name] = f"{_STAND_IN}{number}"
            self._run(vmid, f"head -c {length} /dev/urandom >{names[name]}")
        return [
            Line("GET", read.target.partition("?")[0] + "?" + urlencode(query | {"file": names[query["file"]]}))
            for read, query in zip(reads, queries)
        ]

    # ---- replaying ----

    def best_mode(self, vmid: int, tape: Tape) -> Mode:
        """The fastest way to replay a tape, tried on its beginning."""
        beginning = tape.beginning()
        limit = len(beginning.lines)
        modes = [
            Mode(k, gzip) for k in CONNECTIONS if k <= limit for gzip in ((False, True) if tape.reads else (False,))
        ]
        if len(modes) == 1:
            return modes[0]
        fastest = dict.fromkeys(modes, float("inf"))
        refusals: list[CeilingError] = []
        for _ in range(_TRIAL_ROUNDS):
            for mode in modes:
                try:
                    fastest[mode] = min(fastest[mode], self.replay(vmid, beginning, mode))
                except CeilingError as refusal:
                    refusals.append(refusal)
            if sum(fastest.values()) > _SHORT_TRIAL_S:
                break
        best = min(modes, key=lambda mode: fastest[mode])
        if fastest[best] == float("inf"):
            raise refusals[-1]
        return best

    def replay(self, vmid: int, tape: Tape, mode: Mode) -> float:
        """Replay a tape; returns its seconds. The guest is as before, but for files that the tape replaces."""
        before = self._files(vmid)
        listed = self._directory / "list"
        listed.write_text("".join(f"{line}\n" for line in tape.lines))
        command: list[str | Path] = [self._replay]
        command += ["--pairs"] if tape.pairs else []
        command += ["--results"] if mode.results else []
        command += ["--gzip"] if mode.gzip else []
        command += [self._lab.host, str(self._lab.port), self._lab.ca_file, listed, str(mode.connections)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        try:
            if done.returncode:
                self._wait_until_idle(vmid)
                raise CeilingError(done.stderr.strip())
            result = json.loads(done.stdout)
            self._reap(vmid, result["pids"])
            return float(result["seconds"])
        finally:
            self._remove(vmid, self._files(vmid) - before)

    def _reap(self, vmid: int, pids: list[int]) -> None:
        """Take the results of execs, so that the agent forgets them; each must have succeeded."""

        def reap(mine: list[int]) -> None:
            api = RawApi(self._lab)
            for pid in mine:
                status = api.wait(self._node(vmid), vmid, pid)
                if status["exitcode"] != 0 or "pq1 ok" not in status.get("out-data", ""):
                    raise CeilingError(f"a replayed call failed in the guest: {status}")
            api.close()

        with ThreadPoolExecutor(_REAPERS) as pool:
            list(pool.map(reap, [pids[first::_REAPERS] for first in range(_REAPERS)]))

    def _wait_until_idle(self, vmid: int) -> None:
        """Let the commands of a replay end whose pids are not known."""
        deadline = time.monotonic() + _IDLE_S
        while self._lab.guest(vmid).processes() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _node(self, vmid: int) -> str:
        return next(str(vm["node"]) for vm in self._lab.info["vms"] if vm["vmid"] == vmid)

    def _files(self, vmid: int) -> set[bytes]:
        return set(self._lab.guest(vmid).run(["find", *_WATCHED, "-mindepth", "1"]).stdout.split(b"\n")) - {b""}

    def _remove(self, vmid: int, paths: set[bytes]) -> None:
        if paths:
            self._lab.guest(vmid).run(["rm", "-rf", *(path.decode() for path in sorted(paths))])

    def clean(self, vmid: int) -> None:
        """Remove the stand-ins of a fetch."""
        self._run(vmid, f"rm -f {_STAND_IN}*")

    def _run(self, vmid: int, script: str) -> None:
        done = self._lab.guest(vmid).run(["sh", "-c", script], timeout_s=120)
        if done.exit_code != 0:
            raise CeilingError(f"{script}: {done.stderr.decode('utf-8', 'replace').strip()}")
