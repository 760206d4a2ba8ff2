"""The HTTP front: keep-alive, limits, encodings, status texts."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time

import pytest

from lab import Lab
from rawhttp import Api, Connection

PING = "/nodes/pve1/qemu/100/agent/ping"


def test_direct_answers_say_keep_alive_once(api: Api) -> None:
    answer = api.get("/version")
    assert answer.all("connection") == ["Keep-Alive"]
    assert answer.all("content-type") == ["application/json;charset=UTF-8"]
    assert answer.all("server") == ["pve-api-daemon/3.0"]


def test_agent_answers_carry_both_connection_headers_and_stay_open(api: Api) -> None:
    answer = api.post(PING)
    assert answer.all("connection") == ["close", "Keep-Alive"]
    assert api.post(PING, fresh=False).status == 200


def test_hundredth_answer_closes(api: Api) -> None:
    first = [api.get("/version", fresh=index == 0) for index in range(99)]
    assert all(answer.all("connection") == ["Keep-Alive"] for answer in first)
    assert api.get("/version", fresh=False).all("connection") == ["close"]
    assert api.connection is not None and api.connection.closed()


def test_hundredth_agent_answer_says_only_close(api: Api) -> None:
    for index in range(99):
        api.get("/version", fresh=index == 0)
    assert api.post(PING, fresh=False).all("connection") == ["close"]


def test_idle_connection_closes_after_five_seconds(api: Api) -> None:
    api.get("/version")
    assert api.connection is not None
    started = time.monotonic()
    assert api.connection.closed(within_s=6)
    assert 4.8 < time.monotonic() - started < 5.4


def test_errors_close_unless_extjs(api: Api) -> None:
    answer = api.get("/nodes/pve1/qemu/999/config")
    assert (answer.status, answer.all("connection")) == (500, ["close"])
    assert api.connection is not None and api.connection.closed()
    answer = api.get("/nodes/pve1/qemu/999/config", form="extjs")
    assert (answer.status, answer.json["status"], answer.json["success"]) == (200, 500, 0)
    assert api.get("/version", fresh=False).status == 200


def test_client_may_ask_to_close(api: Api) -> None:
    assert api.get("/version", headers={"Connection": "close"}).all("connection") == ["close"]


def test_no_chunked_bodies(api: Api) -> None:
    answer = api.post(PING, headers={"Transfer-Encoding": "chunked"})
    assert (answer.status, answer.reason) == (501, "chunked transfer encoding not supported")


@pytest.mark.parametrize(("profile", "limit"), [("pve9.2", 524288), ("pve8.0-old", 65536)])
def test_body_limit(lab: Lab, api: Api, profile: str, limit: int) -> None:
    lab.set_profile(profile)
    frame = len('{"command": [""]}')
    assert api.exec("x" * (limit - frame), form="extjs").json["status"] == 500
    answer = api.exec("x" * (limit - frame + 1))
    assert (answer.status, answer.reason) == (501, "for data too large")


def test_form_grows_on_the_inner_hop(api: Api) -> None:
    argument = b"/" * 300_000
    answer = api.post(
        "/nodes/pve1/qemu/100/agent/exec", b"command=true&command=" + argument,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert (answer.status, answer.reason) == (501, "for data too large")
    answer = api.exec("true", *["/" * 100_000] * 3)
    assert answer.status == 200


def test_gzip_above_one_kibibyte(api: Api) -> None:
    accept = {"Accept-Encoding": "gzip"}
    assert api.get("/version", headers=accept).all("content-encoding") == []
    answer = api.agent("GET", "info", headers=accept)
    assert answer.all("content-encoding") == ["gzip"]
    assert answer.data["result"]["version"]
    assert api.agent("GET", "info").all("content-encoding") == []


def test_key_order_varies(api: Api) -> None:
    bodies = {api.get("/version", fresh=False).raw for _ in range(30)}
    assert len(bodies) > 1


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_json_content_types(api: Api, content_type: str) -> None:
    answer = api.post(
        "/nodes/pve1/qemu/100/agent/exec", b'{"command":["true"]}', headers={"Content-Type": content_type}
    )
    assert answer.data["pid"] > 0


def test_other_content_types_are_refused(api: Api) -> None:
    answer = api.post(PING, b"x", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.reason) == (506, "upload 'Content-Type 'text/plain' not implemented")


def test_bodies_of_gets_are_refused(api: Api) -> None:
    answer = api.get("/version", headers={"Content-Length": "3"})
    assert (answer.status, answer.reason) == (501, "Unexpected content for method 'GET'")


def test_malformed_json(api: Api) -> None:
    answer = api.post(PING, b"{nope", headers={"Content-Type": "application/json"})
    assert answer.status == 500 and "malformed JSON" in answer.reason


def test_unknown_paths_and_methods(api: Api) -> None:
    assert api.get("/nope").reason == "Method 'GET /nope' not implemented"
    assert api.get("/version", form="xml").status == 501
    assert api.request("PATCH", "/version").reason == "method 'PATCH' not available"


def test_too_many_headers_are_never_answered(lab: Lab) -> None:
    connection = Connection(lab)
    lines = "".join(f"X-{i}: y\r\n" for i in range(70))
    connection.send(f"GET /api2/json/version HTTP/1.1\r\n{lines}\r\n".encode())
    assert connection.closed(within_s=7)


def test_tls_versions_and_certificate(lab: Lab) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=lab.ca_file)
        context.minimum_version = context.maximum_version = version
        for name in ("localhost", "127.0.0.1"):
            with (
                socket.create_connection((lab.host, lab.port)) as raw,
                context.wrap_socket(raw, server_hostname=name) as tls,
            ):
                der = tls.getpeercert(binary_form=True)
                assert der is not None
    assert lab.fingerprint.count(":") == 31 and lab.fingerprint == lab.fingerprint.upper()
    assert bytes.fromhex(lab.fingerprint.replace(":", "")) == hashlib.sha256(der).digest()


def test_plain_http_is_redirected(lab: Lab) -> None:
    with socket.create_connection((lab.host, lab.port)) as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 301 Moved Permanently\r\n")
