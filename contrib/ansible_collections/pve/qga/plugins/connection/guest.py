# Copyright: (c) 2026, the pve-qga-run project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
name: guest
short_description: Run tasks in Proxmox VE guests through the QEMU guest agent
version_added: "0.1.0"
author:
  - the pve-qga-run project (!UNKNOWN)
description:
  - Connects to virtual machines that no network reaches. Commands and files go through the API of Proxmox VE to the
    QEMU guest agent in the guest; neither SSH nor an open port is needed there. Where the API cannot be used, SSH to
    the node does the same, see O(via).
  - Starts C(pve-qga-run serve), which does the work, and speaks its protocol. Unless told otherwise, the workers of
    a run share one such program, so that TLS, login and finding the VM are paid once.
  - A drop-in replacement for P(community.proxmox.proxmox_qemu_api#connection). It takes the same variables and
    environment variables, so that setting C(ansible_connection) is the whole migration.
  - Options that are not given have the value of C(pve-qga-run)'s configuration file (C(~/.config/pve-qga-run.conf)
    or C(/etc/pve-qga-run.conf)), or else its default.
requirements:
  - C(pve-qga-run) on the controller
  - in the guest a running C(qemu-guest-agent) with C(guest-exec) allowed, and Python for modules that need it
notes:
  - Commands run as the user of the agent, which is root. C(ansible_user) is ignored; C(become) leads to other users.
  - The token or user needs C(VM.Monitor) (Proxmox VE 7 and 8) or C(VM.GuestAgent.Unrestricted) (9) on the VM, and
    C(VM.Audit) where the VM is named or its node left out.
  - The directory that a task has for its files is removed when the task is over, and nobody waits for that while the
    program is shared, see O(control_persist).
  - There is no terminal. Programs for C(become) that read passwords from one alone, such as C(doas), work where they
    ask for none.
  - Linux guests only.
extends_documentation_fragment:
  - pve.qga.ssh
