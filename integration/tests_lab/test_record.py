"""Recordings: what they keep, and that they can be played again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, LabError
from rawhttp import Api


def entries(directory: Path) -> list[dict[str, Any]]:
    return list(json.loads((directory / "index.json").read_text()))


def test_requests_and_answers_are_kept_in_order(lab: Lab, api: Api, tmp_path: Path) -> None:
    api.get("/version")
    lab.record(tmp_path / "tape")
    pid = api.exec("echo", "x" * 5000).data["pid"]
    api.get(f"/nodes/pve1/qemu/100/agent/exec-status?pid={pid}", headers={"Accept-Encoding": "gzip"})
    api.get("/nodes/pve1/qemu/999/config")
    assert lab.stop_recording() == 3
    api.get("/version")

    first, second, third = entries(tmp_path / "tape")
    assert (first["method"], first["kind"], first["vmid"], first["status"]) == ("POST", "exec", 100, 200)
    assert json.loads((tmp_path / f"tape/{first['number']}.body").read_bytes())["command"] == ["echo", "x" * 5000]
    assert json.loads((tmp_path / f"tape/{first['number']}.answer").read_bytes())["data"]["pid"] == pid
    assert (second["kind"], second["gzip"], first["gzip"]) == ("exec-status", True, False)
    assert second["target"].endswith(f"/exec-status?pid={pid}")
    assert (tmp_path / f"tape/{second['number']}.body").read_bytes() == b""
    assert "data" in json.loads((tmp_path / f"tape/{second['number']}.answer").read_bytes())
    assert (third["kind"], third["status"]) == ("config", 500)


def test_lost_answers_are_marked(lab: Lab, api: Api, tmp_path: Path) -> None:
    lab.fault("version", "cut-after")
    lab.record(tmp_path / "tape")
    with pytest.raises(EOFError):
        api.get("/version")
    assert lab.stop_recording() == 1
    assert [entry["status"] for entry in entries(tmp_path / "tape")] == [0]


def test_recordings_hold_no_credentials(lab: Lab, api: Api, tmp_path: Path) -> None:
    lab.record(tmp_path / "tape")
    api.agent("GET", "info")
    lab.stop_recording()
    assert not [path for path in (tmp_path / "tape").iterdir() if b"CANARY" in path.read_bytes()]


def test_misuse(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="nothing is being recorded"):
        lab.stop_recording()
    with pytest.raises(LabError, match="FileExists"):
        lab.record(tmp_path)
