"""exec: stdout and stderr arrive whole, exact, apart and while the command runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import WEB
from lab import Lab
from noise import write_noise
from program import MEMORY_LIMIT_KIB, Program, ended, finish, until

EVERY_BYTE = bytes(range(256))

TWICE = "cat >/tmp/system-test-input; cat /tmp/system-test-input; cat /tmp/system-test-input >&2; rm /tmp/system-test-input"
"""What comes in goes out on both streams."""


def test_streams_are_separate(program: Program, vm: int) -> None:
    result = program.shell(vm, "echo out; echo err >&2; echo out2; echo err2 >&2; exit 4")
    assert (result.status, result.stdout, result.stderr) == (4, b"out\nout2\n", b"err\nerr2\n")


def test_every_byte_on_both_streams(program: Program, vm: int) -> None:
    result = program.shell(vm, TWICE, stdin=EVERY_BYTE * 3)
    assert (result.status, result.stdout, result.stderr) == (0, EVERY_BYTE * 3, EVERY_BYTE * 3)


def test_no_output(program: Program, vm: int) -> None:
    assert program.shell(vm, ":").succeeded().stdout == b""


def test_output_that_looks_like_ours(program: Program, quick_vm: int) -> None:
    text = b"\npq1 end 7 0 - - inline=1\n" * 3 + b"pq1 lost 1"
    result = program.shell(quick_vm, "cat; exit 3", stdin=text)
    assert (result.status, result.stdout) == (3, text)


def test_sizes_around_what_one_answer_takes(program: Program, quick_vm: int) -> None:
    data = bytes(i * i % 251 for i in range(200_000))
    with program.serve(vm=quick_vm) as client:
        for size in (1, 4095, 4096, 4097, 65535, 65536, 65537, 131073, 200_000):
            result = client.exec_command(TWICE, stdin=data[:size], live=size % 2 == 0)
            assert (result.stdout, result.stderr) == (data[:size], data[:size]), size


def test_one_mebibyte_on_each_guest(program: Program, vm: int) -> None:
    line = "x() { head -c 1048576 /dev/zero | tr '\\0' x; }; x; x >&2"
    result = program.shell(vm, line)
    assert (result.status, result.stdout, result.stderr) == (0, b"x" * 1024 * 1024, b"x" * 1024 * 1024)


def test_output_is_live(program: Program, vm: int) -> None:
    """A line is seen before the command ends: what ends the command is sent only then."""
    line = "echo first; echo problem >&2; read answer; echo \"second $answer\""
    with ended(program.start("exec", "--shell", line, str(vm), stdin=subprocess.PIPE)) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == b"first\n"
        assert process.stderr.readline() == b"problem\n"
        process.stdin.write(b"go\n")
        assert process.stdout.readline() == b"second go\n"
        assert finish(process).status == 0


def test_output_of_background_children_before_the_end(program: Program, quick_vm: int) -> None:
    result = program.shell(quick_vm, "{ echo child; } & wait; echo parent").succeeded()
    assert result.stdout == b"child\nparent\n"


def test_reader_that_goes_away(program: Program, lab: Lab) -> None:
    """As behind `| head`: the command in the guest ends, and so do we."""
    with ended(program.start("exec", "--shell", "yes", str(WEB))) as process:
        assert process.stdout
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        process.stdout = None
        finish(process).failed("stdout")
    until(lambda: not lab.guest(WEB).processes(), "nothing runs in the guest")


def test_slow_reader(program: Program) -> None:
    """The pipe is full long before the output ends, so we wait for the reader without losing anything."""
    with ended(program.start("exec", "--shell", "seq 1 400000; echo end >&2", str(WEB))) as process:
        assert process.stdout
        head = process.stdout.read(1)
        result = finish(process)
    expected = "".join(f"{number}\n" for number in range(1, 400_001)).encode()
    assert head + result.stdout == expected and result.stderr == b"end\n"


def test_closed_stdout(program: Program) -> None:
    result = program.run("exec", "--shell", "echo unheard; exit 7", str(WEB), preexec_fn=lambda: os.close(1))
    assert result.status in (7, 255) and result.stdout == b""


def test_100_mebibytes_in_constant_memory(
    program: Program, lab: Lab, remote: Callable[[int], str], tmp_path: Path
) -> None:
    lab.set_pace(False)
    source = lab.guest(WEB).path(f"{remote(WEB)}/data")
    digest = write_noise(source, 100)
    with (tmp_path / "copy").open("wb") as copy:
        result = program.measure("exec", str(WEB), "cat", f"{remote(WEB)}/data", stdout=copy)
    assert (result.status, result.stderr) == (0, b"")
    with (tmp_path / "copy").open("rb") as copy:
        assert hashlib.file_digest(copy, "sha256").hexdigest() == digest
    assert result.peak_kib < MEMORY_LIMIT_KIB
