"""The demo's session: each command line as one would type it, and what happened. Started by ``demo``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import Lab  # noqa: E402

INTERRUPTED = 130

# Command lines, and the exit status of each.
SESSION = [
    ("pve-qga-run ping web", 0),
    ("pve-qga-run exec web uname -sr", 0),
    ("pve-qga-run exec web -- printf '%s\\n' 'arguments  arrive' \"as 'they' are\" 汉语", 0),
    ("pve-qga-run exec --shell 'for i in 1 2 3; do echo $i; sleep 0.3; done; exit 7' web", 7),
    ("printf 'cherry\\napple\\nbanana\\n' | pve-qga-run exec web sort", 0),
    ("pve-qga-run exec --timeout=1 web sleep 60", 124),
    ("head -c 20000000 /dev/urandom >data && pve-qga-run put -v web data /root/data", 0),
    ("pve-qga-run exec web sha256sum /root/data && sha256sum data", 0),
    ("pve-qga-run fetch web /root/data copy && cmp data copy && echo the same", 0),
    ("pve-qga-run exec web -- rm /root/data", 0),
    ("pve-qga-run exec database true", 255),
]


def run(line: str, expected: int, directory: str, environment: dict[str, str]) -> bool:
    print(f"\n$ {line}", flush=True)
    done = subprocess.run(["sh", "-c", line], cwd=directory, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    if done.returncode or expected:
        print(f"[exit status {done.returncode}]", flush=True)
    return done.returncode == expected


def main() -> int:
    program = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory, Lab(vms=["100:web:pve1:socket"]) as lab:
        environment = {
            **os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "LANG": "C.UTF-8",
            "PROXMOX_HOST": lab.host, "PROXMOX_PORT": str(lab.port), "PROXMOX_FINGERPRINT": lab.fingerprint,
            "PROXMOX_USER": lab.token_id, "PROXMOX_TOKEN_SECRET": lab.token_secret,
        }  # fmt: skip
        print(f"\nA Proxmox VE API endpoint at {lab.url}, and VM 100 'web' with a real qemu-ga behind it.")
        print("PROXMOX_HOST, PROXMOX_PORT, PROXMOX_FINGERPRINT, PROXMOX_USER and PROXMOX_TOKEN_SECRET are set.")
        as_expected = [run(line, status, directory, environment) for line, status in SESSION]
        left = lab.guest(100).run(["ls", "-A", "/tmp"]).stdout.decode().split()
        calls = lab.counters()["requests_total"]
    print(f"\n{calls} API calls; left in the guest: {' '.join(left) or 'nothing'}")
    if not all(as_expected) or left:
        print("demo: something went wrong above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
