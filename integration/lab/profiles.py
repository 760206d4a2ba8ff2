"""What differs between Proxmox VE releases, as far as a client can see it.

A profile is the sum of the package versions a release shipped with, because the API tells only
the release (``GET /version``), never the versions of pve-http-server and qemu-server.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True)
class Profile:
    """The observable properties of one Proxmox VE release."""

    name: str
    version: str
    release: str
    repoid: str
    max_body_bytes: int
    json_bodies: bool
    command_is_array: bool
    message_in_body: bool
    guest_agent_privileges: bool
    file_read_ranges: bool


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("pve7", "7.4-19", "7.4", "f98bf8d4", 64 * KIB, False, False, False, False, False),
        Profile("pve8.0-old", "8.0.4", "8.0", "d258a813cfa6b390", 64 * KIB, True, True, False, False, False),
        Profile("pve8", "8.4.1", "8.4", "2a5fa54a8503f96d", 512 * KIB, True, True, True, False, False),
        Profile("pve9.0", "9.0.3", "9.0", "025864202ebb6109", 512 * KIB, True, True, True, True, False),
        Profile("pve9.2", "9.2.4", "9.2", "5e4f1b0c7d2a9e63", 512 * KIB, True, True, True, True, True),
    )
}

DEFAULT_PROFILE = "pve9.2"
