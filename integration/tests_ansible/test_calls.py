"""How many calls of agents a task takes when the program is shared and knows the guest."""

from __future__ import annotations

import re

from conftest import Ansible

MOST = {"ping": 4, "command": 4, "stat": 4, "copy": 12}


def test_calls_per_task(ansible: Ansible) -> None:
    output = ansible.run("calls.yml", {"piped": {}}).succeeded().output
    calls = {task: int(number) for task, number in re.findall(r"calls of (\w+): (\d+)", output)}
    assert calls.keys() == MOST.keys()
    assert {task: number for task, number in calls.items() if number > MOST[task]} == {}, calls