options:
  api_host:
    description: Name or address of a node of the cluster.
    type: str
    vars:
      - name: proxmox_api_host
    env:
      - name: PROXMOX_HOST
    ini:
      - section: pve_qga_connection
        key: api_host
  api_port:
    description: Port of its API, 8006 unless given.
    type: int
    vars:
      - name: proxmox_api_port
    env:
      - name: PROXMOX_PORT
    ini:
      - section: pve_qga_connection
        key: api_port
  api_user:
    description: User, such as V(automation@pve), for a login with O(api_password).
    type: str
    vars:
      - name: proxmox_api_user
    env:
      - name: PROXMOX_USER
    ini:
      - section: pve_qga_connection
        key: api_user
  api_password:
    description: Password of O(api_user).
    type: str
    secret: true
    vars:
      - name: proxmox_api_password
    env:
      - name: PROXMOX_PASSWORD
  api_token_id:
    description:
      - API token, such as V(automation@pve!ansible). Goes with O(api_token_secret).
      - A token goes before a password if both are given.
    type: str
    vars:
      - name: proxmox_api_token_id
    env:
      - name: PROXMOX_TOKEN_ID
    ini:
      - section: pve_qga_connection
        key: api_token_id
  api_token_secret:
    description: Secret of the API token.
    type: str
    secret: true
    vars:
      - name: proxmox_api_token_secret
    env:
      - name: PROXMOX_TOKEN_SECRET
  validate_certs:
    description:
      - Whether the server's certificate and name are checked, which is so unless given.
      - For the certificate that Proxmox VE makes for itself use O(fingerprint) or O(ca_file) rather than turn this off.
    type: bool
    vars:
      - name: proxmox_validate_certs
    env:
      - name: PROXMOX_VERIFY_SSL
    ini:
      - section: pve_qga_connection
        key: validate_certs
  fingerprint:
    description: Accept exactly the certificate with this SHA-256 fingerprint, as C(pvenode cert info) shows it.
    type: str
    vars:
      - name: proxmox_fingerprint
    env:
      - name: PROXMOX_FINGERPRINT
    ini:
      - section: pve_qga_connection
        key: fingerprint
  ca_file:
    description: Certificates (PEM) to trust instead of the system's, such as a copy of C(/etc/pve/pve-root-ca.pem).
    type: path
    vars:
      - name: proxmox_ca_file
    env:
      - name: PROXMOX_CA_FILE
    ini:
      - section: pve_qga_connection
        key: ca_file
  tls_min:
    description: Oldest version of TLS to accept, V(1.2) unless given.
    type: str
    choices: ["1.2", "1.3"]
    vars:
      - name: proxmox_tls_min
    ini:
      - section: pve_qga_connection
        key: tls_min
  proxy:
    description:
      - Proxy on the way to the API, as V([http|https|socks5|socks5h://]HOST[:PORT]).
      - Empty for none, even if the environment variable E(https_proxy) names one.
    type: str
    vars:
      - name: proxmox_proxy
    env:
      - name: PROXMOX_PROXY
    ini:
      - section: pve_qga_connection
        key: proxy
  proxy_userpwd:
    description: USER:PASSWORD for the proxy.
    type: str
    secret: true
    vars:
      - name: proxmox_proxy_userpwd
    env:
      - name: PROXMOX_PROXY_USERPWD
  vmid:
    description:
      - The VM, by id or name.
      - Without it the host's name is taken, see O(remote_addr).
    type: str
    vars:
      - name: proxmox_vmid
    env:
      - name: PROXMOX_VMID
  remote_addr:
    description: Name or id of the VM where O(vmid) is not given.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
  node:
    description: Node the VM is on. Without, it is found from the VM, wherever that has moved.
    type: str
    vars:
      - name: proxmox_node
    env:
      - name: PROXMOX_NODE
  remote_tmp:
    description:
      - Writable directory of the guest for commands and transfers under way, V(/tmp) unless given.
      - Not the directory for modules, which is C(ansible_remote_tmp).
    type: str
    vars:
      - name: proxmox_remote_tmp
    env:
      - name: PROXMOX_REMOTE_TMP
    ini:
      - section: pve_qga_connection
        key: remote_tmp
  executable:
    description: Shell of the guest that runs commands which Ansible gives to none itself, V(/bin/sh) unless given.
    type: str
    vars:
      - name: ansible_executable
  connection_timeout:
    description:
      - How many seconds to wait for an agent that is not up yet, and for a server that was reached once and has gone
        away; 60 unless given.
    type: int
    vars:
      - name: proxmox_connect_timeout
    env:
      - name: PROXMOX_CONNECT_TIMEOUT
    ini:
      - section: pve_qga_connection
        key: connect_timeout
  call_timeout:
    description: How many seconds one call of the API may take, 35 unless given.
    type: int
    vars:
      - name: proxmox_call_timeout
    ini:
      - section: pve_qga_connection
        key: call_timeout
  become_timeout:
    description:
      - How many seconds C(become) may take until it asks for the password, and then until it has accepted it.
    type: int
    default: 30
    vars:
      - name: proxmox_become_timeout
    ini:
      - section: pve_qga_connection
        key: become_timeout
  control_persist:
    description:
      - How long the shared program stays when nobody uses it, in seconds or with C(s), C(m), C(h) behind the number.
      - V(0) for none, so that each worker has a program of its own and logs in by itself.
    type: str
    default: 60s
    vars:
      - name: proxmox_control_persist
    env:
      - name: PVE_QGA_CONTROL_PERSIST
    ini:
      - section: pve_qga_connection
        key: control_persist
  program:
    description: The program C(pve-qga-run), as a path or a name to be found in E(PATH).
    type: str
    default: pve-qga-run
    vars:
      - name: proxmox_qga_program
    env:
      - name: PVE_QGA_RUN
    ini:
      - section: pve_qga_connection
        key: program
  pipelining:
    description:
      - Whether modules go to the guest's Python as its standard input rather than as a file, which takes a third of
        the calls. On by default, as there is no terminal that C(sudo) could insist on.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: pve_qga_connection
        key: pipelining
"""

EXAMPLES = r"""
# inventory.yml: two VMs without a network, one by its name, one by its id
all:
  hosts:
    web:
    database:
      proxmox_vmid: 101
  vars:
    ansible_connection: pve.qga.guest
    proxmox_api_host: pve1.example.org
    proxmox_fingerprint: AA:BB:CC:...
    proxmox_api_token_id: automation@pve!ansible
    proxmox_api_token_secret: "{{ vault_proxmox_token_secret }}"
"""

import os
import stat
import typing as t

from ansible.errors import (
    AnsibleAuthenticationFailure,
    AnsibleConnectionFailure,
    AnsibleError,
    AnsibleFileNotFound,
)
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ansible_collections.pve.qga.plugins.plugin_utils.become import BecomeDialog, password_error
from ansible_collections.pve.qga.plugins.plugin_utils.translate import (
    HINTS,
    TASK_FAILURES,
    encoded,
    is_cleanup,
    is_question,
    unwrapped,
)
from ansible_collections.pve.qga.plugins.plugin_utils.serve import Call, Refusal, Server

display = Display()

# Names of options here and in the protocol. Those that are not given are left to pve-qga-run.
REQUEST_OPTIONS = {
    "api_host": "host",
    "api_port": "port",
    "api_user": "user",
    "api_password": "password",
    "api_token_id": "token_id",
    "api_token_secret": "token_secret",
    "validate_certs": "validate_certs",
    "fingerprint": "fingerprint",
    "ca_file": "ca_file",
    "tls_min": "tls_min",
    "proxy": "proxy",
    "proxy_userpwd": "proxy_userpwd",
    "via": "via",
    "ssh_method": "ssh_method",
    "ssh_host": "ssh_host",
    "ssh_port": "ssh_port",
    "ssh_user": "ssh_user",
    "ssh_password": "ssh_password",
    "ssh_key": "ssh_key",
    "ssh_key_passphrase": "ssh_key_passphrase",
    "ssh_agent_socket": "ssh_agent_socket",
    "ssh_known_hosts": "ssh_known_hosts",
    "ssh_accept_new": "ssh_accept_new",
    "ssh_node": "ssh_node",
    "ssh_socks5": "ssh_socks5",
    "ssh_socks5_user": "ssh_socks5_user",
    "ssh_socks5_password": "ssh_socks5_password",
    "node": "node",
    "remote_tmp": "remote_tmp",
    "executable": "executable",
    "connection_timeout": "connect_timeout",
    "call_timeout": "call_timeout",
}

# Larger data for a command are streamed: the program begins while they arrive, and holds little of them.
PAYLOAD_BYTES = 1024 * 1024

LOG = {"error": display.warning, "warning": display.warning, "info": display.vvv}


class Connection(ConnectionBase):
    """A guest. Its ``pve-qga-run serve`` is started when it is first needed, with the options of that time."""

    transport = "pve.qga.guest"
    has_pipelining = True
    has_tty = False
    default_user = "root"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._server: t.Optional[Server] = None
        self._used: t.Any = None  # what the server was started with
        self._cleanup: t.Optional[Call] = None  # that nobody has waited for

    # ---- what Ansible calls ----

    def _connect(self) -> Connection:
        """Starts the program; whether the guest answers shows with the first request."""
        self._served()
        return self

    def exec_command(
        self, cmd: str, in_data: t.Optional[bytes] = None, sudoable: bool = True
    ) -> t.Tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        data = to_bytes(in_data or b"", errors="surrogate_or_strict")
        executable, line = unwrapped(to_bytes(cmd, errors="surrogate_or_strict"))
        params: t.Dict[str, t.Any] = {**encoded("cmd", line), "executable": executable, "live": False}
        self._say("EXEC, command of %d bytes, stdin of %d" % (len(line), len(data)))
        become = self.become if sudoable else None
        if become is not None and become.expect_prompt():
            return self._become_by_password(params, data)
        if not data and become is None and is_cleanup(line) and self._shares():
            return self._clean_up(params)
        if not data and is_question(line) and "remember" in self._served().features:
            params["remember"] = True
        done = self._run(params, data)
        if become is not None and done[0] != 0:
            problem = password_error(become, done[1] + done[2])
            if problem:
                raise AnsibleError(problem)
        return done

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        self._say("PUT %s TO %s" % (to_text(in_path), to_text(out_path)))
        local = to_bytes(in_path, errors="surrogate_or_strict")
        if not os.path.exists(local):
            raise AnsibleFileNotFound("there is no file '%s' on the controller" % to_text(in_path))
        remote = to_bytes(out_path, errors="surrogate_or_strict")
        self._request("put_file", {**encoded("in_path", local), **encoded("out_path", remote)})

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        self._say("FETCH %s TO %s" % (to_text(in_path), to_text(out_path)))
        remote = to_bytes(in_path, errors="surrogate_or_strict")
        local = to_bytes(out_path, errors="surrogate_or_strict")
        self._request("fetch_file", {**encoded("in_path", remote), **encoded("out_path", local)})
        # The copy has the permissions of the original, but Ansible has to read it and may replace it.
        os.chmod(local, stat.S_IMODE(os.stat(local).st_mode) | stat.S_IRUSR | stat.S_IWUSR)

    def transport_test(self, connect_timeout: float) -> None:
        """Asks whether the agent answers; ``wait_for_connection`` does so until it does."""
        self._request("ping", {"options": {"connect_timeout": str(connect_timeout)}})

    def reset(self) -> None:
        self.close()

    def close(self) -> None:
        server, self._server = self._server, None
        self._connected = False
        if server is None:
            return
        if self._cleanup is not None and not self._cleanup.done:
            server.leave()
        else:
            server.close()
            self._warn_of_cleanup()

    # ---- commands ----

    def _clean_up(self, params: t.Dict[str, t.Any]) -> t.Tuple[int, bytes, bytes]:
        """Has a task's directory removed and does not wait for it, as nothing depends on it but a warning of Ansible's."""
        self._warn_of_cleanup()
        self._cleanup = self._start("exec_command", params)
        while self._served().queued:
            self._step(None)
        return 0, b"", b""

    def _warn_of_cleanup(self) -> None:
        cleanup, self._cleanup = self._cleanup, None
        if cleanup is None:
            return
        try:
            failed = self._wait(cleanup)["exit_code"] != 0
        except AnsibleError:
            failed = True
        if failed:
            display.warning("a temporary directory of Ansible's may be left in guest %s" % self._vm())

    def _run(self, params: t.Dict[str, t.Any], data: bytes) -> t.Tuple[int, bytes, bytes]:
        if len(data) > PAYLOAD_BYTES:
            call = self._start("exec_command", {**params, "stdin": "stream"})
            call.write(data, eof=True)
        else:
            call = self._start("exec_command", params, data)
        return self._finish(call)

    def _become_by_password(self, params: t.Dict[str, t.Any], data: bytes) -> t.Tuple[int, bytes, bytes]:
        """Runs a command that asks for a password. ``data`` follow only when that was accepted."""
        timeout = self.get_option("become_timeout")
        dialog = BecomeDialog(self.become, to_bytes(self.become.get_option("become_pass", playcontext=self._play_context)))
        call = self._start("exec_command", {**params, "stdin": "stream", "live": True})
        while not call.done and not dialog.succeeded:
            quiet = not self._step(timeout)
            problem = dialog.advance(call.output["stdout"], call.output["stderr"])
            if problem or quiet:
                self._abort()
                if problem:
                    raise AnsibleError(problem)
                raise AnsibleConnectionFailure(
                    "%s said nothing within %d s (proxmox_become_timeout)" % (self.become.name, timeout)
                )
            if dialog.answer:
                call.write(dialog.take_answer())
        call.write(data, eof=True)
        done = self._finish(call)
        problem = None if dialog.succeeded else dialog.advance(call.output["stdout"], call.output["stderr"])
        if problem:
            raise AnsibleError(problem)
        return done

    def _finish(self, call: Call) -> t.Tuple[int, bytes, bytes]:
        result = self._wait(call)
        for warning in result.get("warnings") or ():
            display.warning(warning)
        return result["exit_code"], bytes(call.output["stdout"]), bytes(call.output["stderr"])

    # ---- requests ----

    def _request(self, method: str, params: t.Dict[str, t.Any]) -> t.Any:
        return self._wait(self._start(method, params))

    def _start(self, method: str, params: t.Dict[str, t.Any], payload: bytes = b"") -> Call:
        return self._served().start(method, params, payload)

    def _wait(self, call: Call) -> t.Any:
        while not call.done:
            self._step(None)
        try:
            return call.result()
        except Refusal as refusal:
            raise self._failure(refusal) from None

    def _step(self, timeout: t.Optional[float]) -> bool:
        """What ends the waiting early, such as a task's timeout or ^C, ends the command in the guest as well."""
        try:
            return self._server.step(timeout)
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        server, self._server = self._server, None
        self._cleanup = None
        self._connected = False
        if server is not None:
            server.abort()

    # ---- the program ----

    def _shares(self) -> bool:
        """Whether the program goes on when this process has ended."""
        return _plain(self.get_option("control_persist")).rstrip("smh") != "0"

    def _served(self) -> Server:
        """The program, started anew if it was started with other options, as a loop over hosts can have them."""
        program = [_plain(self.get_option("program")), "serve"]
        environment = self._environment()
        wanted = (program, environment, self._vm(), self._request_options())
        if self._server is not None and self._used != wanted:
            self.close()
        if self._server is None:
            self._server = self._begin(*wanted)
            self._used = wanted
            self._connected = True
        return self._server

    def _begin(self, program: t.List[str], environment: t.Dict[str, str], vm: str, options: t.Dict[str, t.Any]) -> Server:
        try:
            server = Server(program, environment, _log)
        except OSError as error:
            raise AnsibleError(
                "cannot start '%s': %s; install pve-qga-run on the controller, or tell where it is with "
                "proxmox_qga_program" % (program[0], os.strerror(error.errno))
            ) from None
        try:
            server.hello("pve.qga.guest", vm, options)
        except Refusal as refusal:
            server.abort()
            raise self._failure(refusal) from None
        except BaseException:
            server.abort()
            raise
        return server

    def _environment(self) -> t.Dict[str, str]:
        """The environment without the variables that Ansible has read already and may have overruled."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PROXMOX_")}
        mine["PVE_QGA_CONTROL_PERSIST"] = _plain(self.get_option("control_persist"))
        return mine

    def _vm(self) -> str:
        return _plain(self.get_option("vmid") or self.get_option("remote_addr"))

    def _request_options(self) -> t.Dict[str, t.Any]:
        """What was given. An empty value means none, which takes back one from a variable of the environment."""
        given = ((request, self.get_option(name)) for name, request in REQUEST_OPTIONS.items())
        return {
            request: _plain(value) for request, value in given if value is not None and (value != "" or request == "proxy")
        }

    def _failure(self, refusal: Refusal) -> AnsibleError:
        """The exception for an error; Ansible takes a connection failure for an unreachable host."""
        hint = HINTS.get(refusal.code, refusal.hint)
        text = "%s%s" % (refusal.message, "; " + hint if hint else "")
        if refusal.code in ("authentication", "second-factor"):
            return AnsibleAuthenticationFailure(text)
        if refusal.code == "remote-file-not-found":
            return AnsibleFileNotFound(text)
        if refusal.code in TASK_FAILURES:
            return AnsibleError(text)
        return AnsibleConnectionFailure(text)

    def _say(self, text: str) -> None:
        display.vvv("pve.qga.guest: " + text, host=self._vm())


def _log(level: str, message: str) -> None:
    LOG.get(level, display.vvvv)("pve-qga-run: " + message)


def _plain(value: t.Any) -> t.Any:
    """The value as Python's own type, without what ansible-core remembers of its origin."""
    if isinstance(value, str):
        return to_bytes(value).decode("utf-8")
    return bool(value) if isinstance(value, bool) else int(value)
