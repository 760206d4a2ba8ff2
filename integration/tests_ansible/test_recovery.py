"""Guests that are stopped, rebooted, or whose agent ends, and that are worked with again."""

from __future__ import annotations

from conftest import FRAIL, Ansible


def test_recovery(ansible: Ansible) -> None:
    ansible.run("recovery.yml", {"frail": {}}, vmid=FRAIL).succeeded()
