"""Fixtures: a lab with SSH servers on its nodes, and the program on its way through them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lab import Lab  # noqa: E402
from program import Program  # noqa: E402
from ssh_environment import environment  # noqa: E402

VMS = ["100:web:pve1:socket,tags=tests", "101:db:pve2:socket", "102:off:pve1:stopped", "103:rhel:pve1:disabled"]

Make = Callable[..., Program]


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with Lab(vms=VMS, ssh=True) as lab:
        lab.set_qm_start(0)
        yield lab


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    session_lab.reset_counters()
    yield session_lab
    session_lab.clear_faults()
    session_lab.open_api()
    session_lab.start_socks()
    for path in ("/usr/sbin/qm", "/usr/bin/perl"):
        session_lab.node().restore(path)


@pytest.fixture
def make(lab: Lab, tmp_path: Path) -> Iterator[Make]:
    """Makes the program with an environment for one method, changed by variables; None takes one away."""
    made: list[Program] = []

    def make(method: str = "auto", **variables: str | None) -> Program:
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        program = Program(lab, home, environment(lab, method)).having(**variables)
        made.append(program)
        return program

    yield make
    for program in made:
        program.close()


@pytest.fixture(params=["qm", "socket"])
def method(request: pytest.FixtureRequest) -> str:
    """Each way of asking the agent in turn."""
    name: str = request.param
    return name
