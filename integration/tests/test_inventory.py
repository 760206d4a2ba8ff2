"""``inventory`` and ``list``: the cluster's VMs for Ansible and for people. They have a lab of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from program import FAILURE, PROGRAM, Program, Result

pytestmark = pytest.mark.ways("api", why="counts and breaks the API's calls")

VMS = [
    "100:web:pve1:socket,tags=prod+web-1.x,pool=shop/front",
    "101:db:pve1:qemu,tags=prod",
    "102:silent:pve2:none",
    "103:deaf:pve1:noagent",
    "104:off:pve2:stopped,tags=spare",
    "105:gold:pve1:stopped,template=1",
    "106:evil:pve2:socket,tags={{7*7}}+ok",
    "107:twin:pve1:noagent",
    "108:Twin:pve2:stopped",
    "109:twin-107:pve1:noagent",
    "110::pve1:noagent",
    "111:200:pve1:noagent",
    "112:localhost:pve2:noagent",
    "113:größe 漢:pve2:noagent,tags=ünï",
    "114:mute:pve2:socket,block=guest-network-get-interfaces",
]
HOSTS = [
    "web", "db", "silent", "deaf", "evil", "twin-107", "twin-107-109", "VM_110", "200-111", "localhost-112",
    "größe_漢", "mute",
]  # fmt: skip
HOSTILE = """\
ID="{{ 7 * 7 }}"
NAME="#jinja2: variable_start_string:'[['\\n[[ 7 * 7 ]]"
PRETTY_NAME="{{ lookup('pipe', 'touch %s') }}"
VERSION="\x1b]0;gotcha\x07 \\"} , {"
VERSION_ID="{%% raw %%}"
"""


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    with Lab(vms=VMS) as lab:
        lab.set_unauthorized_delay(0)
        yield lab


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    module_lab.reset_counters()
    yield module_lab
    module_lab.clear_faults()


@pytest.fixture(scope="module")
def pwned(module_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest ``evil`` says what its name says; its template would make this file."""
    path = tmp_path_factory.mktemp("pwned") / "yes"
    written = module_lab.guest(106).run(["tee", "/etc/os-release"], stdin=(HOSTILE % path).encode())
    assert written.exit_code == 0
    return path


def inventory(program: Program, *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(program.run("inventory", "--list", *arguments).succeeded().stdout)
    return result


@pytest.fixture(scope="module")
def listed(module_lab: Lab, pwned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The inventory as it is while no test changes anything."""
    program = Program(module_lab, tmp_path_factory.mktemp("home"))
    return inventory(program)


def hosts(listed: dict[str, Any], group: str) -> list[str]:
    result: list[str] = listed[group]["hosts"]
    return result


def variables(listed: dict[str, Any], host: str) -> dict[str, Any]:
    result: dict[str, Any] = listed["_meta"]["hostvars"][host]
    return result


def token(program: Program, lab: Lab, privileges: dict[str, list[str]]) -> Program:
    made = lab.add_token("some@pve!one", privileges)
    return program.having(PROXMOX_USER=made["token_id"], PROXMOX_TOKEN_SECRET=made["token_secret"])


# ---- names and groups ----


def test_hosts_are_the_vms_that_run(listed: dict[str, Any]) -> None:
    """Their names are the VMs', with the id behind those that are missing, not unique, or taken by Ansible."""
    assert hosts(listed, "proxmox_guests") == HOSTS
    assert list(listed["_meta"]["hostvars"]) == HOSTS


def test_names_do_not_depend_on_what_runs(program: Program, lab: Lab, listed: dict[str, Any]) -> None:
    lab.start_vm(108)
    try:
        assert hosts(inventory(program), "proxmox_guests") == [*HOSTS[:6], "Twin-108", *HOSTS[6:]]
    finally:
        lab.stop_vm(108)
    assert inventory(program)["proxmox_guests"] == listed["proxmox_guests"]


def test_groups(listed: dict[str, Any]) -> None:
    assert hosts(listed, "node_pve2") == ["silent", "evil", "localhost-112", "größe_漢", "mute"]
    assert hosts(listed, "tag_prod") == ["web", "db"]
    assert hosts(listed, "tag_web_1_x") == ["web"]
    assert hosts(listed, "pool_shop_front") == ["web"]
    assert hosts(listed, "tag__n_") == ["größe_漢"]
    assert {"web", "mute"} <= set(hosts(listed, "os_debian"))
    groups = set(listed) - {"_meta", "all"}
    assert set(listed["all"]["children"]) == groups | {"ungrouped"}
    assert all(name.isascii() and name.isidentifier() for name in groups)
    assert "tag_spare" not in groups


def test_all_has_stopped_vms_too_but_no_templates(program: Program) -> None:
    listed = inventory(program, "--all")
    names = hosts(listed, "proxmox_guests")
    assert set(names) == {*HOSTS, "off", "Twin-108"} and "gold" not in names
    assert variables(listed, "off")["proxmox_status"] == "stopped"
    assert hosts(listed, "tag_spare") == ["off"]


# ---- variables ----


def test_variables(listed: dict[str, Any]) -> None:
    web = variables(listed, "web")
    assert {name: web[name] for name in web if not name.startswith(("proxmox_os", "proxmox_agent"))} == {
        "ansible_connection": "pve.qga.guest",
        "proxmox_vmid": 100,
        "proxmox_name": "web",
        "proxmox_node": "pve1",
        "proxmox_status": "running",
        "proxmox_vmtype": "qemu",
        "proxmox_template": False,
        "proxmox_tags": "prod;web-1.x",
        "proxmox_tags_parsed": ["prod", "web-1.x"],
        "proxmox_pool": "shop/front",
    }
    assert variables(listed, "200-111")["proxmox_name"] == "200"
    assert "CANARY" not in json.dumps(listed), "credentials"
    assert variables(listed, "größe_漢")["proxmox_name"] == "größe 漢"


def test_what_agents_tell(listed: dict[str, Any], lab: Lab) -> None:
    web = variables(listed, "web")
    release = dict(
        line.partition("=")[::2] for line in lab.guest(100).run(["cat", "/etc/os-release"]).stdout.decode().split("\n")
    )
    assert web["proxmox_os_id"] == "debian"
    assert web["proxmox_os_pretty_name"] == release["PRETTY_NAME"].strip('"')
    assert web["proxmox_os_version_id"] == release["VERSION_ID"].strip('"')
    assert web["proxmox_os_kernel"] == os.uname().release and web["proxmox_os_machine"] == os.uname().machine
    interfaces = {interface["name"]: interface for interface in web["proxmox_agent_interfaces"]}
    assert "127.0.0.1/8" in interfaces["lo"]["ip-addresses"]
    assert interfaces["lo"]["mac-address"] == "00:00:00:00:00:00"
    assert not any(address.startswith(("127.", "fe80:")) for address in web["proxmox_agent_addresses"])
    told = [address for interface in interfaces.values() for address in interface["ip-addresses"]]
    assert {address.partition("/")[0] for address in told} >= set(web["proxmox_agent_addresses"])


def test_what_a_real_guest_tells(listed: dict[str, Any], lab: Lab) -> None:
    db = variables(listed, "db")
    kernel = lab.guest(101).run(["uname", "-r"]).stdout.decode().strip()
    assert db["proxmox_os_kernel"] == kernel
    assert [interface["name"] for interface in db["proxmox_agent_interfaces"]][0] == "lo"
    assert hosts(listed, f"os_{db['proxmox_os_id']}") == ["db"]


def test_guests_that_tell_nothing_are_hosts_all_the_same(program: Program, listed: dict[str, Any]) -> None:
    for host in ("silent", "deaf"):
        assert not [name for name in variables(listed, host) if name.startswith(("proxmox_os", "proxmox_agent"))]
    assert "proxmox_agent_interfaces" not in variables(listed, "mute")
    assert variables(listed, "mute")["proxmox_os_id"] == "debian"
    told = program.run("inventory", "--list", "-v").stderr.decode().splitlines()
    for host, why in (("silent", "not running"), ("deaf", "No QEMU guest agent"), ("mute", "disabled")):
        assert [line for line in told if f"{host}, VM " in line and why in line], told


def test_host(program: Program, listed: dict[str, Any]) -> None:
    for host in ("web", "silent", "größe_漢", "twin-107"):
        result = program.run("inventory", "--host", host).succeeded()
        assert json.loads(result.stdout) == variables(listed, host)


@pytest.mark.parametrize("host", ["nope", "off", "gold", "107", "twin", "", "WEB"])
def test_unknown_host_has_no_variables(program: Program, host: str) -> None:
    assert program.run("inventory", "--host", host).succeeded().stdout == b"{}\n"


# ---- guests are not trusted ----


def test_hostile_guest(listed: dict[str, Any], pwned: Path) -> None:
    """Nothing that a guest says can be a template, another host's variable, or more than a text."""
    evil = variables(listed, "evil")
    assert evil["proxmox_os_pretty_name"] == {"__ansible_unsafe": f"{{{{ lookup('pipe', 'touch {pwned}') }}}}"}
    assert set(evil["proxmox_os_version"]) == {"__ansible_unsafe"}
    assert "\x1b" not in evil["proxmox_os_version"]["__ansible_unsafe"]
    assert evil["proxmox_tags_parsed"] == [{"__ansible_unsafe": "{{7*7}}"}, "ok"]
    assert hosts(listed, "os____7___7___") == ["evil"] and hosts(listed, "tag___7_7__") == ["evil"]
    assert hosts(listed, "proxmox_guests") == HOSTS


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "vms"
    path.write_text(f'#!/bin/sh\nexec "{PROGRAM}" inventory "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def ansible(program: Program, *arguments: str | Path) -> str:
    environment = {**program.environment, "ANSIBLE_HOME": str(program.home), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return done.stdout


def test_ansible_takes_it(program: Program, script: Path, listed: dict[str, Any], pwned: Path) -> None:
    taken = json.loads(ansible(program, "ansible-inventory", "-i", script, "--list"))
    assert set(taken["proxmox_guests"]["hosts"]) == set(HOSTS)
    assert taken["_meta"]["hostvars"]["web"] == variables(listed, "web")
    assert {name for name in taken if name.startswith("tag_")} == {n for n in listed if n.startswith("tag_")}
    assert not pwned.exists()


def test_ansible_evaluates_nothing_of_a_guest(program: Program, script: Path, pwned: Path) -> None:
    show = "{{ [proxmox_os_id, proxmox_os_name, proxmox_os_pretty_name, proxmox_tags_parsed, proxmox_tags] | to_json }}"
    told = ansible(
        program, "ansible", "evil", "-i", script, "-e", "ansible_connection=local", "-m", "debug", "-a", f"msg={show}"
    )
    assert "lookup(" in told and "{{ 7 * 7 }}" in told and "[[ 7 * 7 ]]" in told and "{{7*7}}" in told
    assert "49" not in told and not pwned.exists()


# ---- calls ----


def test_calls(program: Program, lab: Lab) -> None:
    """Two for each guest at most, one for one that does not answer, and never more at a time than allowed."""
    inventory(program)
    requests = lab.counters()["requests"]
    assert requests.pop("resources") == 1
    assert requests == {"get-osinfo": len(HOSTS), "network-get-interfaces": 4}
    assert max(lab.counters()["peak_in_flight"].values()) <= 3
    lab.reset_counters()
    program.run("inventory", "--host", "web").succeeded()
    assert lab.counters()["requests"] == {"resources": 1, "get-osinfo": 1, "network-get-interfaces": 1}


def test_calls_as_asked(program: Program, lab: Lab) -> None:
    inventory(program, "--calls-per-node=1")
    assert max(lab.counters()["peak_in_flight"].values()) == 1


def test_list_asks_no_agent(program: Program, lab: Lab) -> None:
    program.run("list").succeeded()
    assert lab.counters()["requests"] == {"resources": 1}


# ---- failures ----


def refused(result: Result, *words: str) -> None:
    result.failed(*words)
    assert result.stdout == b""


@pytest.mark.parametrize("command", [["inventory", "--list"], ["inventory", "--host", "web"], ["list"]])
def test_endpoint_fails(program: Program, lab: Lab, command: list[str]) -> None:
    refused(program.having(PROXMOX_PORT="1").run(*command), "connecting to 127.0.0.1:1")
    refused(program.having(PROXMOX_TOKEN_SECRET="CANARY-wrong").run(*command), "token")
    refused(program.having(PROXMOX_HOST=None).run(*command), "no host was given")
    lab.fault("resources", "garbage", garbage="deep", count=0)
    refused(program.run(*command), "API")


def test_credentials_that_end_in_between(program: Program, lab: Lab) -> None:
    """Better no inventory than one whose groups lack hosts because nobody could be asked."""
    lab.fault("get-osinfo", "status-before", status=401, reason="Authentication failed!", count=0)
    refused(program.run("inventory", "--list"), "credentials")


def test_agents_that_nobody_may_ask(program: Program, lab: Lab) -> None:
    """One warning for all of them, since the hosts can be used only by somebody who may."""
    result = token(program, lab, {"/vms": ["VM.Audit"]}).run("inventory", "--list")
    assert result.status == 0 and "VM.GuestAgent.Audit" in result.complaint
    assert hosts(json.loads(result.stdout), "proxmox_guests") == HOSTS
    assert "pool_shop_front" not in json.loads(result.stdout)


def test_audit_is_enough(program: Program, lab: Lab) -> None:
    allowed = token(program, lab, {"/vms/100": ["VM.Audit", "VM.GuestAgent.Audit"]})
    assert variables(inventory(allowed), "web")["proxmox_os_id"] == "debian"
    lab.set_profile("pve8")
    try:
        allowed = token(program, lab, {"/vms/100": ["VM.Audit", "VM.Monitor"]})
        assert variables(inventory(allowed), "web")["proxmox_os_id"] == "debian"
    finally:
        lab.set_profile("pve9.2")


def test_nobody_to_be_seen(program: Program, lab: Lab) -> None:
    blind = token(program, lab, {})
    result = blind.run("inventory", "--list")
    assert result.status == 0 and "VM.Audit" in result.complaint
    assert json.loads(result.stdout) == {
        "_meta": {"hostvars": {}},
        "proxmox_guests": {"hosts": []},
        "all": {"children": ["ungrouped", "proxmox_guests"]},
    }
    assert blind.run("list").stdout == b"VMID  NAME  NODE  STATUS  TAGS\n"


@pytest.mark.parametrize("garbage", ["not-json", "huge", "deep", "empty"])
def test_garbled_answers_leave_the_others(program: Program, lab: Lab, garbage: str) -> None:
    lab.fault("get-osinfo", "garbage", garbage=garbage, vmid=100, count=0)
    result = program.run("inventory", "--list")
    assert result.status == 0 and "web, VM 100" in result.complaint
    listed = json.loads(result.stdout)
    assert "proxmox_os_id" not in variables(listed, "web")
    assert "proxmox_os_id" in variables(listed, "mute")


def test_usage(program: Program) -> None:
    program.run("inventory").failed("--list or --host")
    program.run("inventory", "--list", "--host", "web").failed("exclude each other", "-H")
    program.run("inventory", "--list", "web").failed("unexpected", "web")
    program.run("list", "web").failed("unexpected", "web")
    full = subprocess.run(
        [PROGRAM, "inventory", "--list"], env=program.environment, stdout=open("/dev/full", "wb"),
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert full.returncode == FAILURE and b"No space left" in full.stderr


def test_the_server_can_be_named_before_the_command(program: Program, lab: Lab) -> None:
    elsewhere = program.having(PROXMOX_HOST=None)
    for given in (["--host", lab.host, "inventory"], ["inventory", "-H", lab.host]):
        assert elsewhere.run(*given, "--host", "nope").succeeded().stdout == b"{}\n"


# ---- list ----


def test_list(program: Program) -> None:
    lines = program.run("list").succeeded().stdout.decode().splitlines()
    assert lines[0].split() == ["VMID", "NAME", "NODE", "STATUS", "TAGS"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["100"].split() == ["100", "web", "pve1", "running", "prod;web-1.x"]
    assert list(rows) == sorted(rows) and not {"104", "105", "108"} & set(rows)
    columns = {line.index(node) for line in lines[1:] for node in ("pve1", "pve2") if node in line}
    assert len(columns) == 1
    everything = program.run("list", "--all").succeeded().stdout.decode()
    assert "stopped" in everything and "gold" not in everything
