"""Notes what the lab has counted when each task of a playbook starts, and at its end.

One JSON line each, {"task": NAME or null at the end, "at": SECONDS, "calls": {KIND: NUMBER}}, goes to the file that
$BENCH_TASKS names; $BENCH_LAB_CONTROL is the lab's control socket.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lab_counters
type: aggregate
short_description: calls of each task, as the lab counted them
description: Part of the benchmark of pve-qga-run.
"""


class CallbackModule(CallbackBase):
    """Runs in Ansible's main process, between the tasks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_counters"

    def __init__(self) -> None:
        super().__init__()
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.connect(os.environ["BENCH_LAB_CONTROL"])
        self._lab = control.makefile("rwb", buffering=0)
        self._notes = open(os.environ["BENCH_TASKS"], "w", encoding="utf-8")

    def _note(self, name: str | None) -> None:
        self._lab.write(b'{"op": "counters"}\n')
        counters = json.loads(self._lab.readline())["result"]
        note = {"task": name, "at": time.monotonic(), "calls": counters["requests"]}
        self._notes.write(json.dumps(note) + "\n")
        self._notes.flush()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._note(task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._note(None)
