"""Builds what guests boot from, once, into a cache: a busybox tree, a kernel, an initramfs.

Everything comes from the machine's own Debian packages and its package archive; nothing is installed. The
cache is ``$PVE_QGA_LAB_CACHE`` or ``~/.cache/pve-qga-lab``; what is in it depends on the files it was made from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .base import GuestError

_KERNEL_PACKAGE = "linux-image-cloud-amd64"
_AGENT = Path("/usr/sbin/qemu-ga")
_INIT = Path(__file__).with_name("initramfs-init.sh")
_AGENTCTL = Path(__file__).with_name("agentctl.sh")
# In the order in which they must be loaded.
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_console",
    "loop",
)
_DIRECTORIES = (
    "proc",
    "sys",
    "dev",
    "tmp",
    "var/tmp",
    "run",
    "etc",
    "root",
    "srv",
    "usr/bin",
    "usr/sbin",
    "lib/modules",
    "disk",
)


@dataclass(frozen=True)
class BootFiles:
    """What QEMU is given."""

    kernel: Path
    initramfs: Path


def cache_dir() -> Path:
    """Where the images are kept."""
    given = os.environ.get("PVE_QGA_LAB_CACHE")
    path = Path(given) if given else Path.home() / ".cache" / "pve-qga-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def busybox_tree() -> Path:
    """A root directory with every busybox applet, ``qemu-ga`` and its libraries."""
    busybox = Path(_require("busybox"))
    tree = cache_dir() / f"busybox-{_stamp(busybox, _AGENT, Path(__file__))}"
    with _locked():
        if not tree.exists():
            with _staged(tree) as staging:
                _fill_tree(staging, busybox)
    return tree


def boot_files() -> BootFiles:
    """A kernel and an initramfs that starts the agent on a virtio-serial port."""
    tree = busybox_tree()
    with _locked():
        kernel = _kernel()
        initramfs = (
            cache_dir() / f"initramfs-{_stamp(_INIT, _AGENTCTL, Path(__file__), kernel / 'vmlinuz')}-{tree.name}.cpio"
        )
        if not initramfs.exists():
            staging = initramfs.with_suffix(".tmp")
            with staging.open("wb") as out:
                _write_archive(out, tree, kernel)
            staging.rename(initramfs)
    return BootFiles(kernel / "vmlinuz", initramfs)


def build_all() -> str:
    """Build everything; returns where it is."""
    boot_files()
    return str(cache_dir())


def _require(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise GuestError(f"{program} is not installed; see install.sh")
    return found


def _stamp(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One builder at a time, since tests may start several labs at once."""
    with open(cache_dir() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A directory that takes the target's name once it is complete."""
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield staging
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fill_tree(tree: Path, busybox: Path) -> None:
    for directory in _DIRECTORIES:
        (tree / directory).mkdir(parents=True, exist_ok=True)
    target = tree / "bin" / "busybox"
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(busybox, target)
    for applet in _output(str(busybox), "--list-full").split():
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    if not (tree / "bin/sh").exists():
        (tree / "bin/sh").symlink_to("/bin/busybox")
    shutil.copy2(_AGENT, tree / "usr/sbin/qemu-ga")
    for library in re.findall(r"(/\S+)", _output("ldd", str(_AGENT))):
        copy = tree / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(library), copy)
    (tree / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (tree / "etc/os-release").write_text('ID=busybox\nNAME=BusyBox\nPRETTY_NAME="BusyBox lab guest"\n')
    (tree / "etc/hostname").write_text("busybox\n")


def _kernel() -> Path:
    """A directory with ``vmlinuz`` and the modules that a virtio-serial port needs."""
    for ready in sorted(cache_dir().glob("kernel-*"), reverse=True):
        if all((ready / f"{module}.ko").exists() for module in _MODULES):
            return ready
    depends = _output("apt-cache", "depends", _KERNEL_PACKAGE)
    match = re.search(r"Depends: (linux-image-\S+)", depends)
    if not match:
        raise GuestError(f"the package archive has no {_KERNEL_PACKAGE}; run apt-get update")
    package = match[1]
    target = cache_dir() / package.replace("linux-image", "kernel")
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch, _staged(target) as staging:
        os.chmod(scratch, 0o755)
        _output("apt-get", "-q", "download", package, cwd=scratch)
        (archive,) = Path(scratch).glob("*.deb")
        _output("dpkg-deb", "-x", str(archive), f"{scratch}/unpacked")
        unpacked = Path(scratch, "unpacked")
        shutil.copy2(next(unpacked.glob("boot/vmlinuz-*")), staging / "vmlinuz")
        for module in _MODULES:
            shutil.copy2(next(unpacked.rglob(f"{module}.ko")), staging)
    return target


def _output(*command: str, cwd: str | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GuestError(f"{command[0]} failed: {getattr(error, 'stderr', '') or error}") from None
    return done.stdout


class _Archive:
    """Writes a cpio archive in the ``newc`` format, the one the kernel unpacks."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._inode = 0

    def _emit(self, data: bytes) -> None:
        self._out.write(data + b"\0" * (-len(data) % 4))

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Add one entry."""
        self._inode += 1
        raw_name = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw_name), 0)
        self._emit(b"070701" + b"".join(b"%08X" % field for field in fields) + raw_name)
        self._emit(data)

    def end(self) -> None:
        """Add the trailer."""
        self.add("TRAILER!!!", 0)


def _write_archive(out: BinaryIO, tree: Path, kernel: Path) -> None:
    archive = _Archive(out)
    for path in sorted(tree.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(tree))
        if stat.S_ISLNK(status.st_mode):
            archive.add(name, status.st_mode, os.readlink(path).encode())
        else:
            archive.add(name, status.st_mode, path.read_bytes() if stat.S_ISREG(status.st_mode) else b"")
    for index, module in enumerate(_MODULES):
        archive.add(f"lib/modules/{index}-{module}.ko", 0o100644, (kernel / f"{module}.ko").read_bytes())
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.add("sbin/agentctl", 0o100755, _AGENTCTL.read_bytes())
    archive.add("init", 0o100755, _INIT.read_bytes())
    archive.end()
