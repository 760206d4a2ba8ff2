#!/usr/bin/env python3
"""Steers the lab from within a play.

lab_ask.py CONTROL_SOCKET OPERATION [NAME=VALUE]... [-- OPERATION...]...

prints each operation's result as JSON. Besides the lab's own, ``agent_calls`` prints how many commands were started
so far and how many calls of agents there were, ``sleep`` waits for seconds=N, and ``appears`` until the guest vmid=N has
the file path=PATH.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
from typing import Any

AGENT_CALLS = ("exec", "exec-status", "file-read", "file-write", "agent-ping", "ping")


def ask(control: str, op: str, arguments: dict[str, Any]) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(control)
        connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        answer = json.loads(connection.makefile().readline())
    if not answer["ok"]:
        raise SystemExit(answer["error"])
    return answer["result"]


def await_file(control: str, vmid: int, path: str) -> None:
    look = {"vmid": vmid, "argv": ["test", "-e", path], "stdin": "", "timeout_s": 5}
    while ask(control, "guest_run", look)["exit_code"] != 0:
        time.sleep(0.1)


def main(control: str, *words: str) -> None:
    for divides, operation in itertools.groupby(words, "--".__eq__):
        if divides:
            continue
        op, *pairs = operation
        arguments: dict[str, Any] = dict(pair.split("=") for pair in pairs)
        arguments = {name: int(value) if value.isdigit() else value for name, value in arguments.items()}
        if op == "sleep":
            time.sleep(arguments["seconds"])
        elif op == "appears":
            await_file(control, **arguments)
        elif op == "agent_calls":
            requests = ask(control, "counters", {})["requests"]
            print(requests.get("exec", 0), sum(requests.get(kind, 0) for kind in AGENT_CALLS))
        else:
            print(json.dumps(ask(control, op, arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
