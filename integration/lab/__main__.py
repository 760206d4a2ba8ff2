"""``python3 -m lab``: run the lab until it is told to stop."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from . import spec
from .control import ControlServer
from .guests import images
from .guests.base import GuestError
from .profiles import DEFAULT_PROFILE, PROFILES
from .server import LabServer

_SWITCH_INTERVAL_S = 0.0005


def main() -> int:
    """Run one subcommand."""
    arguments = _parse_arguments()
    if arguments.command == "build":
        print(images.build_all())
        return 0
    return _up(arguments)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab", description="A Proxmox VE API endpoint in front of real guest agents.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run the lab; prints one JSON line when ready", epilog=spec.__doc__)
    up.add_argument("--dir", type=Path, help="where to keep sockets, certificates and logs (default: a temporary one)")
    up.add_argument("--profile", default=DEFAULT_PROFILE, choices=list(PROFILES))
    up.add_argument(
        "--vm", action="append", metavar="SPEC", help="VMID:NAME:NODE:KIND[,OPTION=VALUE...]; may be repeated"
    )
    up.add_argument(
        "--nodes", default="pve1,pve2", help="nodes that exist even without VMs; the first is the local one"
    )
    up.add_argument("--port", type=int, default=0, help="TCP port (default: any free one)")
    up.add_argument("--no-pace", action="store_true", help="answer as fast as possible instead of as PVE does")
    up.add_argument("--ssh", action="store_true", help="run an SSH server on every node, with qm behind it")
    up.add_argument("--foreground", action="store_true", help="do not stop when standard input ends")
    commands.add_parser("build", help="build the images that qemu and busybox guests need")
    return parser.parse_args()


def _up(arguments: argparse.Namespace) -> int:
    # Many short turns of Python between blocking calls: the default of 5 ms would show in every answer.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop_read, stop_write = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(stop_write, b"x"))
    directory = arguments.dir or Path(tempfile.mkdtemp(prefix="pve-qga-lab-"))
    lab: LabServer | None = None
    try:
        vms = arguments.vm or list(spec.DEFAULT_VMS)
        nodes = arguments.nodes.split(",")
        lab = LabServer(directory, arguments.profile, vms, nodes, arguments.port, arguments.ssh)
        lab.set_pace(not arguments.no_pace)
        lab.start()
        control = directory / "control.sock"
        control.unlink(missing_ok=True)
        ControlServer(control, lab)
        print(json.dumps({**lab.describe(), "control": str(control)}), flush=True)
        _wait(stop_read, arguments.foreground)
    except (spec.SpecError, GuestError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    finally:
        if lab is not None:
            lab.stop()
        if arguments.dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def _wait(stop_read: int, ignore_stdin: bool) -> None:
    """Return on a signal or, unless ignored, at the end of standard input."""
    watched = [stop_read] if ignore_stdin else [stop_read, 0]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if stop_read in readable or not os.read(0, 4096):
            return


if __name__ == "__main__":
    sys.exit(main())
