"""The calls that tell where VMs and nodes are."""

from __future__ import annotations

import random
import time
from typing import Any

from ..auth import check_privileges
from ..cluster import VM, node_address
from ..errors import ApiError, parameter_error
from ..schema import NODE_PARAMS, VM_PARAMS, Param
from .method import Call, Method

_STARTED = time.time()
_VM_AUDIT = (["VM.Audit"], ["VM.Audit"])
_RESOURCE_TYPES = ("vm", "storage", "node", "sdn")


def _version(call: Call) -> Any:
    profile = call.profile
    return {"version": profile.version, "release": profile.release, "repoid": profile.repoid}


def _resources(call: Call) -> Any:
    wanted = call.params.get("type")
    if wanted is not None and wanted not in _RESOURCE_TYPES:
        listed = ", ".join(_RESOURCE_TYPES)
        raise parameter_error({"type": f"value '{wanted}' does not have a value in the enumeration '{listed}'"})
    entries = [] if wanted not in (None, "vm") else [_vm_entry(call, vm) for vm in _visible(call)]
    if wanted in (None, "node"):
        entries += [{"type": "node", "id": f"node/{n}", "node": n, "status": "online"} for n in call.env.cluster.nodes]
    return entries


def _visible(call: Call) -> list[VM]:
    """The VMs that the caller may see; the others are left out in silence."""
    return [vm for vm in call.env.cluster.vms() if _may(call, f"/vms/{vm.vmid}", "VM.Audit")]


def _may(call: Call, path: str, privilege: str) -> bool:
    try:
        check_privileges(call.identity, path, [privilege])
    except ApiError:
        return False
    return True


def _usage(vm: VM) -> dict[str, Any]:
    return {
        "cpu": 0.01 if vm.running else 0, "maxcpu": 2, "mem": 2**28 if vm.running else 0, "maxmem": 2**30,
        "disk": 0, "maxdisk": 2**33, "uptime": int(time.time() - _STARTED) if vm.running else 0,
        "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0,
    }  # fmt: skip


def _vm_entry(call: Call, vm: VM) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": f"qemu/{vm.vmid}", "type": "qemu", "vmid": vm.vmid, "name": vm.name or f"VM {vm.vmid}", "node": vm.node,
        "status": "running" if vm.running else "stopped", "template": int(vm.template), **_usage(vm),
    }  # fmt: skip
    if vm.tags:
        entry["tags"] = ";".join(vm.tags)
    if vm.pool and _may(call, f"/pool/{vm.pool}", "Pool.Audit"):
        entry["pool"] = vm.pool
    return entry


def _cluster_status(call: Call) -> Any:
    check_privileges(call.identity, "/", ["Sys.Audit"])
    nodes = call.env.cluster.nodes
    entries: list[dict[str, Any]] = [
        {"type": "cluster", "id": "cluster", "name": "lab", "nodes": len(nodes), "quorate": 1, "version": len(nodes)}
    ]
    for index, node in enumerate(nodes):
        local = int(node == call.env.cluster.local_node)
        entries.append(
            {"type": "node", "id": f"node/{node}", "name": node, "nodeid": index + 1, "ip": node_address(index),
             "local": local, "online": 1, "level": ""}
        )  # fmt: skip
    return entries


def _network(call: Call) -> Any:
    index = call.env.cluster.nodes.index(call.node)
    card = {
        "iface": "eno1", "type": "eth", "active": 1, "exists": 1, "method": "manual", "method6": "manual",
        "families": ["inet"], "priority": 3,
    }  # fmt: skip
    # Perl's hashes have no order, and vmbr1, for storage, does not lead to the node: the gateway tells which does.
    storage = _bridge("vmbr1", f"192.0.2.{index + 1}", "24", 4)
    public = {**_bridge("vmbr0", node_address(index), "8", 5), "gateway": "127.0.0.254"}
    interfaces = [card, storage, public]
    random.shuffle(interfaces)
    return interfaces


def _bridge(name: str, address: str, prefix: str, priority: int) -> dict[str, Any]:
    return {
        "iface": name, "type": "bridge", "active": 1, "autostart": 1, "method": "static", "method6": "manual",
        "families": ["inet"], "address": address, "netmask": prefix, "cidr": f"{address}/{prefix}",
        "bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0", "priority": priority,
    }  # fmt: skip


def _vm_status(call: Call) -> Any:
    vm = call.vm()
    status: dict[str, Any] = {
        "vmid": vm.vmid, "name": vm.name, "status": "running" if vm.running else "stopped",
        "qmpstatus": "running" if vm.running else "stopped", "ha": {"managed": 0}, "cpus": 2, **_usage(vm),
    }  # fmt: skip
    if vm.agent_enabled:
        status["agent"] = 1
    return {**status, "pid": 1000 + vm.vmid} if vm.running else status


def _vm_config(call: Call) -> Any:
    vm = call.vm()
    config: dict[str, Any] = {
        "name": vm.name, "cores": 2, "memory": "1024", "ostype": "l26", "boot": "order=scsi0",
        "digest": f"{vm.vmid:040x}",
    }  # fmt: skip
    if vm.agent_enabled:
        config["agent"] = "1"
    return {**config, "tags": ";".join(vm.tags)} if vm.tags else config


_VM_PATH = "/nodes/{node}/qemu/{vmid}"

METHODS = [
    Method("GET", "/version", "version", _version),
    Method("GET", "/cluster/resources", "resources", _resources, {"type": Param(optional=True)}),
    Method("GET", "/cluster/status", "cluster-status", _cluster_status, protected=True),
    Method("GET", "/nodes/{node}/network", "network", _network, {**NODE_PARAMS, "type": Param(optional=True)}),
    Method("GET", _VM_PATH + "/status/current", "status", _vm_status, VM_PARAMS, _VM_AUDIT, protected=True),
    Method("GET", _VM_PATH + "/config", "config", _vm_config, VM_PARAMS, _VM_AUDIT),
]
