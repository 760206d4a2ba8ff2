"""The kinds of socket guest, and what can be done to a guest beside the API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import Lab, LabError
from rawhttp import Api


def test_guest_writes_do_not_reach_the_machine(lab: Lab, api: Api) -> None:
    api.run("sh", "-c", "echo here > /root/lab-was-here; echo here > /tmp/x")
    assert lab.guest(100).path("/root/lab-was-here").read_text() == "here\n"
    assert lab.guest(100).run(["cat", "/tmp/x"]).stdout == b"here\n"
    assert not Path("/root/lab-was-here").exists()


def test_run_beside_the_api(lab: Lab) -> None:
    done = lab.guest(100).run(["sh", "-c", "cat; echo err >&2; exit 4"], stdin=b"\0\xff")
    assert (done.exit_code, done.stdout, done.stderr) == (4, b"\0\xff", b"err\n")
    assert lab.counters()["requests_total"] == 0


def test_processes(lab: Lab, api: Api) -> None:
    api.exec("sleep", "0.4", vmid=107)
    (process,) = lab.guest(107).processes()
    assert process["argv"] == ["sleep", "0.4"]
    time.sleep(0.5)
    assert lab.guest(107).processes() == []


def test_hidden_tools_small_disk_read_only(lab: Lab, api: Api) -> None:
    options = {"vmid": 105, "node": "pve2"}
    assert api.run("sh", "-c", "command -v base64 || command -v setsid || echo none", **options)["out-data"] == "none\n"
    assert "No space left" in api.run("sh", "-c", "head -c 100000 /dev/zero > /full/x", **options)["err-data"]
    assert "Read-only" in api.run("touch", "/srv/x", **options)["err-data"]


def test_bash_as_sh(lab: Lab) -> None:
    assert lab.guest(104).run(["/bin/sh", "-c", "echo $BASH_VERSION"]).stdout.strip()


def test_busybox_root(api: Api) -> None:
    script = "echo $HOME; readlink /bin/sh; for tool in python3 script stdbuf perl; do command -v $tool; done; busybox"
    home, shell, *rest = api.run("sh", "-c", script, vmid=106)["out-data"].split("\n")
    assert (home, shell) == ("/", "/bin/busybox") and rest[0].startswith("BusyBox")
    pipeline = "printf abc | base64 | gzip -c | gunzip | base64 -d | sha256sum"
    assert api.run("sh", "-c", pipeline, vmid=106)["exitcode"] == 0


def test_stop_and_start_vm(lab: Lab, api: Api) -> None:
    lab.stop_vm(107)
    assert api.exec("true", vmid=107).reason == "VM 107 is not running"
    lab.start_vm(107)
    assert api.run("true", vmid=107)["exitcode"] == 0


def test_one_client_at_a_time_and_stale_answers(lab: Lab, api: Api) -> None:
    """A client that left before its answer leaves it to the next one, which has to skip it."""
    lab.freeze_agent(107)
    assert api.agent("POST", "ping", vmid=107).status == 500
    lab.unfreeze_agent(107)
    assert api.agent("POST", "ping", vmid=107).status == 200


def test_late_agent() -> None:
    with Lab(vms=["100:late:pve1:late,seconds=3.5"]) as late, Api(late) as api:
        assert api.agent("POST", "ping").reason == "QEMU guest agent is not running"
        time.sleep(1)
        assert api.agent("POST", "ping").status == 200


def test_bad_specifications() -> None:
    wrong = ("100:web:pve1:nokind", "100:web:pve1:none,root=busybox", "100:web:pve1:qemu,ssh=1")
    for spec in ("100:web:pve1", "x:web:pve1:socket", *wrong):
        with pytest.raises(LabError):
            Lab(vms=[spec])


def test_nothing_outlives_a_killed_lab() -> None:
    package_parent = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "up"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(package_parent)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    marker = f"/proc/{process.pid}/task/{process.pid}/children"
    children = [int(pid) for pid in Path(marker).read_text().split()]
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children and not any(Path(f"/proc/{pid}").exists() for pid in children)
