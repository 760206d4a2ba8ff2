"""A QEMU guest with its agent on a virtual serial port, by both methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from noise import noise
from program import Program
from ssh_environment import environment

GUEST = 100


@pytest.fixture(scope="module")
def real_lab() -> Iterator[Lab]:
    with Lab(vms=[f"{GUEST}:real:pve1:qemu"], ssh=True) as lab:
        lab.set_qm_start(0)
        yield lab


@pytest.fixture
def program(real_lab: Lab, method: str, tmp_path: Path) -> Iterator[Program]:
    home = tmp_path / "home"
    home.mkdir()
    program = Program(real_lab, home, environment(real_lab, method))
    yield program
    program.close()
    left = real_lab.guest(GUEST).run(["ls", "-A", "/tmp"])
    assert (left.exit_code, left.stdout) == (0, b"")


def test_commands(program: Program) -> None:
    data = noise(100_000)
    result = program.shell(GUEST, "cat; echo err >&2; exit 7", stdin=data)
    assert (result.status, result.stdout, result.stderr) == (7, data, b"err\n")
    assert program.exec(GUEST, "printf", "%s,", "ä", "", "$x").succeeded().stdout == "ä,,$x,".encode()
    assert program.shell(GUEST, "kill -9 $$").status == 137


@pytest.mark.parametrize("size", [0, 1000, 1_000_000])
def test_files(program: Program, real_lab: Lab, tmp_path: Path, size: int) -> None:
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(noise(size))
    program.put(GUEST, local, "/tmp/file").succeeded()
    assert real_lab.guest(GUEST).run(["cat", "/tmp/file"]).stdout == noise(size)
    program.fetch(GUEST, "/tmp/file", back).succeeded()
    assert back.read_bytes() == noise(size)
    program.exec(GUEST, "rm", "/tmp/file").succeeded()


def test_two_requests_at_a_time(program: Program) -> None:
    with program.serve(vm=GUEST) as client:
        client.ping()
        requests = [client.start_command(f"echo {number}", live=False) for number in range(6)]
        assert [request.result().stdout for request in requests] == [b"%d\n" % number for number in range(6)]
