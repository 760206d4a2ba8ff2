"""VM specifications: ``VMID:NAME:NODE:KIND[,OPTION=VALUE...]``.

Kinds: ``socket`` (a real qemu-ga on this machine), ``qemu`` (a real QEMU guest), ``none`` (running, its agent never
answers), ``stopped``, ``noagent`` (the ``agent`` option is off), ``late`` (a socket guest whose agent comes up
after ``seconds``), ``disabled`` (a socket guest whose agent refuses exec and file calls).

Options of socket guests, lists joined by ``+``: ``root=debian|busybox``, ``shell=dash|bash``, ``hide=TOOL+TOOL``,
``block=RPC+RPC``, ``tmpfs=PATH@SIZE``, ``ro=PATH``, ``disk=PATH`` (a small real file
system, so that there is something to freeze), ``seconds=N``. Of qemu guests: ``root=busybox|debian``, ``memory=MIB``,
``ssh=1`` (an SSH server, with ``root=debian``). Of all: ``tags=TAG+TAG``, ``pool=POOL``, ``template=1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .cluster import VM
from .guests.agentless import SilentGuest
from .guests.base import Guest
from .guests.namespace import SocketGuest, SocketOptions
from .guests.qemu import QemuGuest
from .guests.trees import busybox_tree

KINDS = ("socket", "qemu", "none", "stopped", "noagent", "late", "disabled")
ROOTS = ("debian", "busybox")
DEFAULT_VMS = ("100:web:pve1:socket",)

_DISABLED_RPCS = [
    "guest-file-open", "guest-file-close", "guest-file-read", "guest-file-write", "guest-file-seek",
    "guest-file-flush", "guest-exec", "guest-exec-status",
]  # fmt: skip
_COMMON = {"tags", "pool", "template"}
_SOCKET = {"root", "shell", "hide", "block", "tmpfs", "ro", "disk", "seconds"}
_OPTIONS = {"socket": _SOCKET, "late": _SOCKET, "disabled": _SOCKET, "qemu": {"root", "memory", "ssh"}}


class SpecError(ValueError):
    """The specification of a VM does not make sense."""


@dataclass(frozen=True)
class VmSpec:
    """One parsed specification."""

    vmid: int
    name: str
    node: str
    kind: str
    options: dict[str, str] = field(default_factory=dict)

    def items(self, option: str) -> list[str]:
        """A list option's members."""
        return [item for item in self.options.get(option, "").split("+") if item]


def parse(text: str) -> VmSpec:
    """Read one specification."""
    head, *options = text.split(",")
    parts = head.split(":")
    if len(parts) != 4 or not parts[0].isdigit():
        raise SpecError(f"'{text}' is not VMID:NAME:NODE:KIND[,OPTION=VALUE...]")
    vmid, name, node, kind = int(parts[0]), *parts[1:]
    if kind not in KINDS:
        raise SpecError(f"'{kind}' is not one of {', '.join(KINDS)}")
    given = dict(option.partition("=")[::2] for option in options)
    if given.get("root", "debian") not in ROOTS:
        raise SpecError(f"'{given['root']}' is not one of {', '.join(ROOTS)}")
    unknown = given.keys() - _COMMON - _OPTIONS.get(kind, set())
    if unknown:
        raise SpecError(f"a {kind} VM has no option {', '.join(sorted(unknown))}")
    if given.get("ssh") == "1" and given.get("root") != "debian":
        raise SpecError("ssh=1 needs root=debian")
    return VmSpec(vmid, name, node, kind, given)


def build(spec: VmSpec, directory: Path, isolate: bool) -> VM:
    """Make the VM; its guest is not started yet."""
    guest = _guest(spec, directory / f"vm-{spec.vmid}", isolate)
    return VM(
        spec.vmid, spec.name, spec.node, spec.kind, guest, running=False,
        agent_enabled=spec.kind != "noagent", template=spec.options.get("template") == "1", tags=spec.items("tags"),
        pool=spec.options.get("pool", ""),
    )  # fmt: skip


def _guest(spec: VmSpec, directory: Path, isolate: bool) -> Guest | None:
    match spec.kind:
        case "none":
            return SilentGuest(directory)
        case "stopped" | "noagent":
            return None
        case "qemu":
            memory_mib = int(spec.options.get("memory", "768"))
            root, ssh = spec.options.get("root", "busybox"), spec.options.get("ssh") == "1"
            return QemuGuest(directory, root, memory_mib, ssh)
    options = SocketOptions(
        root=spec.options.get("root", "debian"),
        shell=spec.options.get("shell", "dash"),
        hide=spec.items("hide"),
        block=spec.items("block") + (_DISABLED_RPCS if spec.kind == "disabled" else []),
        tmpfs=[(path, size) for path, _, size in (item.partition("@") for item in spec.items("tmpfs"))],
        read_only=spec.items("ro"),
        disk=spec.options.get("disk", ""),
        late_s=float(spec.options.get("seconds", "3")) if spec.kind == "late" else 0.0,
        tree=str(busybox_tree()) if spec.options.get("root") == "busybox" else "",
    )
    return SocketGuest(directory, options, isolate)
