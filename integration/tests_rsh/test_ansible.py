"""Ansible's ssh connection with pve-qga-rsh for its ssh. (pve.qga.guest does more: contrib/ansible_collections.)"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rsh import RSH, Rsh

pytestmark = pytest.mark.skipif(shutil.which("ansible") is None, reason="no ansible")


@pytest.fixture
def ansible(rsh: Rsh) -> Rsh:
    return rsh.having(
        ANSIBLE_SSH_EXECUTABLE=str(RSH), ANSIBLE_SSH_TRANSFER_METHOD="piped", ANSIBLE_SSH_USETTY="false",
        ANSIBLE_LOCALHOST_WARNING="false", ANSIBLE_PYTHON_INTERPRETER="auto_silent", ANSIBLE_NOCOLOR="true",
        LC_ALL="C.UTF-8",
    )  # fmt: skip


@pytest.mark.parametrize("pipelining", ["true", "false"])
def test_a_module_and_a_file(ansible: Rsh, there: Path, tmp_path: Path, pipelining: str, clean: None) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 100)
    run = ansible.having(ANSIBLE_PIPELINING=pipelining).tool
    done = run("ansible", "-i", "web,", "all", "-m", "copy", "-a", f"src={tmp_path}/file dest=/tmp/there/copy mode=0640")
    assert done.status == 0 and b"CHANGED" in done.stdout, (done.stdout, done.stderr)
    assert (there / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    done = run("ansible", "-i", "web,", "all", "-m", "fetch", "-a", f"src=/tmp/there/copy dest={tmp_path}/back flat=yes")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes(), (done.stdout, done.stderr)


def test_unreachable(ansible: Rsh) -> None:
    done = ansible.tool("ansible", "-i", "nosuchvm,", "all", "-m", "ping")
    assert done.status == 4 and b"UNREACHABLE" in done.stdout and b"nosuchvm" in done.stdout
