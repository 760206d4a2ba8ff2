"""Whatever happens to any single call, the result is right and a command runs exactly once.

Each piece of work is done with a fault at its first call, then at its second, and so on to its last: how many
there are differs a little from run to run, since running commands are asked about until they have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import WEB
from lab import Lab
from noise import noise
from program import Program, Result

pytestmark = pytest.mark.ways("api", "qm", why="calls can be broken there")

SMALL, LARGE = noise(1000), noise(1024 * 1024)
RUNS = "/tmp/system-test/runs"

LEAST_CALLS = {"api": 3, "ssh": 2}
"""To find the VM, which SSH need not, to start a script, and to ask how it went; cleaning up takes more."""

FAULTS: dict[str, dict[str, Any]] = {
    "cut-before": {"action": "cut-before"},
    "cut-after": {"action": "cut-after"},
    "596-after": {"action": "status-after"},
    "timeout-after": {"action": "timeout-after"},
    "twice": {"action": "twice"},
    "not-json": {"action": "garbage", "garbage": "not-json"},
}
"""For every kind of work."""

MORE_FAULTS: dict[str, dict[str, Any]] = {
    "cut-mid": {"action": "cut-mid"},
    "596-before": {"action": "status-before"},
    "595": {"action": "status-before", "status": 595, "reason": "Connection refused"},
    "not-running": {"action": "not-running"},
    "timeout-before": {"action": "timeout-before"},
    "first-answer": {"action": "twice", "answer": "first"},
    "not-http": {"action": "garbage", "garbage": "not-http"},
    "empty": {"action": "garbage", "garbage": "empty"},
    "long-length": {"action": "garbage", "garbage": "long-length"},
    "short-length": {"action": "garbage", "garbage": "short-length"},
    "truncated-gzip": {"action": "garbage", "garbage": "truncated-gzip"},
}
"""For a command with output, which uses every kind of call."""

OF_QM = ("cut-before", "cut-after", "cut-mid", "timeout-before", "timeout-after", "not-running", "not-json", "empty")


def named(faults: dict[str, dict[str, Any]]) -> list[Any]:
    """Their names as parameters; what only an HTTP server can do is for the way by the API."""
    http = pytest.mark.ways("api", why="qm cannot do that")
    return [name if name in OF_QM else pytest.param(name, marks=http) for name in faults]


@dataclass(frozen=True)
class Work:
    """Something done with the guest: ``run`` does it, ``check`` raises if its outcome is not right."""

    run: Callable[[Program, Path], Result]
    check: Callable[[Program, Path, Result], None]


def counted(line: str) -> Callable[[Program, Path], Result]:
    return lambda program, _: program.shell(WEB, f"echo ran >>{RUNS}; {line}")


def complaint(program: Program, result: Result) -> bytes:
    """What it said but that it tries again, which is told where that takes long, as with qm."""
    patient = program.environment.get("PVE_QGA_VIA") == "ssh"
    return b"".join(line for line in result.stderr.splitlines() if not (patient and b"; trying again for" in line))


def ran_once(stdout: bytes = b"", status: int = 0) -> Callable[[Program, Path, Result], None]:
    def check(program: Program, _: Path, result: Result) -> None:
        runs = program.lab.guest(WEB).path(RUNS)
        assert runs.read_text() == "ran\n"
        assert (result.status, result.stdout, complaint(program, result)) == (status, stdout, b"")
        runs.unlink()

    return check


def putting(content: bytes) -> Work:
    def check(program: Program, _: Path, result: Result) -> None:
        assert (result.status, complaint(program, result)) == (0, b""), result.stderr
        there = program.lab.guest(WEB).path("/tmp/system-test/file")
        assert there.read_bytes() == content
        there.unlink()

    return Work(lambda program, _: program.put(WEB, "-", "/tmp/system-test/file", stdin=content), check)


def fetching(content: bytes) -> Work:
    def run(program: Program, directory: Path) -> Result:
        program.lab.guest(WEB).path("/tmp/system-test/file").write_bytes(content)
        return program.fetch(WEB, "/tmp/system-test/file", directory / "file")

    def check(program: Program, directory: Path, result: Result) -> None:
        assert (result.status, complaint(program, result)) == (0, b""), result.stderr
        assert (directory / "file").read_bytes() == content
        (directory / "file").unlink()

    return Work(run, check)


WORKS = {
    "exec true": Work(counted("true"), ran_once()),
    "exec with output": Work(counted("seq 1 30000; exit 9"), ran_once("".join(f"{n}\n" for n in range(1, 30001)).encode(), 9)),
    "put small": putting(SMALL),
    "put 1 MiB": putting(LARGE),
    "fetch small": fetching(SMALL),
    "fetch 1 MiB": fetching(LARGE),
}


@pytest.fixture
def quick_lab(lab: Lab) -> Iterator[Lab]:
    lab.set_pace(False)
    yield lab


@pytest.mark.parametrize("fault", named(FAULTS))
@pytest.mark.parametrize("name", WORKS)
def test_each_call(
    program: Program, quick_lab: Lab, remote: Callable[[int], str], tmp_path: Path, name: str, fault: str
) -> None:
    each_call(program, quick_lab, remote(WEB), tmp_path, WORKS[name], FAULTS[fault])


@pytest.mark.parametrize("fault", named(MORE_FAULTS))
def test_each_call_of_a_command(
    program: Program, quick_lab: Lab, remote: Callable[[int], str], tmp_path: Path, fault: str
) -> None:
    each_call(program, quick_lab, remote(WEB), tmp_path, WORKS["exec with output"], MORE_FAULTS[fault])


def there(lab: Lab) -> bytes:
    """What is in the guest's /tmp but the tests' own files, and claims, which stay for a while where a call was lost that
    may still come."""
    others = [word for path in ("/tmp/.pve-qga-run-*/*.c", "/tmp/system-test/*") for word in ("!", "-path", path)]
    return lab.guest(WEB).run(["find", "/tmp", "-mindepth", "1", "!", "-name", ".pve-qga-run-*", *others]).stdout


def each_call(program: Program, lab: Lab, directory: str, local: Path, work: Work, fault: dict[str, Any]) -> None:
    before = there(lab)
    wrong = []
    nth = 0
    while True:
        nth += 1
        lab.clear_faults()
        lab.fault("*", nth=nth, **fault)
        lab.reset_counters()
        result = work.run(program, local)
        try:
            work.check(program, local, result)
        except (AssertionError, OSError) as problem:
            wrong.append((f"call {nth}: {hit_call(lab)}", str(problem)[:300]))
            lab.guest(WEB).run(["rm", "-f", RUNS])
        if not lab.faults()[0]["fired"]:
            break
    assert wrong == []
    assert nth - 1 >= LEAST_CALLS[program.environment.get("PVE_QGA_VIA", "api")]
    assert there(lab) == before


def hit_call(lab: Lab) -> str:
    return ", ".join(entry["kind"] for entry in lab.log() if entry["fault"])
