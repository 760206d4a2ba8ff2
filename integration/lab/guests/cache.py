"""Where built images are kept: ``$PVE_QGA_LAB_CACHE``, or ``~/.cache/pve-qga-lab``.

The name of what is in it depends on the files that it was made from, so that nothing has to be invalidated.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .base import GuestError


def cache_dir() -> Path:
    """Where the images are kept."""
    given = os.environ.get("PVE_QGA_LAB_CACHE")
    path = Path(given) if given else Path.home() / ".cache" / "pve-qga-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def stamp(*files: Path) -> str:
    """A name for what is made from these files as they are now."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One builder at a time, since tests may start several labs at once."""
    with open(cache_dir() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A directory that takes the target's name once it is complete."""
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield staging
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def output(*command: str, cwd: str | None = None) -> str:
    """What a command prints; it must succeed."""
    try:
        done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GuestError(f"{command[0]} failed: {getattr(error, 'stderr', '') or error}") from None
    return done.stdout
