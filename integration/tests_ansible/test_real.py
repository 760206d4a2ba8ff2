"""The same tasks in a real Debian guest, whose port is slow; fewer of them, and in one version of Ansible."""

from __future__ import annotations

from pathlib import Path

from conftest import PYPI, REAL, Ansible, came_back, forget_modules
from lab import Lab


def test_tasks(lab: Lab, tmp_path: Path, control: Path, contents: str) -> None:
    ansible = Ansible(PYPI, lab, tmp_path, control)
    ansible.run("connection.yml", {"real": {"expected_user": "root"}}, "--tags=basic", contents=contents).succeeded()
    assert came_back(ansible, contents) == {"real"}
    forget_modules(lab, REAL)
