"""Credentials, passwords and what tasks carry appear nowhere: not in what is printed, on command lines or on disk."""

from __future__ import annotations

from pathlib import Path

from conftest import BECOME_PASSWORD, PASSWORD, Ansible, finish
from lab import Lab
from program import until
from test_connection import HOSTS

CANARY = b"CANARY"


def command_lines() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes())
        except OSError:
            pass  # it has ended
    return found


def test_nowhere(ansible: Ansible, lab: Lab) -> None:
    assert BECOME_PASSWORD.startswith(CANARY.decode())
    run = ansible.start("secrets.yml", {"password": HOSTS["password"]}, "-vvvvvv")
    try:
        guest = lab.guest(PASSWORD)
        until(lambda: guest.run(["test", "-e", "/tmp/seen"]).exit_code == 0 or run.poll() is not None, "the look", 60)
        lines = command_lines()
        assert any(b"pve-qga-run" in line for line in lines)
        assert [line for line in lines if CANARY in line] == []
    finally:
        guest.run(["rm", "-f", "/tmp/seen"])
        done = finish(run)
    done.succeeded()
    assert CANARY.decode() not in done.output
    # The inventory of the test itself has the password.
    files = [path for path in ansible.home.rglob("*") if path.is_file() and path.name != "inventory.json"]
    assert [path for path in files if CANARY in path.read_bytes()] == []
