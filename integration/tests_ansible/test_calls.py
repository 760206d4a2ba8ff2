"""How many calls of agents a task takes when the program is shared and knows the guest."""

from __future__ import annotations

import re
from collections import defaultdict

from conftest import Ansible

MOST_EXECS = {"ping": 1, "command": 1, "stat": 1, "copy": 6}
MOST_CALLS = {"ping": 4, "command": 4, "stat": 4, "copy": 12}


TRIES = 4
"""On a busy machine some commands are asked about once more, so the least of several runs counts; execs are exact."""


def test_calls_per_task(ansible: Ansible) -> None:
    execs: dict[str, int] = defaultdict(int)
    calls: dict[str, int] = defaultdict(lambda: 1000)

    def too_many() -> dict[str, int]:
        return {task: calls[task] for task, most in MOST_CALLS.items() if calls[task] > most}

    for _ in range(TRIES):
        output = ansible.run("calls.yml", {"piped": {}}).succeeded().output
        for task, exec_count, call_count in re.findall(r"calls of (\w+): (\d+) exec, (\d+) in all", output):
            execs[task] = max(execs[task], int(exec_count))
            calls[task] = min(calls[task], int(call_count))
        if not too_many():
            break
    assert {task: count for task, count in MOST_EXECS.items() if not 0 < execs[task] <= count} == {}, execs
    assert too_many() == {}
