"""Programs that start ssh on many hosts, and pipes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rsh import RSH, Rsh, facts, make_tree


def test_parallel(rsh: Rsh, clean: None) -> None:
    done = rsh.tool(
        "parallel", "--will-cite", "--ssh", RSH, "-S", "1/web,1/root@db", "-k", "echo {} $(hostname); exit {}", ":::", "0", "3",
        "'a b'",
    )  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert [line.rsplit(" ", 1)[0] for line in lines] == ["0", "3", "'a b'"]
    assert done.status == 2  # jobs that failed: 3, and "exit a b"


def test_parallel_with_files(rsh: Rsh, tmp_path: Path) -> None:
    """--transfer and --return run rsync through the same program."""
    for name in ("a", "b-c"):
        (tmp_path / name).write_text(name)
    done = rsh.having(PARALLEL_SSH=str(RSH)).tool(
        "parallel", "--will-cite", "-S", "web,db", "--workdir", "/tmp/work", "--transfer", "--return", "{}.out", "--cleanup",
        "tr a-z A-Z <{} >{}.out", ":::", "a", "b-c", cwd=tmp_path,
        env={"RSYNC_RSH": str(RSH), "PARALLEL_RSYNC_OPTS": f"-rlDzR -e {RSH}"},
    )  # fmt: skip
    assert done.status == 0, done.stderr
    assert (tmp_path / "a.out").read_text() == "A" and (tmp_path / "b-c.out").read_text() == "B-C"


def test_clush(rsh: Rsh) -> None:
    command = ["clush", "-S", "-w", "web,db", "-o", "-q", "-O", f"ssh_path={RSH}"]
    done = rsh.tool(*command, "hostname; cat; echo err >&2; exit 5", stdin=b"input\n")
    assert done.status == 5
    lines = done.stdout.decode().splitlines()
    assert sorted(line.split(":")[0] for line in lines) == ["db", "db", "web", "web"]
    assert sorted(line for line in lines if "input" in line) == ["db: input", "web: input"]
    assert done.stderr.decode().count(": err\n") == 2


def test_tar_in(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 200)
    with subprocess.Popen(["tar", "-cf", "-", "-C", tree, "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout
        rsh.run("web", "tar", "-xpf", "-", "-C", "/tmp/there", stdin=tar.stdout).succeeded()
    assert facts(there) == facts(tree)


def test_tar_out(rsh: Rsh, there: Path, tmp_path: Path) -> None:
    tree = make_tree(there / "tree", 200)
    (tmp_path / "out").mkdir()
    with rsh.start("web", "tar -cf - -C /tmp/there/tree . && exit 3") as process:
        subprocess.run(["tar", "-xpf", "-", "-C", tmp_path / "out"], stdin=process.stdout, check=True)
    assert process.returncode == 3
    assert facts(tmp_path / "out") == facts(tree)


def test_both_ways_at_the_same_time(rsh: Rsh) -> None:
    """A filter that gives as much as it takes, from a pipe to a pipe, with a slow end."""
    size = 8_000_000
    line = f"head -c {size} /dev/urandom >{rsh.home}/in; cat {rsh.home}/in | {RSH} web 'tr a-z A-Z' | (sleep 2; cat)"
    done = rsh.tool("sh", "-c", line)
    data = Path(rsh.home / "in").read_bytes()
    assert len(data) == size and done.stdout == data.upper()
