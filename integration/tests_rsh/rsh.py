"""pve-qga-rsh against a lab, and the programs that call it in ssh's place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, Any, Union

from program import PROGRAM, WATCHDOG_S, Argument, Program, Result

RSH = PROGRAM.with_name("pve-qga-rsh")


class Rsh(Program):
    """``start`` and ``run`` are of pve-qga-rsh; ``tool`` runs another program with the same environment."""

    def start(self, *arguments: Argument, stdin: Any = subprocess.DEVNULL, **popen: Any) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **popen}
        return self._watched(subprocess.Popen([RSH, *arguments], stdin=stdin, env=self.environment, **options))

    def run(self, *arguments: Argument, stdin: Any = b"", stdout: Any = subprocess.PIPE, **popen: Any) -> Result:
        return self.tool(RSH, *arguments, stdin=stdin, stdout=stdout, **popen)

    def tool(
        self, *command: Argument, stdin: bytes | IO[Any] | int | None = b"", stdout: Any = subprocess.PIPE, **popen: Any
    ) -> Result:
        """Run some program to its end, which finds pve-qga-rsh in its PATH."""
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        environment = {**self.environment, "PATH": f"{RSH.parent}:{self.environment['PATH']}", **popen.pop("env", {})}
        done = subprocess.run(
            command, **given, stdout=stdout, stderr=subprocess.PIPE, env=environment, timeout=WATCHDOG_S, **popen
        )
        return Result(done.returncode, done.stdout or b"", done.stderr)

    def as_ssh(self) -> str:
        """A program named ssh that is pve-qga-rsh, for those who know it by no other name."""
        folder = self.home / "as-ssh"
        folder.mkdir(exist_ok=True)
        link = folder / "ssh"
        if not link.exists():
            link.symlink_to(RSH)
        return str(folder)


def make_tree(root: Path, files: int) -> Path:
    """A tree with what trees have: modes, old times, links, names with blanks and bytes of no encoding."""
    root.mkdir()
    for number in range(files):
        folder = root / f"dir {number % 40}" / f"sub{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"file-{number}"
        path.write_bytes(os.urandom(number * 37 % 5000) if number % 3 else b"line of text\n" * (number % 300))
        path.chmod((0o644, 0o755, 0o600, 0o444)[number % 4])
        os.utime(path, ns=(0, (1_000_000_000 + number) * 1_000_000_000))
    (root / "empty").mkdir()
    (root / "empty").chmod(0o750)
    (root / "link").symlink_to("dir 1/sub1/file-1")
    (root / "dangling").symlink_to("../nowhere")
    for name in (b"quo'te", b'dou"ble', b"new\nline", b"-n", b"$(id)", b"\xff\x80", "umläut".encode(), b"*", b"back\\slash"):
        (root / os.fsdecode(name)).write_bytes(name)
    return root


Facts = Union[str, int]


def facts(root: Path, times: bool = True) -> dict[str, tuple[Facts, ...]]:
    """What must be the same of two trees: kind, mode, content, target, time."""
    found: dict[str, tuple[Facts, ...]] = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(folder, name)
            status = path.lstat()
            what: tuple[Facts, ...]
            if path.is_symlink():
                what = ("link", os.readlink(path))
            elif path.is_dir():
                what = ("directory", status.st_mode)
            else:
                what = ("file", status.st_mode, path.read_bytes().hex(), status.st_mtime_ns // 10**9 if times else 0)
            found[str(path.relative_to(root))] = what
    return found
