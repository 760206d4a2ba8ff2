"""exec: how a command ended, and that what it leaves running is left alone."""

from __future__ import annotations

import pytest

from conftest import ALPINE, BASH, WEB
from lab import Lab
from program import Program, commands_named, until

SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "SEGV": 11, "PIPE": 13, "TERM": 15}


@pytest.mark.parametrize("status", [0, 1, 2, 3, 123, 124, 126, 127, 128, 129, 143, 254, 255])
def test_exit_status_is_the_commands(program: Program, status: int) -> None:
    result = program.shell(WEB, f"exit {status}")
    assert (result.status, result.stdout, result.stderr) == (status, b"", b"")


def test_exit_status_in_each_guest(program: Program, vm: int) -> None:
    assert program.shell(vm, "exit 42").status == 42


@pytest.mark.ways("api", "socket", why="qm would take minutes")
def test_every_exit_status(program: Program, quick_vm: int) -> None:
    with program.serve(vm=quick_vm) as client:
        requests = [client.start_command(f"exit {status}", live=False) for status in range(256)]
        results = [request.result() for request in requests]
    assert [(result.exit_code, result.signal) for result in results] == [(status, None) for status in range(256)]


DEAF: dict[int, set[str]] = {WEB: set(), BASH: {"QUIT"}, ALPINE: {"INT", "QUIT"}}
"""Signals that do not end a shell: bash ignores QUIT; for background jobs of busybox ash nothing brings them back."""


def test_signals_are_named(program: Program, quick_vm: int) -> None:
    signals = {name: number for name, number in SIGNALS.items() if name not in DEAF[quick_vm]}
    with program.serve(vm=quick_vm) as client:
        ends = {name: client.exec_command(f"kill -{name} $$; exit 99") for name in signals}
        exit_143 = client.exec_command("exit 143")
    assert {name: (end.exit_code, end.signal) for name, end in ends.items()} == {
        name: (128 + number, name) for name, number in signals.items()
    }
    assert (exit_143.exit_code, exit_143.signal) == (143, None)


def test_signal_on_a_slow_guest(program: Program, vm: int) -> None:
    with program.serve(vm=vm) as client:
        end = client.exec_command("echo out; kill -SEGV $$")
    assert (end.exit_code, end.signal, end.stdout) == (139, "SEGV", b"out\n")


def test_signal_as_exit_status(program: Program) -> None:
    program.shell(WEB, "kill -KILL $$").failed("signal KILL", status=137)
    program.shell(WEB, "kill -TERM $$").failed("signal TERM", status=143)
    silent = program.shell(WEB, "kill -TERM $$", "--quiet")
    assert (silent.status, silent.stderr) == (143, b"")


def test_background_process_does_not_hold_the_command(program: Program, lab: Lab, vm: int) -> None:
    before = set(commands_named(lab.guest(vm).processes(), "sleep"))
    assert program.shell(vm, "sleep 1000 & echo started").succeeded().stdout == b"started\n"
    left = set(commands_named(lab.guest(vm).processes(), "sleep")) - before
    assert len(left) == 1, "the background process is left alone"
    lab.guest(vm).run(["kill", *map(str, left)])
    until(lambda: not left & set(commands_named(lab.guest(vm).processes(), "sleep")), "the background process ends")


def test_kill_0_does_not_reach_the_agent(program: Program, vm: int) -> None:
    with program.serve(vm=vm) as client:
        end = client.exec_command("kill -TERM 0; sleep 100")
        assert (end.exit_code, end.signal) == (143, "TERM")
        assert client.exec_command("echo alive").stdout == b"alive\n"


def test_interrupts_are_not_ignored_in_the_command(program: Program, quick_vm: int) -> None:
    """A shell starts its background jobs with INT and QUIT ignored, which nothing below could undo."""
    result = program.shell(quick_vm, "grep SigIgn /proc/self/status").succeeded()
    ignored = int(result.stdout.split()[1], 16)
    expected = 0 if quick_vm != ALPINE else ignored & 0b110
    assert ignored & 0b110 == expected


def test_descriptors_of_the_command(program: Program, quick_vm: int) -> None:
    """Three, as everywhere; a fourth belongs to ls, which reads the directory."""
    assert program.exec(quick_vm, "ls", "/proc/self/fd").succeeded().stdout.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("vmid", [WEB, BASH])
def test_own_session(program: Program, vmid: int) -> None:
    result = program.shell(vmid, "cut -d' ' -f1,5,6 /proc/$$/stat").succeeded()
    pid, group, session = result.stdout.split()
    assert pid == group == session
