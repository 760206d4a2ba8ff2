"""Brings what the benchmark needs: our program, the replay client, the peer with its own Python, and files to move.

Everything is kept in build/bench, so a second run finds it there. The peer is the connection plugin
``community.proxmox.proxmox_qemu_api`` as released: its collection out of the PyPI package ``ansible``, which wants a
newer Python than Debian 12 has but is only unpacked; it runs on the ansible-core and proxmoxer that this Python gets.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import Lab

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"

_VENV = BUILD / "venv"
_COLLECTIONS = BUILD / "collections"
_PROXMOX = "ansible_collections/community/proxmox/"
_PACKAGES = ["ansible-core>=2.17,<3", "proxmoxer>=2.3,<3", "requests"]
_COLLECTION_PACKAGE = "ansible==14.*"
_COLLECTION_PYTHON = "3.13"

MIB = 1024 * 1024
_NOISE_BYTES = 64 * MIB
_TEXT_BYTES = 10 * MIB


@dataclass(frozen=True)
class PeerFiles:
    """Where the peer is."""

    python: Path
    collections: Path

    def versions(self) -> dict[str, str]:
        """What it is made of."""
        manifest = json.loads((self.collections / _PROXMOX / "MANIFEST.json").read_text())
        listed = json.loads(_output(self.python, "-m", "pip", "list", "--format=json"))
        known = {package["name"]: package["version"] for package in listed}
        return {
            "community.proxmox": manifest["collection_info"]["version"],
            **{name: known[name] for name in ("ansible-core", "proxmoxer", "requests")},
        }


def _output(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def _quietly(*command: str | Path) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout[-8000:])
        raise SystemExit(f"bench: {' '.join(map(str, command))} failed")


def packages() -> None:
    """Debian's packages to build, to run the lab and to make a venv, and the images of the lab's guests."""
    venv = [] if importlib.util.find_spec("ensurepip") else ["test"]
    _quietly(ROOT / "integration" / "install-deps", "build", "lab", *venv)
    _quietly(ROOT / "integration" / "lab" / "install.sh")


def program() -> Path:
    """pve-qga-run as packages ship it; the other programs are beside it."""
    _quietly("cmake", "-S", ROOT, "--preset", "release")
    _quietly("cmake", "--build", ROOT / "build" / "release", "--target", "pve-qga-run", "pve-qga-rsh", "pve-qga-shell")
    return ROOT / "build" / "release" / "bin" / "pve-qga-run"


def replay() -> Path:
    """The client of the raw ceiling."""
    source, build = ROOT / "integration" / "bench", BUILD / "replay"
    _quietly("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
    _quietly("cmake", "--build", build)
    return build / "replay"


def peer() -> PeerFiles:
    """The peer, from PyPI."""
    python = _VENV / "bin" / "python"
    if not (_VENV / "ready").exists():
        _quietly(sys.executable, "-m", "venv", "--clear", _VENV)
        _quietly(python, "-m", "pip", "install", "-q", *_PACKAGES)
        (_VENV / "ready").touch()
    if not (_COLLECTIONS / _PROXMOX / "MANIFEST.json").exists():
        wheels = BUILD / "wheels"
        _quietly(
            python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
            "--python-version", _COLLECTION_PYTHON, "-d", wheels, _COLLECTION_PACKAGE,
        )  # fmt: skip
        with zipfile.ZipFile(next(wheels.glob("ansible-*.whl"))) as wheel:
            wheel.extractall(_COLLECTIONS, [name for name in wheel.namelist() if name.startswith(_PROXMOX)])
    return PeerFiles(python, _COLLECTIONS)


def guest_for_peer(lab: Lab, vmids: list[int]) -> None:
    """Give guests the split(1) that the peer fetches with: busybox as Debian builds it has none."""
    split = Path("/usr/bin/split").read_bytes()
    for vmid in vmids:
        guest = lab.guest(vmid)
        if guest.run(["sh", "-c", "command -v split"]).exit_code != 0:
            guest.run(["sh", "-c", "cat >/bin/split && chmod 755 /bin/split"], split)


# ---- files to move ----


def _noise() -> bytes:
    """Bytes that nothing compresses, the same in each run."""
    return hashlib.shake_128(b"pve-qga-run").digest(_NOISE_BYTES)


def _text() -> bytes:
    """The source files of Python's standard library, one behind the other."""
    library = Path(sysconfig.get_path("stdlib"))

    def sources() -> Iterator[bytes]:
        for path in sorted(library.rglob("*.py")):
            if "site-packages" not in path.parts and "dist-packages" not in path.parts:
                yield path.read_bytes()

    text = bytearray()
    for source in sources():
        text += source
        if len(text) >= _TEXT_BYTES:
            return bytes(text[:_TEXT_BYTES])
    raise SystemExit(f"bench: {library} has less than {_TEXT_BYTES // MIB} MiB of sources")


def content(kind: str, size: int) -> Path:
    """A file of ``size`` bytes of ``random``, ``text`` or ``zeros``."""
    path = BUILD / "data" / f"{kind}-{size}"
    if not path.exists() or path.stat().st_size != size:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = bytes(size) if kind == "zeros" else _noise() if kind == "random" else _text()
        path.write_bytes(made[:size])
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
