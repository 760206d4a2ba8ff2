# Copyright: (c) 2026, the pve-qga-run project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations


class ModuleDocFragment:
    """Options of the way to the agent by SSH to the node."""

    DOCUMENTATION = r"""
options:
  via:
    description:
      - >-
        Way to the agent: V(api) is the API of Proxmox VE; V(ssh) is commands of root on the node, by SSH; V(auto) is the
        API, and SSH if that cannot be reached or lacks the privilege. V(api) unless given.
    type: str
    choices: ["api", "ssh", "auto"]
    vars:
      - name: proxmox_via
    env:
      - name: PVE_QGA_VIA
    ini:
      - section: pve_qga_connection
        key: via
  ssh_method:
    description:
      - >-
        What runs on the node: V(qm) is C(qm guest exec), V(socket) is faster and needs perl there; V(auto), which is meant
        unless given, is V(socket) where that is allowed.
    type: str
    choices: ["auto", "qm", "socket"]
    vars:
      - name: proxmox_ssh_method
    env:
      - name: PVE_QGA_SSH_METHOD
    ini:
      - section: pve_qga_connection
        key: ssh_method
  ssh_host:
    description: Node to log in to, O(api_host) unless given.
    type: str
    vars:
      - name: proxmox_ssh_host
    env:
      - name: PROXMOX_VE_SSH_HOST
    ini:
      - section: pve_qga_connection
        key: ssh_host
  ssh_port:
    description: Port of the nodes' SSH servers, 22 unless given.
    type: int
    vars:
      - name: proxmox_ssh_port
    env:
      - name: PROXMOX_VE_SSH_PORT
    ini:
      - section: pve_qga_connection
        key: ssh_port
  ssh_user:
    description: User there, V(root) unless given; another runs its commands with C(sudo -n).
    type: str
    vars:
      - name: proxmox_ssh_user
    env:
      - name: PROXMOX_VE_SSH_USERNAME
    ini:
      - section: pve_qga_connection
        key: ssh_user
  ssh_password:
    description: That user's password.
    type: str
    secret: true
    vars:
      - name: proxmox_ssh_password
    env:
      - name: PROXMOX_VE_SSH_PASSWORD
  ssh_key:
    description: Private key to log in with, the text of one in OpenSSH's form or PEM. Keys of an agent are tried, too.
    type: str
    secret: true
    vars:
      - name: proxmox_ssh_key
    env:
      - name: PROXMOX_VE_SSH_PRIVATE_KEY
  ssh_key_passphrase:
    description: Passphrase of O(ssh_key).
    type: str
    secret: true
    vars:
      - name: proxmox_ssh_key_passphrase
    env:
      - name: PROXMOX_VE_SSH_KEY_PASSPHRASE
  ssh_agent_socket:
    description: Socket of an ssh-agent, the one of E(SSH_AUTH_SOCK) unless given.
    type: path
    vars:
      - name: proxmox_ssh_agent_socket
    env:
      - name: PROXMOX_VE_SSH_AUTH_SOCK
    ini:
      - section: pve_qga_connection
        key: ssh_agent_socket
  ssh_known_hosts:
    description: Host keys to trust, instead of C(~/.ssh/known_hosts) and C(/etc/ssh/ssh_known_hosts).
    type: path
    vars:
      - name: proxmox_ssh_known_hosts
    env:
      - name: PROXMOX_VE_SSH_KNOWN_HOSTS
    ini:
      - section: pve_qga_connection
        key: ssh_known_hosts
  ssh_accept_new:
    description: Whether the key of a host that has none in there is trusted and added, which is not so unless given.
    type: bool
    vars:
      - name: proxmox_ssh_accept_new
    env:
      - name: PROXMOX_VE_SSH_ACCEPT_NEW
    ini:
      - section: pve_qga_connection
        key: ssh_accept_new
  ssh_node:
    description:
      - Addresses of nodes whose names do not resolve from here, as V(NODE=ADDRESS[:PORT],...).
    type: str
    vars:
      - name: proxmox_ssh_node
    env:
      - name: PROXMOX_VE_SSH_NODES
    ini:
      - section: pve_qga_connection
        key: ssh_node
  ssh_socks5:
    description:
      - SOCKS5 proxy on the way to the nodes, as V(HOST:PORT).
    type: str
    vars:
      - name: proxmox_ssh_socks5
    env:
      - name: PROXMOX_VE_SSH_SOCKS5_SERVER
    ini:
      - section: pve_qga_connection
        key: ssh_socks5
  ssh_socks5_user:
    description: User for that proxy.
    type: str
    vars:
      - name: proxmox_ssh_socks5_user
    env:
      - name: PROXMOX_VE_SSH_SOCKS5_USERNAME
    ini:
      - section: pve_qga_connection
        key: ssh_socks5_user
  ssh_socks5_password:
    description: Password for that proxy.
    type: str
    secret: true
    vars:
      - name: proxmox_ssh_socks5_password
    env:
      - name: PROXMOX_VE_SSH_SOCKS5_PASSWORD
"""
