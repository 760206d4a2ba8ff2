# Copyright: (c) 2026, the pve-qga-run project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0
"""How Ansible's commands, names and errors are put into the protocol's terms, and back."""

from __future__ import annotations

import base64
import re
import shlex
import typing as t

# Codes of errors that are about the task: the VM is reachable.
TASK_FAILURES = frozenset(
    (
        "cancelled checksum config guest-full guest-tool-missing internal is-a-directory local-io no-cwd"
        " no-executable out-of-memory protocol remote-file remote-tmp secret-source timeout too-large unsupported"
        " usage"
    ).split()
)

# What to do about an error, in terms of Ansible. For all others the program's own hint is right.
HINTS = {
    "authentication": (
        "check proxmox_api_token_id (USER@REALM!TOKENID) and proxmox_api_token_secret, or proxmox_api_user and "
        "proxmox_api_password"
    ),
    "config": "check the host's proxmox_* variables and ~/.config/pve-qga-run.conf",
    "connect": "check proxmox_api_host, proxmox_api_port and that the node is up",
    "ended": "try again with -vvvv, which shows what the program says",
    "fingerprint": "compare with `pvenode cert info` on the node before you change proxmox_fingerprint",
    "guest-full": "free space in the guest, or choose another proxmox_remote_tmp",
    "no-executable": "check ansible_shell_executable and ansible_executable",
    "node-unknown": "leave proxmox_node out: the node is found from the VM",
    "protocol": "check the host's proxmox_* variables",
    "proxy": "check proxmox_proxy and proxmox_proxy_userpwd",
    "remote-tmp": "name a writable directory of the guest in proxmox_remote_tmp",
    "resolve": "check proxmox_api_host",
    "second-factor": "use an API token (proxmox_api_token_id), which needs no second factor",
    "tls": "name the CA in proxmox_ca_file, or pin the node's certificate with proxmox_fingerprint",
    "usage": "check the host's proxmox_* variables",
    "vm-ambiguous": "set proxmox_vmid to the VM's id",
    "vm-unknown": "set proxmox_vmid to the VM's id or name, which is the host's name unless given",
}

_WRAPPED = re.compile(r"(/[\w./+-]+) -c (.*)", re.DOTALL)
_NO_OP = " && sleep 0"
_QUESTION = re.compile(rb"echo ~(root)?")
_CLEANUP = re.compile(rb"rm -f -r /([\w.+-]+/)+ansible-tmp-[\w.-]+/ > /dev/null 2>&1")


def encoded(name: str, value: bytes) -> t.Dict[str, str]:
    """A param with any bytes: text if they are UTF-8, otherwise base64 in a param of that other name."""
    try:
        return {name: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {name + "_base64": base64.b64encode(value).decode("ascii")}


def unwrapped(command: bytes) -> t.Tuple[t.Optional[str], bytes]:
    """The shell and the line to run with it, out of what Ansible makes of a line, ``/bin/sh -c 'LINE && sleep 0'``.

    The guest runs a line with a shell in any case, so that giving it the inner one saves two processes for each
    command. The ``sleep`` helps connections that lose output at the end. Other commands are left as they are.
    """
    text = command.decode("utf-8", "surrogateescape")
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped is None:
        return None, command
    try:
        words = shlex.split(wrapped.group(2))
    except ValueError:
        return None, command
    if len(words) != 1 or shlex.quote(words[0]) != wrapped.group(2):
        return None, command
    line = words[0]
    if line.endswith(_NO_OP):
        line = line[: -len(_NO_OP)]
    return wrapped.group(1), line.encode("utf-8", "surrogateescape")


def is_question(line: bytes) -> bool:
    """Whether a line only asks for what stays the same: the home directory of the agent's user."""
    return _QUESTION.fullmatch(line) is not None


def is_cleanup(line: bytes) -> bool:
    """Whether a line removes the directory that Ansible has made for a task, which is done with it."""
    return _CLEANUP.fullmatch(line) is not None
