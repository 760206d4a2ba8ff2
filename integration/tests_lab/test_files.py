"""file-read and file-write against a real agent."""

from __future__ import annotations

import base64

import pytest

from lab import Lab
from rawhttp import Api, content_bytes, joined_base64

EVERY_BYTE = bytes(range(256))


def put(lab: Lab, data: bytes, path: str = "/tmp/file") -> None:
    lab.guest(100).path(path).write_bytes(data)


def test_write_is_exact_and_truncates(lab: Lab, api: Api) -> None:
    put(lab, b"x" * 100_000)
    content = (EVERY_BYTE * 240).decode("latin-1")
    assert len(content) == 61440
    answer = api.agent("POST", "file-write", {"file": "/tmp/file", "content": content})
    assert answer.json == {"data": None}
    assert lab.guest(100).path("/tmp/file").read_bytes() == content.encode("latin-1")


def test_write_limit(api: Api) -> None:
    answer = api.agent("POST", "file-write", {"file": "/tmp/file", "content": "x" * 61441})
    assert answer.json["errors"] == {"content": "value may only be 61440 characters long"}


def test_write_of_base64(lab: Lab, api: Api) -> None:
    data = EVERY_BYTE * 180
    content = base64.b64encode(data).decode()
    assert len(content) == 61440
    assert api.agent("POST", "file-write", {"file": "/tmp/file", "content": content, "encode": 0}).status == 200
    assert lab.guest(100).path("/tmp/file").read_bytes() == data


def test_new_files_have_mode_0666(lab: Lab, api: Api) -> None:
    api.agent("POST", "file-write", {"file": "/tmp/new", "content": "x"})
    assert lab.guest(100).run(["stat", "-c", "%a", "/tmp/new"]).stdout == b"666\n"


def test_write_makes_three_commands(lab: Lab, api: Api) -> None:
    api.agent("POST", "file-write", {"file": "/tmp/new", "content": "x"})
    assert lab.counters()["acts"] == {"guest-file-open": 1, "guest-file-write": 1, "guest-file-close": 1}


def test_read(lab: Lab, api: Api) -> None:
    put(lab, EVERY_BYTE)
    answer = api.agent("GET", "file-read?file=/tmp/file").data
    assert content_bytes(answer["content"]) == EVERY_BYTE
    assert answer["bytes-read"] == 256 and "truncated" not in answer


def test_read_range(lab: Lab, api: Api) -> None:
    put(lab, EVERY_BYTE)
    answer = api.agent("GET", "file-read?file=/tmp/file&offset=10&count=20").data
    assert content_bytes(answer["content"]) == EVERY_BYTE[10:30]
    assert answer["truncated"] == 1
    assert api.agent("GET", "file-read?file=/tmp/file&offset=250&count=20").data == {
        "content": "\xfa\xfb\xfc\xfd\xfe\xff",
        "bytes-read": 6,
    }


def test_undecoded_read_is_a_padded_block_per_mib(lab: Lab, api: Api) -> None:
    data = (EVERY_BYTE * 4097)[: 1024 * 1024 + 100]
    put(lab, data)
    answer = api.agent("GET", "file-read?file=/tmp/file&decode=0").data
    first = base64.b64encode(data[: 1024 * 1024]).decode()
    assert answer["content"] == first + base64.b64encode(data[1024 * 1024 :]).decode()
    assert first.endswith("=") and joined_base64(answer["content"]) == data


def test_read_is_limited_to_16_mib(lab: Lab, api: Api) -> None:
    lab.set_pace(False)
    try:
        lab.guest(100).run(["sh", "-c", "yes | head -c 17M > /tmp/big"])
        answer = api.agent("GET", "file-read?file=/tmp/big").data
        assert (answer["bytes-read"], answer["truncated"]) == (16 * 1024 * 1024, 1)
    finally:
        lab.set_pace(True)
        lab.guest(100).run(["rm", "/tmp/big"])


@pytest.mark.parametrize("option", ["count=1", "offset=1", "decode=0"])
def test_ranges_are_refused_before_9_2(lab: Lab, api: Api, option: str) -> None:
    lab.set_profile("pve9.0")
    answer = api.agent("GET", f"file-read?file=/etc/hostname&{option}")
    assert answer.status == 400 and list(answer.json["errors"]) == [option.split("=")[0]]


def test_read_limits(api: Api) -> None:
    errors = api.agent("GET", "file-read?file=/x&count=16777217").json["errors"]
    assert errors == {"count": "value must have a maximum value of 16777216"}
    assert api.agent("GET", "file-read?file=/x&count=0").json["errors"] == {
        "count": "value must have a minimum value of 1"
    }


def test_missing_file(api: Api) -> None:
    answer = api.agent("GET", "file-read?file=/x")
    assert (answer.status, answer.reason) == (
        500,
        "Agent error: failed to open file '/x' (mode: 'r'): No such file or directory",
    )


def test_read_times(lab: Lab, api: Api) -> None:
    """Medium pieces are fastest: the reader's time grows with the square of the piece."""
    put(lab, b"x" * 1024 * 1024)
    assert api.agent("GET", "file-read?file=/tmp/file&count=65536").seconds < 0.1
    assert 0.35 < api.agent("GET", "file-read?file=/tmp/file&count=1048576").seconds < 1.2
