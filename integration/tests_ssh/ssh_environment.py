"""What leads the program over SSH to a lab's nodes."""

from __future__ import annotations

from pathlib import Path

from lab import Lab


def environment(lab: Lab, method: str) -> dict[str, str]:
    """As root with a key."""
    ssh = lab.ssh
    return {
        "PVE_QGA_VIA": "ssh",
        "PVE_QGA_SSH_METHOD": method,
        "PROXMOX_VE_SSH_PORT": str(ssh["port"]),
        "PROXMOX_VE_SSH_KNOWN_HOSTS": ssh["known_hosts"],
        "PROXMOX_VE_SSH_PRIVATE_KEY": Path(ssh["keys"]["ed25519"]["file"]).read_text(encoding="ascii"),
    }
