"""What the control socket offers about nodes: to those who steer the lab, and to the programs on the nodes."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import pace
from ..api import router
from ..api.method import Call, Environment
from ..auth import ALL_PRIVILEGES, Identity
from ..errors import ApiError
from ..guests.base import GuestError
from ..schema import verify
from .cluster_ssh import ClusterSsh

if TYPE_CHECKING:
    from ..server import LabServer

_ROOT = Identity("root@pam", {"/": ALL_PRIVILEGES})


class NodeOperations:
    """Each public method is an operation; ``node`` None is the node that clients talk to."""

    _lab: LabServer

    def _ssh(self) -> ClusterSsh:
        if self._lab.ssh is None:
            raise GuestError("the lab was started without ssh")
        return self._lab.ssh

    def node_cut(self, node: str | None = None) -> None:
        self._ssh().node(node).cut()

    def node_freeze(self, node: str | None = None) -> None:
        self._ssh().node(node).freeze()

    def node_unfreeze(self, node: str | None = None) -> None:
        self._ssh().node(node).unfreeze()

    def node_stop_sshd(self, node: str | None = None) -> None:
        self._ssh().node(node).stop_sshd()

    def node_start_sshd(self, node: str | None = None) -> None:
        self._ssh().node(node).start_sshd()

    def node_change_host_keys(self, node: str | None = None) -> Any:
        return self._ssh().node(node).change_host_keys()

    def node_connections(self, node: str | None = None) -> int:
        return self._ssh().node(node).connections()

    def node_log(self, node: str | None = None) -> str:
        return self._ssh().node(node).log()

    def node_hide(self, path: str, node: str | None = None) -> None:
        self._ssh().node(node).hide(path)

    def node_restore(self, path: str, node: str | None = None) -> None:
        self._ssh().node(node).restore(path)

    def node_set_sudoers(self, rules: list[str] | None = None, node: str | None = None) -> None:
        self._ssh().node(node).set_sudoers(rules)

    def node_run(self, argv: list[str], stdin: str = "", timeout_s: float = 30.0, node: str | None = None) -> Any:
        done = self._ssh().node(node).run(argv, base64.b64decode(stdin), timeout_s)
        return {
            "exit_code": done.exit_code,
            "stdout": base64.b64encode(done.stdout).decode(),
            "stderr": base64.b64encode(done.stderr).decode(),
        }

    def set_qm_start(self, seconds: float) -> None:
        self._ssh().qm_start_s = seconds

    def close_api(self) -> None:
        self._lab.proxy.close_port()

    def open_api(self) -> None:
        self._lab.proxy.open_port()

    def socks_stop(self) -> None:
        self._ssh().socks.stop()

    def socks_start(self) -> None:
        self._ssh().socks.start()

    def socks_cut_after(self, direction: str, size: int) -> None:
        self._ssh().socks.cut_after(direction, size)

    def socks_counts(self) -> Any:
        socks = self._ssh().socks
        return {"connections": socks.connections, "refused_logins": socks.refused_logins}

    def program_begin(self) -> Any:
        return {"start_s": self._ssh().qm_start_s, "pace": pace.enabled()}

    def program_vms(self, node: str) -> Any:
        return [
            {**vm.summary(), "running": vm.running, "agent": vm.agent_enabled}
            for vm in self._lab.cluster.vms()
            if vm.node == node
        ]

    def program_fault(self, kind: str, vmid: int | None) -> Any:
        self._lab.observer.count_program(kind)
        rule = self._lab.faults.strike(kind, vmid)
        return None if rule is None else asdict(rule)

    def program_act(self, vmid: int, command: str) -> None:
        self._lab.observer.count_act(vmid, command)

    def program_api(self, node: str, path: str, params: dict[str, str]) -> Any:
        """Run an API method as ``pvesh`` does: as root@pam, without HTTP."""
        found = router.find("GET", path)
        if found is None:
            return {"error": f"no 'get' handler for '{path}'\n"}
        method, uri_params = found
        cluster, profile = self._lab.cluster, self._lab.settings.profile
        env = Environment(cluster, self._lab.authority, self._lab.observer)
        try:
            verified = verify({**params, **uri_params}, method.params(profile))
            where = cluster.resolve_node(uri_params["node"]) if "node" in uri_params else node
            return {"data": method.handler(Call(env, profile, _ROOT, where, verified))}
        except ApiError as error:
            details = "".join(f"{name}: {text.rstrip()}\n" for name, text in (error.errors or {}).items())
            return {"error": (f"{error.status} " if error.errors else "") + error.message + details}
