"""Debian packages unpacked into a guest's root: what this machine need not have installed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from .cache import cache_dir, output

# Of all that they depend on, the programs themselves and shared libraries; the rest is for installing packages.
_USED = re.compile(r"(lib)?python3.*|openssh-(server|sftp-server)|lib(?!perl).*\d.*")
_NO_USE = re.compile(r"usr/share/.*|(usr/)?lib/x86_64-linux-gnu/gconv/.*|usr/lib/python3[^/]*/(test|pydoc_data)/.*")


def unpack(packages: list[str], tree: Path) -> None:
    """Unpack packages and the libraries that they need; files that the tree has already are left as they are."""
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        os.chmod(scratch, 0o755)
        output("apt-get", "-q", "download", *_closure(packages, Path(scratch)), cwd=scratch)
        for number, archive in enumerate(sorted(Path(scratch).glob("*.deb"))):
            unpacked = Path(scratch, str(number))
            output("dpkg-deb", "-x", str(archive), str(unpacked))
            _move_files(unpacked, tree)


def _closure(packages: list[str], scratch: Path) -> list[str]:
    """What a system without any package would get with these, as far as it is of use."""
    nothing = scratch / "status"
    nothing.touch()
    told = output(
        "apt-get", "-q", "-s", "-o", f"Dir::State::status={nothing}", "--no-install-recommends", "install", *packages
    )
    return [name for name in re.findall(r"^Inst (\S+)", told, re.MULTILINE) if _USED.fullmatch(name)]


def _move_files(source: Path, tree: Path) -> None:
    for path in sorted(source.rglob("*")):
        name = str(path.relative_to(source))
        # The parent may be reached through a link of the tree, as /lib to /usr/lib.
        target = Path(os.path.realpath(tree / os.path.dirname(name)), path.name)
        if _NO_USE.fullmatch(name) or os.path.lexists(target) or (path.is_dir() and not path.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)


def compile_python(tree: Path) -> None:
    """Compile the tree's Python library, as its packages do when they are installed, by the tree's own Python.

    The guest's files have other times than these, so what is compiled is not compared with its source.
    """
    (python,) = (path for path in (tree / "usr/bin").glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))
    (loader,) = (tree / "lib64").glob("ld-linux-*")
    output(
        "env", f"PYTHONHOME={tree}/usr", str(loader), "--library-path", f"{tree}/usr/lib/x86_64-linux-gnu",
        str(python), "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(tree),
        "-p", "/", str(tree / "usr/lib" / python.name),
    )  # fmt: skip
