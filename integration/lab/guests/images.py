"""What a QEMU guest boots: a kernel and an initramfs, made from Debian's packages without installing any."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .base import GuestError
from .cache import cache_dir, locked, output, staged, stamp
from .trees import busybox_tree, debian_tree

_KERNEL_PACKAGE = "linux-image-cloud-amd64"
_INIT = Path(__file__).with_name("initramfs-init.sh")
_AGENTCTL = Path(__file__).with_name("agentctl.sh")
_START_SSHD = Path(__file__).with_name("start-sshd.sh")
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
_NETWORK_MODULES = ("failover", "net_failover", "virtio_net")
_TREES = {"busybox": busybox_tree, "debian": debian_tree}


@dataclass(frozen=True)
class BootFiles:
    """What QEMU is given."""

    kernel: Path
    initramfs: Path


def boot_files(root: str) -> BootFiles:
    """A kernel and an initramfs that starts the agent on a virtio-serial port; ``root`` is a kind of tree."""
    tree = _TREES[root]()
    with locked():
        kernel = _kernel()
        made_from = stamp(_INIT, _AGENTCTL, _START_SSHD, Path(__file__), kernel / "vmlinuz")
        initramfs = cache_dir() / f"initramfs-{made_from}-{tree.name}.cpio"
        if not initramfs.exists():
            staging = initramfs.with_suffix(".tmp")
            with staging.open("wb") as out:
                _write_archive(out, tree, kernel)
            staging.rename(initramfs)
    return BootFiles(kernel / "vmlinuz", initramfs)


def build_all() -> str:
    """Build everything; returns where it is."""
    for root in _TREES:
        boot_files(root)
    return str(cache_dir())


def _kernel() -> Path:
    """A directory with ``vmlinuz`` and the modules that a virtio-serial port and a network card need."""
    modules = (*_MODULES, *_NETWORK_MODULES)
    for ready in sorted(cache_dir().glob("kernel-*"), reverse=True):
        if all((ready / f"{module}.ko").exists() for module in modules):
            return ready
    depends = output("apt-cache", "depends", _KERNEL_PACKAGE)
    match = re.search(r"Depends: (linux-image-\S+)", depends)
    if not match:
        raise GuestError(f"the package archive has no {_KERNEL_PACKAGE}; run apt-get update")
    package = match[1]
    target = cache_dir() / package.replace("linux-image", "kernel")
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch, staged(target) as staging:
        os.chmod(scratch, 0o755)
        output("apt-get", "-q", "download", package, cwd=scratch)
        (archive,) = Path(scratch).glob("*.deb")
        output("dpkg-deb", "-x", str(archive), f"{scratch}/unpacked")
        unpacked = Path(scratch, "unpacked")
        shutil.copy2(next(unpacked.glob("boot/vmlinuz-*")), staging / "vmlinuz")
        for module in modules:
            shutil.copy2(next(unpacked.rglob(f"{module}.ko")), staging)
    return target


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
    archive.add("lib/modules/network", 0o040755)
    for directory, modules in (("lib/modules", _MODULES), ("lib/modules/network", _NETWORK_MODULES)):
        for index, module in enumerate(modules):
            archive.add(f"{directory}/{index}-{module}.ko", 0o100644, (kernel / f"{module}.ko").read_bytes())
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.add("sbin/agentctl", 0o100755, _AGENTCTL.read_bytes())
    archive.add("sbin/start-sshd", 0o100755, _START_SSHD.read_bytes())
    archive.add("init", 0o100755, _INIT.read_bytes())
    archive.end()
