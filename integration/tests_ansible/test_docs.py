"""The documentation of the plugin is such that Ansible can show it."""

from __future__ import annotations

import json
import subprocess

from conftest import Ansible


def test_ansible_doc(ansible: Ansible) -> None:
    command = [ansible.core.bin / "ansible-doc", "-t", "connection", "-j", "pve.qga.guest"]
    done = subprocess.run(command, env=ansible.environment, capture_output=True, text=True, check=True)
    options = json.loads(done.stdout)["pve.qga.guest"]["doc"]["options"]
    assert options["vmid"]["vars"] == [{"name": "proxmox_vmid"}]
    secret = {name for name, option in options.items() if option.get("secret")}
    assert secret == {
        "api_password", "api_token_secret", "proxy_userpwd", "ssh_password", "ssh_key", "ssh_key_passphrase",
        "ssh_socks5_password",
    }  # fmt: skip
    subprocess.run([*command[:3], "pve.qga.guest"], env=ansible.environment, stdout=subprocess.DEVNULL, check=True)


def test_drop_in(ansible: Ansible) -> None:
    """Every variable of community.proxmox.proxmox_qemu_api, and each environment variable, is one here."""
    command = [ansible.core.bin / "ansible-doc", "-t", "connection", "-j", "pve.qga.guest"]
    done = subprocess.run(command, env=ansible.environment, capture_output=True, text=True, check=True)
    options = json.loads(done.stdout)["pve.qga.guest"]["doc"]["options"].values()
    known = {source["name"] for option in options for kind in ("vars", "env") for source in option.get(kind, ())}
    assert known >= {
        "proxmox_api_host", "proxmox_api_port", "proxmox_api_user", "proxmox_api_password", "proxmox_api_token_id",
        "proxmox_api_token_secret", "proxmox_node", "proxmox_vmid", "proxmox_validate_certs", "proxmox_remote_tmp",
        "ansible_executable", "proxmox_connect_timeout", "PROXMOX_HOST", "PROXMOX_PORT", "PROXMOX_USER",
        "PROXMOX_PASSWORD", "PROXMOX_TOKEN_ID", "PROXMOX_TOKEN_SECRET", "PROXMOX_NODE", "PROXMOX_VMID",
        "PROXMOX_VERIFY_SSL",
    }  # fmt: skip
