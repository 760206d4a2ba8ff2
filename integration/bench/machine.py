"""What a run was made on and with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from lab.profiles import DEFAULT_PROFILE
from prepare import PeerFiles


def machine() -> dict[str, str | int]:
    """The machine, without its name."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[1] if model else platform.machine(),
        "system": f"Linux {platform.release().split('-')[0]}",
    }


def versions(program: Path, peer: PeerFiles) -> dict[str, str]:
    """Everything whose version matters."""
    told = {
        name: _version(command)
        for name, command in (
            ("qemu-ga", ["qemu-ga", "--version"]),
            ("QEMU", ["qemu-system-x86_64", "--version"]),
            ("OpenSSH", ["ssh", "-V"]),
        )
    }
    return {
        "pve-qga-run": _version([str(program), "--version"]),
        **peer.versions(),
        **told,
        "Python": platform.python_version(),
        "lab profile": DEFAULT_PROFILE,
    }


def _version(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else done.stdout.strip()
