"""exec: stdin reaches the command exactly, however it comes and however little of it is wanted."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from conftest import WEB
from lab import Lab
from noise import noise, write_noise
from program import MEMORY_LIMIT_KIB, Program, ended, finish

MIB = 1024 * 1024


def test_none(program: Program, vm: int) -> None:
    assert program.shell(vm, "wc -c", stdin=None).succeeded().stdout.strip() == b"0"
    assert program.shell(vm, "wc -c", stdin=b"").succeeded().stdout.strip() == b"0"


def test_no_stdin_option(program: Program) -> None:
    assert program.shell(WEB, "wc -c", "--no-stdin", stdin=b"unread").succeeded().stdout.strip() == b"0"


def test_no_stdin_leaves_ours_alone(program: Program) -> None:
    """As in `while read line; do pve-qga-run exec -n ...; done`."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink, os.fdopen(reading, "rb") as source:
        sink.write(b"next line\n")
        sink.close()
        program.shell(WEB, "true", "-n", stdin=source).succeeded()
        assert source.read() == b"next line\n"


def test_binary(program: Program, vm: int) -> None:
    data = bytes(range(256)) * 16
    assert program.shell(vm, "cat", stdin=data).succeeded().stdout == data


def test_one_mebibyte(program: Program, vm: int) -> None:
    data = noise(MIB)
    assert program.shell(vm, "cat", stdin=data).succeeded().stdout == data


def test_sizes_around_what_one_call_takes(program: Program, quick_vm: int) -> None:
    data = noise(450_000)
    with program.serve(vm=quick_vm) as client:
        for size in (65535, 65536, 65537, 131071, 389_119, 389_120, 389_121, 450_000):
            assert client.exec_command("cat", stdin=data[:size]).stdout == data[:size], size


def test_streamed_from_a_pipe_that_stays_open(program: Program, lab: Lab) -> None:
    """10 MiB go in and come out while stdin is open: nothing waits for its end."""
    data = noise(10 * MIB)
    with ended(program.start("exec", str(WEB), "cat", stdin=subprocess.PIPE)) as process:
        assert process.stdin and process.stdout
        sink = process.stdin
        writer = threading.Thread(target=lambda: write_all(sink.fileno(), data), daemon=True)
        writer.start()
        assert read_exactly(process.stdout.fileno(), len(data)) == data
        writer.join()
        assert process.poll() is None
        assert finish(process).status == 0


def test_conversation(program: Program, vm: int) -> None:
    """Each line is answered before the next one is written."""
    with ended(program.start("exec", "--shell", 'while read x; do echo "<$x>"; done', str(vm), stdin=subprocess.PIPE)) as process:
        assert process.stdin and process.stdout
        for word in (b"one", b"two", b"three"):
            process.stdin.write(word + b"\n")
            assert process.stdout.readline() == b"<" + word + b">\n"
        assert finish(process).status == 0


def test_command_that_reads_a_part(program: Program, quick_vm: int) -> None:
    data = b"first line\n" + noise(3 * MIB)
    result = program.shell(quick_vm, "read line; echo \"$line\"; exit 5", stdin=data)
    assert (result.status, result.stdout, result.stderr) == (5, b"first line\n", b"")


def test_command_that_reads_nothing_of_an_endless_stdin(program: Program, quick_vm: int) -> None:
    with open("/dev/zero", "rb") as zero:
        assert program.shell(quick_vm, "echo done", stdin=zero).succeeded().stdout == b"done\n"


def test_command_that_ends_while_stdin_stays_open(program: Program, vm: int) -> None:
    with ended(program.start("exec", str(vm), "echo", "done", stdin=subprocess.PIPE)) as process:
        assert process.stdout
        assert process.stdout.read() == b"done\n"
        assert process.wait() == 0


def test_slow_command(program: Program, lab: Lab, remote: Callable[[int], str]) -> None:
    """The command waits for a file before it reads on; by then all room on the way is full."""
    data = noise(8 * MIB)
    line = f"head -c 1000 | wc -c; while ! [ -e {remote(WEB)}/go ]; do sleep 0.01; done; wc -c; sha256sum </dev/null >&2"
    with ended(program.start("exec", "--shell", line, str(WEB), stdin=subprocess.PIPE)) as process:
        assert process.stdin and process.stdout
        sink = process.stdin
        writer = threading.Thread(target=lambda: (write_all(sink.fileno(), data), sink.close()), daemon=True)
        writer.start()
        assert process.stdout.readline() == b"1000\n"
        assert writer.is_alive(), "8 MiB do not fit on the way"
        lab.guest(WEB).path(f"{remote(WEB)}/go").touch()
        rest = int(process.stdout.readline())
        writer.join()
        process.stdin = None
        assert finish(process).status == 0
    assert 0 < rest <= len(data) - 1000, "head may have read more than it printed"


def test_two_processes_at_once(program: Program, vm: int) -> None:
    data = [noise(100_000), noise(100_000)[::-1]]
    both = [program.start("exec", str(vm), "cat", stdin=subprocess.PIPE) for _ in data]
    with ended(both[0]), ended(both[1]):
        threads = []
        results: dict[int, tuple[bytes, bytes]] = {}
        for number, process in enumerate(both):

            def talk(number: int = number, process: subprocess.Popen[bytes] = process) -> None:
                results[number] = process.communicate(data[number])

            threads.append(threading.Thread(target=talk))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [process.returncode for process in both] == [0, 0]
    assert [results[number][0] for number in range(2)] == data


def test_100_mebibytes_in_constant_memory(program: Program, lab: Lab, tmp_path: Path) -> None:
    lab.set_pace(False)
    digest = write_noise(tmp_path / "data", 100)
    with (tmp_path / "data").open("rb") as data:
        result = program.measure("exec", str(WEB), "sha256sum", stdin=data)
    assert result.succeeded().stdout.split()[0].decode() == digest
    assert result.peak_kib < MEMORY_LIMIT_KIB


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(descriptor: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := os.read(descriptor, count - len(data))):
        data += piece
    return bytes(data)
