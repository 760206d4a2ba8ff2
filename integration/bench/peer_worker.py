"""The peer at work: ``community.proxmox.proxmox_qemu_api``'s own Connection class, without a playbook around it.

    python peer_worker.py COLLECTIONS      (the Python that has ansible-core)

Reads one JSON request per line, {"method": "exec_command" | "put_file" | "fetch_file", "vmid", "arguments": [...]}, and
answers each by a line: {"seconds": S}, the time of the method's call alone, or {"error": TEXT}. Where the API is comes
from the environment, in the plugin's own variables; PROXMOX_NODE is the node of all VMs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader

PLUGIN = "community.proxmox.proxmox_qemu_api"


def connection_to(vmid: int) -> Any:
    """A connection of the plugin, with the options that an inventory would give it."""
    connection = connection_loader.get(PLUGIN, PlayContext())
    connection.set_options(var_options={"proxmox_vmid": vmid})
    return connection


def carry_out(connection: Any, method: str, arguments: list[str]) -> dict[str, Any]:
    """One timed call."""
    begin = time.perf_counter()
    try:
        result = getattr(connection, method)(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the plugin raises is a result of the benchmark
        return {"error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - begin
    if method == "exec_command" and result[0] != 0:
        return {"error": f"exit status {result[0]}"}
    return {"seconds": seconds}


def main() -> None:
    # What ansible prints goes to stderr; stdout is for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    init_plugin_loader([sys.argv[1]])
    connections: dict[int, Any] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        vmid = asked["vmid"]
        if vmid not in connections:
            connections[vmid] = connection_to(vmid)
        print(json.dumps(carry_out(connections[vmid], asked["method"], asked["arguments"])), file=answers)


if __name__ == "__main__":
    main()
