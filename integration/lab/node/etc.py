"""The files under ``/etc`` that make a machine's root a node's: users, sudo's rules, PAM, the SSH server's settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FIRST_UID = 2201
_SUDO_ALL = "/usr/sbin/qm, /usr/bin/pvesh, /usr/bin/perl"
SUDOERS_HEAD = """\
Defaults env_reset, secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
"""
_PAM = """\
auth required pam_unix.so
account required pam_unix.so
session required pam_env.so user_readenv=0 envfile=/etc/default/locale
"""
_SSHD_CONFIG = """\
ListenAddress {address}:{port}
HostKey /etc/ssh/lab_host_ed25519_key
HostKey /etc/ssh/lab_host_rsa_key
PermitRootLogin yes
PubkeyAuthentication yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
UsePAM yes
UseDNS no
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
LogLevel VERBOSE
PidFile none
Subsystem sftp /usr/lib/openssh/sftp-server
"""


@dataclass(frozen=True)
class Account:
    """A user of the node. ``sudo`` is what follows the name in ``sudoers``; ``methods`` limits how to log in."""

    name: str
    sudo: str | None = None
    methods: str | None = None


ACCOUNTS = (
    Account("root"),
    Account("pve-ops", f"ALL=(root) NOPASSWD: {_SUDO_ALL}"),
    Account("pve-qm", "ALL=(root) NOPASSWD: /usr/sbin/qm"),
    Account("pve-ask", f"ALL=(root) {_SUDO_ALL}"),
    Account("pve-nosudo"),
    Account("pve-kbd", f"ALL=(root) NOPASSWD: {_SUDO_ALL}", "keyboard-interactive"),
)


def sudoers(rules: list[str] | None = None) -> str:
    """The rules file: the given lines, or those of the accounts."""
    if rules is None:
        rules = [f"{account.name} {account.sudo}" for account in ACCOUNTS if account.sudo]
    return SUDOERS_HEAD + "".join(f"{rule}\n" for rule in rules)


def write(root: Path, config: dict[str, Any]) -> None:
    """Write all of them into a root. ``config`` has ``node``, ``address``, ``port``, ``hashes`` and ``hosts``."""
    etc = root / "etc"
    _write_users(root, config["hashes"], config["authorized_keys"])
    _put(etc / "sudoers", sudoers(), 0o440)
    for service in ("sshd", "sudo"):
        _put(etc / "pam.d" / service, _PAM)
    _put(etc / "default/locale", "LANG=C.UTF-8\n")
    _put(etc / "hostname", config["node"] + "\n")
    _put(etc / "hosts", "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in config["hosts"]))
    settings = _SSHD_CONFIG.format(address=config["address"], port=config["port"])
    settings += "".join(
        f"Match User {account.name}\n    AuthenticationMethods {account.methods}\n"
        for account in ACCOUNTS
        if account.methods
    )
    _put(etc / "ssh/lab_sshd_config", settings)
    (etc / "nologin").unlink(missing_ok=True)


def _write_users(root: Path, hashes: dict[str, str], authorized_keys: str) -> None:
    names = {account.name for account in ACCOUNTS}
    users = _without(root / "etc/passwd", names)
    shadow = _without(root / "etc/shadow", names)
    groups = _without(root / "etc/group", names)
    if not any(line.startswith("sshd:") for line in users):
        users.append("sshd:x:2200:65534::/run/sshd:/usr/sbin/nologin")
        shadow.append("sshd:*:19000:0:99999:7:::")
    for number, account in enumerate(ACCOUNTS):
        uid = 0 if account.name == "root" else _FIRST_UID + number
        home = "/root" if uid == 0 else f"/home/{account.name}"
        users.append(f"{account.name}:x:{uid}:{uid}::{home}:/bin/bash")
        groups.append(f"{account.name}:x:{uid}:")
        shadow.append(f"{account.name}:{hashes[account.name]}:19000:0:99999:7:::")
        _make_home(root / home.lstrip("/"), uid, authorized_keys)
    for name, lines, mode in (("passwd", users, 0o644), ("group", groups, 0o644), ("shadow", shadow, 0o640)):
        _put(root / "etc" / name, "".join(f"{line}\n" for line in lines), mode)


def _without(path: Path, names: set[str]) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.split(":")[0] not in names]


def _make_home(home: Path, uid: int, authorized_keys: str) -> None:
    ssh = home / ".ssh"
    ssh.mkdir(parents=True)
    keys = ssh / "authorized_keys"
    keys.write_text(authorized_keys)
    for path, mode in ((home, 0o700), (ssh, 0o700), (keys, 0o600)):
        path.chmod(mode)
    for path in (home, ssh, keys):
        os.chown(path, uid, uid)


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file that replaces what is there, whatever that is."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
