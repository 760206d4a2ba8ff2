"""A pytest plugin that sends the system tests' commands over SSH instead of the API:

    PYTHONPATH=integration/tests_ssh PVE_QGA_TEST_METHOD=socket pytest -p over_ssh integration/tests/test_copy.py

Tests that count the API's calls or break the API itself have nothing to say about this way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_INTEGRATION = Path(__file__).resolve().parents[1]
for _folder in (_INTEGRATION, _INTEGRATION / "client", _INTEGRATION / "tests"):
    sys.path.insert(0, str(_folder))

import lab  # noqa: E402
import program  # noqa: E402


def environment(of: lab.Lab, method: str) -> dict[str, str]:
    """What leads over SSH to a lab's nodes, as root with a key."""
    ssh = of.ssh
    return {
        "PVE_QGA_VIA": "ssh",
        "PVE_QGA_SSH_METHOD": method,
        "PROXMOX_VE_SSH_PORT": str(ssh["port"]),
        "PROXMOX_VE_SSH_KNOWN_HOSTS": ssh["known_hosts"],
        "PROXMOX_VE_SSH_PRIVATE_KEY": Path(ssh["keys"]["ed25519"]["file"]).read_text(encoding="ascii"),
    }


def pytest_configure() -> None:
    method = os.environ.get("PVE_QGA_TEST_METHOD", "socket")
    lab_init, program_init = lab.Lab.__init__, program.Program.__init__

    def with_ssh(self: lab.Lab, *args: Any, **options: Any) -> None:
        lab_init(self, *args, **{**options, "ssh": True})
        self.set_qm_start(0)

    def over_ssh(self: program.Program, of: lab.Lab, home: Path, more: Mapping[str, str] | None = None) -> None:
        program_init(self, of, home, {**environment(of, method), **(more or {})})

    lab.Lab.__init__ = with_ssh  # type: ignore[method-assign]
    program.Program.__init__ = over_ssh  # type: ignore[method-assign]
