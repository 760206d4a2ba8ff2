"""Who cannot be reached is reported so, with what to do about it."""

from __future__ import annotations

import socket
from typing import Any

from conftest import OFF, SILENT, Ansible
from lab import Lab


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def hosts(lab: Lab) -> dict[str, dict[str, Any]]:
    port = free_port()
    by_password = {
        "proxmox_api_token_id": "", "proxmox_api_token_secret": "", "proxmox_api_user": "root@pam",
        "proxmox_api_password": "CANARY-not-the-password",
    }  # fmt: skip
    said: dict[str, tuple[str, dict[str, Any]]] = {
        "off": ("is not running; start the VM", {}),
        "by-id": ("is not running; start the VM", {"proxmox_vmid": OFF}),
        "silent": ("qemu-guest-agent", {"proxmox_vmid": SILENT, "proxmox_connect_timeout": 1}),
        "port": (f"{port}.*proxmox_api_port", {"proxmox_api_port": port}),
        "nobody": ("nobody.*proxmox_vmid", {}),
        "token": ("proxmox_api_token_id", {"proxmox_api_token_secret": "CANARY-not-the-secret"}),
        "password": ("proxmox_api_password", by_password),
        "node": ("proxmox_node", {"proxmox_vmid": OFF, "proxmox_node": "pve9"}),
        "other-ca": ("proxmox_fingerprint", {"proxmox_ca_file": "/etc/ssl/certs/ca-certificates.crt"}),
        "pinned": ("proxmox_fingerprint", {"proxmox_fingerprint": ":".join(["AB"] * 32)}),
    }
    failed: dict[str, tuple[str, dict[str, Any]]] = {
        "program": ("proxmox_qga_program", {"proxmox_qga_program": "/nowhere/pve-qga-run"}),
        "option": ("proxmox_", {"proxmox_fingerprint": "that is none"}),
    }
    return {
        name: {**variables, "expected": expected, "unreachable": unreachable}
        for unreachable, group in ((True, said), (False, failed))
        for name, (expected, variables) in group.items()
    }


def test_messages(ansible: Ansible, lab: Lab) -> None:
    run = ansible.run("unreachable.yml", hosts(lab)).succeeded()
    assert "CANARY" not in run.output


def test_nothing_was_done(ansible: Ansible, lab: Lab) -> None:
    """A server that cannot be trusted or does not know us is not asked for anything."""
    wrong = {name: host for name, host in hosts(lab).items() if name in ("other-ca", "pinned", "token")}
    ansible.run("unreachable.yml", wrong).succeeded()
    assert not lab.counters()["acts"]
