"""exec: what the command is given arrives exactly: arguments, shell lines, environment, directory, shell."""

from __future__ import annotations

import pytest

from conftest import WEB
from lab import Lab
from program import Program

EVERY_BYTE = bytes(range(1, 256))
ODD_ARGUMENTS = [
    b"", b" ", b"-n", b"--", b"--help", b"-", b"a b", b"'", b'"', b"\\", b"$HOME", b"`id`", b"$(id)", b"*", b"~", b"!", b"#",
    b"line\nline\n", b"\n", b"\t", b"%s%d", b"\\n\\0101", b"a;b|c&d", b"\xff\xfe", b"\xc3", "汉语 ['foo bar']".encode(),
]  # fmt: skip
CHINESE = "echo 汉语; printf '%s' 'ünïcödé – 😀'"


def as_lines(arguments: list[bytes]) -> bytes:
    return b"".join(argument + b"\0" for argument in arguments)


def test_arguments_arrive_exactly(program: Program, vm: int) -> None:
    arguments = [*ODD_ARGUMENTS, EVERY_BYTE]
    result = program.exec(vm, "printf", r"%s\0", *arguments).succeeded()
    assert result.stdout == as_lines(arguments)


def test_every_byte_as_an_argument_of_its_own(program: Program, quick_vm: int) -> None:
    arguments = [bytes([byte]) for byte in EVERY_BYTE]
    assert program.exec(quick_vm, "printf", r"%s\0", *arguments).succeeded().stdout == as_lines(arguments)


def test_without_dashes_the_operand_behind_the_vm_is_the_command(program: Program) -> None:
    result = program.run("exec", str(WEB), "echo", "--cwd", "-n", "--", "x").succeeded()
    assert result.stdout == b"--cwd -n -- x\n"


def test_command_named_like_an_option(program: Program) -> None:
    program.exec(WEB, "-x").failed("-x", status=127)


def test_vm_from_the_environment(program: Program) -> None:
    assert program.having(PROXMOX_VMID="web").run("exec", "--", "echo", "web").succeeded().stdout == b"web\n"


def test_shell_line(program: Program, vm: int) -> None:
    result = program.shell(vm, "for i in 1 2 3; do echo $i; done | tail -n 2; echo \"$0\" >/dev/null").succeeded()
    assert result.stdout == b"2\n3\n"


def test_shell_line_of_every_byte(program: Program, quick_vm: int) -> None:
    text = EVERY_BYTE.replace(b"'", b"")
    assert program.shell(quick_vm, b"printf %s '" + text + b"'").succeeded().stdout == text


def test_unicode_does_not_hang_the_agent(program: Program, vm: int) -> None:
    expected = "汉语\nünïcödé – 😀".encode()
    assert program.shell(vm, CHINESE).succeeded().stdout == expected
    assert program.shell(vm, "echo still there").succeeded().stdout == b"still there\n"


def test_one_mebibyte_of_command_text(program: Program, lab: Lab, quick_vm: int) -> None:
    line = b"x='" + b"0123456789abcdef" * 65536 + b"'; echo ${#x}"
    with program.serve(vm=quick_vm) as client:
        assert client.exec_command(line[: 1024 * 1024 - 20] + b"'; echo ${#x}").stdout == b"1048553\n"
    assert lab.agents()["commands"]["guest-exec"] < 12


def test_arguments_that_fill_the_command_line(program: Program, quick_vm: int) -> None:
    arguments = ["x" * 1000] * 500
    result = program.exec(quick_vm, "sh", "-c", 'echo "$# ${#500}"', "sh", *arguments).succeeded()
    assert result.stdout == b"500 1000\n"


def test_environment(program: Program, vm: int) -> None:
    value = "a 'b' \"c\" $d `e` \\ \n 汉语\n"
    result = program.shell(vm, r'printf "%s\0" "$ONE" "$EMPTY" "${LC_ALL-none}"', f"--env=ONE={value}", "-e", "EMPTY=")
    assert result.succeeded().stdout == value.encode() + b"\0\0none\0"


def test_environment_overrides_what_a_login_has(program: Program, quick_vm: int) -> None:
    options = ["-e", "HOME=/nowhere", "-e", "PATH=/usr/bin:/bin:/x", "-e", "LC_ALL=C"]
    result = program.shell(quick_vm, 'echo "$HOME $PATH $LC_ALL"', *options)
    assert result.succeeded().stdout == b"/nowhere /usr/bin:/bin:/x C\n"


def test_environment_without_a_name(program: Program) -> None:
    program.shell(WEB, "true", "-e", "=x").failed("=x")
    program.shell(WEB, "true", "-e", "a-b=x").failed("a-b")


def test_login_environment(program: Program, vm: int) -> None:
    line = 'echo "$HOME|$USER|$LOGNAME|$PWD"; umask; command -v id >/dev/null && id -u; tty || true'
    lines = program.shell(vm, line).succeeded().stdout.decode().splitlines()
    home, user, logname, directory = lines[0].split("|")
    assert home.startswith("/") and (user, logname, directory) == ("root", "root", home)
    assert lines[1:] == ["0022", "0", "not a tty"]


def test_path_is_sane(program: Program, vm: int) -> None:
    path = program.shell(vm, 'echo "$PATH"').succeeded().stdout.decode().strip().split(":")
    assert {"/bin", "/usr/bin", "/sbin", "/usr/sbin"} <= set(path)


def test_working_directory(program: Program, vm: int) -> None:
    assert program.shell(vm, "pwd", "--cwd", "/etc").succeeded().stdout == b"/etc\n"


def test_working_directory_of_any_name(program: Program, lab: Lab, quick_vm: int) -> None:
    name = "/tmp/汉语 '\"$x\n"
    assert lab.guest(quick_vm).run(["mkdir", name]).exit_code == 0
    assert program.shell(quick_vm, "pwd", "-C", name).succeeded().stdout == f"{name}\n".encode()
    assert lab.guest(quick_vm).run(["rmdir", name]).exit_code == 0


def test_missing_working_directory(program: Program, quick_vm: int) -> None:
    program.shell(quick_vm, "echo ran", "-C", "/no/such").failed("/no/such")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_executable(program: Program, shell: str) -> None:
    line = 'echo "${BASH_VERSION:+bash}"; readlink /proc/$$/exe; :'
    lines = program.shell(WEB, line, "--executable", shell).succeeded().stdout.decode().splitlines()
    assert lines == (["bash", "/usr/bin/bash"] if shell == "/bin/bash" else ["", "/usr/bin/dash"])


def test_missing_executable(program: Program, quick_vm: int) -> None:
    program.shell(quick_vm, "echo ran", "--executable", "/no/such/sh").failed("/no/such/sh", status=127)


def test_missing_command(program: Program, vm: int) -> None:
    result = program.exec(vm, "no-such-command")
    assert (result.status, result.stdout) == (127, b"") and b"no-such-command" in result.stderr
