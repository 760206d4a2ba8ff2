"""Root directories for guests, made from what is installed on this machine and, for Debian's, a few packages more."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from .base import GuestError
from .cache import cache_dir, locked, output, staged, stamp
from .packages import compile_python, unpack

AGENT = Path("/usr/sbin/qemu-ga")
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
# Beside the packages that Debian requires.
_DEBIAN_EXTRA = ("mawk", "procps")
# Unpacked from the archive.
_DEBIAN_UNPACKED = ["python3", "openssh-server"]
_PACKAGES = Path(__file__).with_name("packages.py")
_MERGED = ("bin", "sbin", "lib", "lib64")


def busybox_tree() -> Path:
    """A root directory with every busybox applet, ``qemu-ga`` and its libraries."""
    busybox = _busybox()
    tree = cache_dir() / f"busybox-{stamp(busybox, AGENT, Path(__file__))}"
    with locked():
        if not tree.exists():
            with staged(tree) as staging:
                _fill_busybox(staging, busybox)
    return tree


def debian_tree() -> Path:
    """A root directory with the packages that Debian requires, ``qemu-ga``, Python, an SSH server, and busybox for
    what they lack.
    """
    busybox = _busybox()
    made_from = stamp(busybox, AGENT, Path("/var/lib/dpkg/status"), Path(__file__), _PACKAGES)
    tree = cache_dir() / f"debian-{made_from}"
    with locked():
        if not tree.exists():
            with staged(tree) as staging:
                _fill_debian(staging, busybox)
    return tree


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise GuestError("busybox is not installed; see install.sh")
    return Path(found)


def _fill_busybox(tree: Path, busybox: Path) -> None:
    _make_directories(tree)
    (tree / "bin").mkdir()
    shutil.copy2(busybox, tree / "bin/busybox")
    for applet in output(str(busybox), "--list-full").split():
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    if not (tree / "bin/sh").exists():
        (tree / "bin/sh").symlink_to("/bin/busybox")
    _copy_file(AGENT, tree)
    _copy_libraries([AGENT], tree)
    (tree / "etc/os-release").write_text('ID=busybox\nNAME=BusyBox\nPRETTY_NAME="BusyBox lab guest"\n')
    (tree / "etc/hostname").write_text("busybox\n")
    (tree / "etc/agent-environment").write_text("HOME=/ PATH=/sbin:/usr/sbin:/bin:/usr/bin\n")


def _fill_debian(tree: Path, busybox: Path) -> None:
    for name in _MERGED:
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    _make_directories(tree)
    unpack(_DEBIAN_UNPACKED, tree)
    compile_python(tree)
    known = output("dpkg-query", "-W", "-f", "${Package} ${Priority}\n").splitlines()
    packages = [line.split()[0] for line in known if line.endswith(" required")]
    listed = output("dpkg", "-L", *packages, *_DEBIAN_EXTRA).splitlines()
    files = [Path(line) for line in listed if line.startswith("/") and not line.startswith("/usr/share/")]
    for file in files:
        _copy_file(file, tree)
    _copy_alternatives(tree)
    _copy_file(AGENT, tree)
    programs = [file for file in [*files, AGENT] if file.is_file() and os.access(file, os.X_OK)]
    _copy_libraries(programs, tree)
    shutil.copy2("/usr/lib/os-release", tree / "etc/os-release")
    (tree / "etc/hostname").write_text("debian\n")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    (tree / "etc/agent-environment").write_text(f"LANG=C.UTF-8 PATH={path}\n")
    spare = tree / "usr/lib/lab"
    spare.mkdir()
    shutil.copy2(busybox, spare / "busybox")
    for applet in ("insmod", "ip", "mke2fs", "usleep"):
        (spare / applet).symlink_to("busybox")


def _make_directories(tree: Path) -> None:
    for directory in _DIRECTORIES:
        (tree / directory).mkdir(parents=True, exist_ok=True)
    (tree / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def _copy_file(file: Path, tree: Path) -> None:
    """Copy a file or link to its place in the tree; what is a directory or missing on this machine is left out."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return
    target = tree / os.path.realpath(file.parent).lstrip("/") / file.name
    if target.is_symlink() or target.exists() or stat.S_ISDIR(status.st_mode):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(status.st_mode):
        target.symlink_to(os.readlink(file))
    else:
        shutil.copy2(file, target)


def _copy_alternatives(tree: Path) -> None:
    """Names such as awk, which packages have only through the alternatives system."""
    for link in Path("/etc/alternatives").iterdir():
        name = Path("/usr/bin") / link.name
        if link.is_symlink() and name.is_symlink() and (tree / os.readlink(link).lstrip("/")).is_file():
            _copy_file(link, tree)
            _copy_file(name, tree)


def _copy_libraries(programs: list[Path], tree: Path) -> None:
    """Copy every shared library that the programs load, to the place where the loader looks for it."""
    # ldd fails for the scripts among them and goes on.
    listed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True).stdout
    for name in set(re.findall(r"(/\S+\.so\S*) \(0x", listed)):
        target = tree / name.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(os.path.realpath(name), target)
