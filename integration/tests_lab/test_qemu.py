"""The real QEMU guest: what only a virtio-serial port shows."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import Lab
from rawhttp import Api


@pytest.fixture
def real(qemu_lab: Lab) -> Iterator[Api]:
    with Api(qemu_lab) as api:
        yield api


def test_commands_and_files(real: Api) -> None:
    status = real.run("sh", "-c", "echo $HOME; uname -r; exit 5", vmid=200)
    assert status["exitcode"] == 5 and status["out-data"].startswith("/\n6.")
    real.agent("POST", "file-write", {"file": "/tmp/x", "content": "\u00ff\0"}, vmid=200)
    assert real.agent("GET", "file-read?file=/tmp/x", vmid=200).data["content"] == "\u00ff\0"
    assert real.lab.guest(200).run(["cat", "/tmp/x"]).stdout == b"\xff\0"


def test_calls_made_one_after_the_other_meet_the_agents_sleep(real: Api) -> None:
    seconds = [real.agent("POST", "ping", vmid=200, fresh=False).seconds for _ in range(5)]
    assert 0.15 < statistics.median(seconds) < 0.4


def test_processes_and_restart(real: Api) -> None:
    guest = real.lab.guest(200)
    pid = real.exec("sh", "-c", "setsid sleep 99 & sleep 98", vmid=200).data["pid"]
    time.sleep(0.5)
    assert sorted(p["argv"][-1] for p in guest.processes() if p["comm"] == "sleep") == ["98", "99"]
    real.lab.restart_agent(200)
    assert [p for p in guest.processes() if p["comm"] == "sleep"] == []
    assert real.status(pid, vmid=200).reason == "Agent error: Invalid parameter 'pid'"


def test_frozen_agent_process(real: Api) -> None:
    real.lab.freeze_agent(200)
    assert real.agent("POST", "ping", vmid=200).reason == "QEMU guest agent is not running"
    real.lab.unfreeze_agent(200)
    time.sleep(0.3)
    assert real.agent("POST", "ping", vmid=200).status == 200


def test_room_for_large_files(real: Api) -> None:
    done = real.lab.guest(200).run(["sh", "-c", "dd if=/dev/zero of=/tmp/big bs=1M count=256 && rm /tmp/big"])
    assert done.exit_code == 0


def test_frozen_guest(real: Api) -> None:
    assert real.agent("POST", "fsfreeze-freeze", vmid=200).data["result"] >= 1
    assert "has been disabled" in real.exec("true", vmid=200).reason
    assert real.agent("POST", "fsfreeze-thaw", vmid=200).data["result"] >= 1
    assert real.exec("true", vmid=200).status == 200


@pytest.fixture(scope="module")
def debian() -> Iterator[Api]:
    if not os.environ.get("PVE_QGA_LAB_FULL"):
        pytest.skip("boots a second guest; set PVE_QGA_LAB_FULL=1")
    with Lab(vms=["201:debian:pve1:qemu,root=debian,ssh=1"]) as lab, Api(lab) as api:
        yield api


def test_debian_root(debian: Api) -> None:
    for tool in ("bash", "perl", "script", "flock", "setsid", "awk", "base64", "python3"):
        assert debian.run("sh", "-c", f"command -v {tool}", vmid=201)["exitcode"] == 0
    environment = debian.run("env", vmid=201)["out-data"].split("\n")
    assert {line.split("=")[0] for line in environment if line} == {"LANG", "PATH"}
    assert debian.agent("GET", "get-osinfo", vmid=201).data["result"]["id"] == "debian"


def test_python_finds_its_library_compiled(debian: Api) -> None:
    script = "import ssl, sqlite3, zipfile, json.decoder as d; print(d.__cached__)"
    told = debian.run("python3", "-v", "-c", script, vmid=201)
    assert told["exitcode"] == 0
    cached = told["out-data"].strip()
    assert f"code object from '{cached}'" in told["err-data"] and "# wrote" not in told["err-data"]


def test_ssh_server(debian: Api) -> None:
    assert debian.lab.guest(201).processes() == []
    access = debian.lab.guest(201).ssh
    assert access.key.stat().st_mode & 0o077 == 0 and access.key.parent.stat().st_mode & 0o077 == 0
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={access.known_hosts}"]
    command = ["ssh", *options, "-i", str(access.key), "-p", str(access.port), f"{access.user}@{access.host}"]
    done = subprocess.run([*command, "cat; id -u; hostname; exit 3"], input=b"here\n", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"here\n0\ndebian\n")
