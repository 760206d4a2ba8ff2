"""The versions of ansible-core that the collection is tested with.

Debian's is what administrators on Debian 12 have and the oldest that is supported; PyPI's is the newest for this
Python. The latter is kept in build/ansible, so a second run finds it there.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_VENV = ROOT / "build" / "ansible"


@dataclass(frozen=True)
class Core:
    """One ansible-core; ``bin`` is the folder of its programs."""

    name: str
    bin: Path

    def __str__(self) -> str:
        return self.name


DEBIAN = Core("debian", Path("/usr/bin"))
PYPI = Core("pypi", _VENV / "bin")
CORES = (DEBIAN, PYPI)


def prepare() -> None:
    """Gets what is missing. integration/install-deps has installed Debian's."""
    if not (DEBIAN.bin / "ansible-playbook").exists():
        raise FileNotFoundError("Debian's ansible-core is missing: integration/install-deps test")
    if not (_VENV / "ready").exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", _VENV],
            [PYPI.bin / "python", "-m", "pip", "install", "-q", "ansible-core>=2.19"],
        ):
            subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)
        (_VENV / "ready").touch()
