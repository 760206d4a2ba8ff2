"""What tasks ask of a connection, in each version of Ansible, by pipelining and by files, as root and as others."""

from __future__ import annotations

from typing import Any

from conftest import BECOME_PASSWORD, FILES, PASSWORD, PIPED, SU, Ansible, came_back, forget_modules
from lab import Lab

FROM_ALICE = "setpriv --reuid=alice --regid=alice --init-groups"
"""root is never asked for a password; alice is."""
BY_PASSWORD = {
    "ansible_become": True, "ansible_become_user": "bob", "expected_user": "bob",
    "ansible_become_password": BECOME_PASSWORD,
}  # fmt: skip
HOSTS: dict[str, dict[str, Any]] = {
    "piped": {"expected_user": "root", "ansible_user": "somebody"},
    "files": {"expected_user": "root", "ansible_pipelining": False},
    "password": {**BY_PASSWORD, "ansible_become_exe": f"{FROM_ALICE} sudo"},
    # su gives the command a session of its own, and ends only the shell in it: what that runs goes on to its end.
    "su": {
        **BY_PASSWORD, "ansible_become_exe": f"{FROM_ALICE} su", "ansible_become_method": "su", "too_long": 5
    },
}


def test_tasks(ansible: Ansible, lab: Lab, contents: str) -> None:
    ansible.run("connection.yml", HOSTS, contents=contents).succeeded()
    assert came_back(ansible, contents) == HOSTS.keys()
    for vmid in (PIPED, FILES, PASSWORD, SU):
        forget_modules(lab, vmid)
