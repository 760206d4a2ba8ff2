"""A call that the client has given up and the node acts on all the same, later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import WEB
from lab import Lab
from program import Program, until

pytestmark = pytest.mark.ways("api", why="delays calls of the API")


@pytest.mark.parametrize("delay_s", [2, 4, 8])
def test_late_exec(program: Program, lab: Lab, remote: Callable[[int], str], delay_s: float) -> None:
    """Whether what came of its repetition is still there by then or was cleaned up."""
    runs = lab.guest(WEB).path(remote(WEB)) / "runs"
    lab.fault("exec", "delay", delay_s=delay_s, nth=1)
    result = program.run("exec", "--call-timeout=1", "--shell", f"echo x >>{remote(WEB)}/runs; echo out", str(WEB))
    assert (result.status, result.stdout) == (0, b"out\n")
    until(lambda: lab.agents()["commands"]["guest-exec"] >= 3, "the late call has come, too")
    until(lambda: not lab.guest(WEB).run(["sh", "-c", "ls -d /tmp/.pve-qga-run-*"]).stdout, "the guest is clean", 60)
    assert runs.read_text() == "x\n"
