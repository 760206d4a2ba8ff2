"""A pytest plugin that sends the system tests' commands over SSH instead of the API:

    PYTHONPATH=integration/tests_ssh PVE_QGA_TEST_METHOD=socket pytest -p over_ssh integration/tests/test_copy.py

The method is ``socket`` or ``qm``. Tests marked ``ways`` that do not name it are left out: they count the API's calls, or
break them. A planned fault of the API's ``exec`` and the like is one of the same call of ``qm``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_INTEGRATION = Path(__file__).resolve().parents[1]
for _folder in (_INTEGRATION, _INTEGRATION / "client", _INTEGRATION / "tests"):
    sys.path.insert(0, str(_folder))

import lab  # noqa: E402
import program  # noqa: E402
from ssh_environment import environment  # noqa: E402

METHOD = os.environ.get("PVE_QGA_TEST_METHOD", "socket")
_CALLS_OF_QM = {"exec": "qm-exec", "exec-status": "qm-exec-status", "ping": "qm-cmd", "*": "*"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not all(METHOD in mark.args for mark in item.iter_markers("ways"))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_configure() -> None:
    lab_init, lab_fault, program_init = lab.Lab.__init__, lab.Lab.fault, program.Program.__init__

    def with_ssh(self: lab.Lab, *args: Any, **options: Any) -> None:
        lab_init(self, *args, **{**options, "ssh": True})
        self.set_qm_start(0)

    def fault_of_qm(self: lab.Lab, kind: str, action: str, **fields: Any) -> int:
        assert METHOD == "qm", "nothing breaks calls to the agents' sockets"
        return lab_fault(self, _CALLS_OF_QM[kind], action, **fields)

    def over_ssh(self: program.Program, of: lab.Lab, home: Path, more: Mapping[str, str] | None = None) -> None:
        program_init(self, of, home, {**environment(of, METHOD), **(more or {})})

    lab.Lab.__init__ = with_ssh  # type: ignore[method-assign]
    lab.Lab.fault = fault_of_qm  # type: ignore[method-assign]
    program.Program.__init__ = over_ssh  # type: ignore[method-assign]
