"""One way to look at an error that must come before anything happens in a guest."""

from __future__ import annotations

import pytest

from conftest import WEB
from program import FAILURE, Program
from pve_qga_client import Error


def refused(
    program: Program, code: str, *words: str, vm: int | str = WEB, status: int = FAILURE, **options: str
) -> None:
    """The same trouble on the command line, where it is one line, and in serve, where it has a code and no effect."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    result = program.run("exec", *given, str(vm), "echo", "ran").failed(*words, status=status)
    assert result.stdout == b""
    with program.serve() as client, pytest.raises(Error) as raised:
        client.exec_command("echo ran", vm=vm, options=options)
    assert (raised.value.code, raised.value.effect) == (code, "none"), raised.value
