from __future__ import annotations

import typing as t

import pytest

from ansible_collections.pve.qga.plugins.plugin_utils.become import BecomeDialog, password_error

SUCCESS = b"BECOME-SUCCESS-abc\n"
PROMPT = b"[sudo via ansible, key=abc] password:"


class Sudo:
    """What the dialog needs of Ansible's become plugins, as sudo's is."""

    name = "sudo"
    success = "BECOME-SUCCESS-abc"

    def __init__(self, password: t.Optional[str] = "secret") -> None:
        self.password = password

    def get_option(self, name: str) -> t.Optional[str]:
        return self.password

    def check_password_prompt(self, output: bytes) -> bool:
        return output.strip().startswith(PROMPT)

    def check_incorrect_password(self, output: bytes) -> bool:
        return b"Sorry, try again." in output

    def check_missing_password(self, output: bytes) -> bool:
        return b"a password is required" in output


def talk(*arrivals: t.Tuple[bytes, bytes]) -> t.Tuple[t.List[bytes], bytes, bytes, bool, t.Optional[str]]:
    """The answers, what is left of stdout and stderr, and how it ended, after these arrivals of stdout and stderr."""
    dialog, stdout, stderr, answers, problem = BecomeDialog(Sudo(), b"secret"), bytearray(), bytearray(), [], None
    for out, err in arrivals:
        stdout += out
        stderr += err
        if dialog.succeeded or problem:
            continue
        problem = dialog.advance(stdout, stderr)
        if dialog.answer:
            answers.append(dialog.take_answer())
    return answers, bytes(stdout), bytes(stderr), dialog.succeeded, problem


def test_asked_and_accepted() -> None:
    arrivals = ((b"", b"a lecture\n"), (b"", PROMPT), (SUCCESS + b"out", b"err\n"), (b"put", b""))
    assert talk(*arrivals) == ([b"secret\n"], b"output", b"err\n", True, None)


def test_not_asked() -> None:
    assert talk((SUCCESS, b"sudo: a remark\n")) == ([], b"", b"sudo: a remark\n", True, None)


def test_in_single_bytes() -> None:
    arrivals = [(b"", bytes([byte])) for byte in PROMPT] + [(bytes([byte]), b"") for byte in SUCCESS + b"x"]
    assert talk(*arrivals) == ([b"secret\n"], b"x", b"", True, None)


@pytest.mark.parametrize("complaint", [b"Sorry, try again.\n" + PROMPT, b"\n" + PROMPT])
def test_refused(complaint: bytes) -> None:
    answers, _, _, succeeded, problem = talk((b"", PROMPT), (b"", complaint))
    assert (answers, succeeded, problem) == ([b"secret\n"], False, "Incorrect sudo password")


def test_password_error() -> None:
    wanted = "sudo wants a password (ansible_become_password)"
    assert password_error(Sudo(None), b"sudo: a password is required") == wanted
    assert password_error(Sudo(None), b"Sorry, try again.") == wanted
    assert password_error(Sudo(), b"Sorry, try again.") == "Incorrect sudo password"
    assert password_error(Sudo(), b"no such file") is None
