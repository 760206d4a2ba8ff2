"""A lab for pve-qga-run: a Proxmox VE API endpoint over TLS in front of real QEMU guest agents."""

from .client import GuestHandle, Lab, LabError

__all__ = ["GuestHandle", "Lab", "LabError"]
