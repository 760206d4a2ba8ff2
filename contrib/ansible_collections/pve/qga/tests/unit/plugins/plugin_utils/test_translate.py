from __future__ import annotations

import base64
import shlex

import pytest

from ansible_collections.pve.qga.plugins.plugin_utils.translate import encoded, is_cleanup, is_question, unwrapped


@pytest.mark.parametrize(
    "line",
    ["id", "echo '汉语' && exit 3", "printf '%s\\n' \"a  b\" # the end", "", "a\nb", "echo $HOME; sudo -H -u x /bin/sh -c 'id'"],
)
@pytest.mark.parametrize("tail", ["", " && sleep 0"])
def test_unwrapped(line: str, tail: str) -> None:
    wrapped = "/bin/sh -c %s" % shlex.quote(line + tail)
    assert unwrapped(wrapped.encode()) == ("/bin/sh", line.encode())


def test_unwrapped_bytes() -> None:
    assert unwrapped(b"/bin/sh -c 'echo \xff\xfe && sleep 0'") == ("/bin/sh", b"echo \xff\xfe")


@pytest.mark.parametrize(
    "command",
    [
        "echo hello",
        "sh -c 'id'",
        "/bin/sh -c id; rm -rf /x",
        "/bin/sh -c 'id' && /bin/true",
        "/bin/sh -c \"id\"",
        "/bin/sh -c 'open",
        "/bin/sh -c 'id' more",
        "FOO=1 /bin/sh -c 'id'",
        "/bin/sh -lc 'id'",
    ],
)
def test_left_alone(command: str) -> None:
    assert unwrapped(command.encode()) == (None, command.encode())


def test_question() -> None:
    assert is_question(b"echo ~") and is_question(b"echo ~root")
    for line in (b"echo ~alice", b"echo ~; rm x", b"echo ~root/x", b"echo `id`", b"echo ~\n"):
        assert not is_question(line)


def test_cleanup() -> None:
    line = b"rm -f -r /root/.ansible/tmp/ansible-tmp-1796078822.03-18383-3105/ > /dev/null 2>&1"
    assert is_cleanup(line)
    for other in (b"rm -f -r /root/ > /dev/null 2>&1", line + b"; id", line[:-5], line.replace(b"/root", b"/$(id)")):
        assert not is_cleanup(other)


def test_encoded() -> None:
    assert encoded("cmd", "é".encode()) == {"cmd": "é"}
    assert encoded("in_path", b"\xff") == {"in_path_base64": base64.b64encode(b"\xff").decode()}
