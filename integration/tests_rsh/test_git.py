"""git over GIT_SSH_COMMAND and GIT_SSH: clone, fetch, push."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import Lab
from program import Result
from rsh import RSH, Rsh

IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "init.defaultBranch", "GIT_CONFIG_VALUE_1": "main",
}  # fmt: skip


@pytest.fixture(params=["GIT_SSH_COMMAND", "GIT_SSH"])
def git(rsh: Rsh, request: pytest.FixtureRequest) -> Rsh:
    return rsh.having(**{request.param: str(RSH)}, **IDENTITY)


@pytest.fixture
def repository(lab: Lab, there: Path) -> str:
    """A bare repository in the guest, in a folder whose name needs quotes."""
    lab.guest(100).run(["git", "init", "-q", "--bare", "-b", "main", "/tmp/there/a 'b'.git"])
    return "web:/tmp/there/a 'b'.git"


def run(git: Rsh, *arguments: str | Path) -> Result:
    done = git.tool("git", *arguments)
    assert done.status == 0, done.stderr
    return done


def commit(git: Rsh, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    run(git, "-C", folder, "add", name)
    run(git, "-C", folder, "commit", "-qm", name)


def test_push_clone_fetch(git: Rsh, repository: str, tmp_path: Path, clean: None) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(git, "init", "-q", first)
    for number in range(20):
        commit(git, first, f"file{number}", bytes(range(256)) * number * 40)
    run(git, "-C", first, "push", "-q", repository, "HEAD:main")
    run(git, "clone", "-q", repository, second)
    heads = [run(git, "-C", folder, "rev-parse", "HEAD").stdout for folder in (first, second)]
    assert heads[0] == heads[1]
    commit(git, second, "more", b"more\n")
    run(git, "-C", second, "push", "-q", "origin", "HEAD:main")
    run(git, "-C", first, "fetch", "-q", repository, "main")
    assert run(git, "-C", first, "rev-parse", "FETCH_HEAD").stdout == run(git, "-C", second, "rev-parse", "HEAD").stdout
    run(git, "-C", first, "fsck", "--strict")


def test_protocol_version_2_is_spoken(git: Rsh, repository: str) -> None:
    """It takes SendEnv=GIT_PROTOCOL, which git only uses where -G says that this is an ssh."""
    done = git.having(GIT_TRACE_PACKET="1").tool("git", "-c", "protocol.version=2", "ls-remote", repository)
    assert done.status == 0 and b"< version 2" in done.stderr


def test_urls_with_user_and_port(git: Rsh, repository: str) -> None:
    assert git.tool("git", "ls-remote", "ssh://root@web:22/tmp/there/a%20'b'.git").status == 0


def test_failures_are_gits(git: Rsh) -> None:
    done = git.tool("git", "ls-remote", "web:/nonexistent")
    assert done.status == 128 and b"does not appear to be a git repository" in done.stderr
    done = git.tool("git", "ls-remote", "nosuchvm:/x")
    assert done.status == 128 and b"pve-qga-rsh" in done.stderr
