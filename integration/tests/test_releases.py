"""Every release of Proxmox VE that is supported: commands, output, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import ALPINE, WEB
from lab import Lab
from lab.profiles import PROFILES
from noise import noise
from program import Program

pytestmark = pytest.mark.ways("api", why="releases differ in the API")

MIB = 1024 * 1024


@pytest.fixture(params=PROFILES)
def release(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    lab.set_profile(request.param)
    yield request.param


@pytest.mark.parametrize("vmid", [WEB, ALPINE], ids=["debian", "busybox"])
def test_commands(program: Program, release: str, vmid: int) -> None:
    data = noise(300_000)
    result = program.shell(vmid, "cat; echo '汉语, `x`' >&2; exit 6", stdin=data)
    assert (result.status, result.stdout, result.stderr.decode()) == (6, data, "汉语, `x`\n")


@pytest.mark.parametrize("vmid", [WEB, ALPINE], ids=["debian", "busybox"])
@pytest.mark.parametrize("size", [0, 100_000, MIB])
def test_files(
    program: Program, release: str, remote: Callable[[int], str], tmp_path: Path, vmid: int, size: int
) -> None:
    (tmp_path / "there").write_bytes(noise(size))
    program.put(vmid, tmp_path / "there", f"{remote(vmid)}/汉语 1").succeeded()
    program.fetch(vmid, f"{remote(vmid)}/汉语 1", tmp_path / "back").succeeded()
    assert (tmp_path / "back").read_bytes() == noise(size)


def test_session(program: Program, release: str) -> None:
    with program.serve(vm=WEB) as client:
        assert client.exec_command("echo one").stdout == b"one\n"
        client.ping()


def test_upgrade_during_the_session(program: Program, lab: Lab) -> None:
    """What was learned of one release may be wrong for the next; here the node is taken back to an old one."""
    with program.serve(vm=WEB) as client:
        for profile in ("pve9.2", "pve8.0-old", "pve9.0", "pve8"):
            lab.set_profile(profile)
            assert client.exec_command("cat", stdin=noise(300_000)).stdout == noise(300_000), profile
            client.put_bytes(noise(MIB), "/tmp/upgrade")
            assert client.exec_command("cat /tmp/upgrade; rm /tmp/upgrade").stdout == noise(MIB), profile
