"""What RFC 9112 wants done with heads that could be read in two ways."""

from __future__ import annotations

import pytest

from klambda_gateway.wire.heads import (
    HeaderList,
    Malformed,
    checked,
    size_of,
    without_upgrade,
)

HOST = (b"host", b"a.example:80")


def refusal(
    *headers: tuple[bytes, bytes], method: bytes = b"POST", url: bytes = b"/", version: str = "1.1"
) -> int | None:
    """Return the status."""
    try:
        checked(method, url, version, list(headers))
    except Malformed as refused:
        return refused.error.status
    return None


@pytest.mark.parametrize(
    "host",
    [b"", b"a", b"a:80", b"a:", b"127.0.0.1", b"[::1]:80", b"a_b.c-d~", b"%41", b" a ", b"a,b"],
)
def test_good_hosts(host: bytes) -> None:
    assert refusal((b"host", host)) is None


@pytest.mark.parametrize(
    "host",
    [b"a b", b"a/", b"a?", b"a#", b"u@a", b"a:b", b"a:1:2", b"::1", b"[::1", b"a\\", b"\xe4",
     b"a:123456", b"a\tb", b'"a"', b"[a]"],
)  # fmt: skip
def test_bad_hosts(host: bytes) -> None:
    assert refusal((b"host", host)) == 400


def test_one_host_unless_it_is_http_1_0() -> None:
    assert refusal() == 400
    assert refusal(version="1.0") is None
    assert refusal(HOST, HOST) == 400
    assert refusal(HOST, HOST, version="1.0") == 400


@pytest.mark.parametrize(
    ("coding", "status"),
    [(b"chunked", None), (b"CHUNKED ", None), (b"gzip, chunked", 501), (b"identity", 501),
     (b"chunked, chunked", 501), (b"", 501), (b"x", 501)],
)  # fmt: skip
def test_codings(coding: bytes, status: int | None) -> None:
    assert refusal(HOST, (b"transfer-encoding", coding)) == status
    assert refusal(HOST, (b"transfer-encoding", coding), version="1.0") == 400
    twice = (b"transfer-encoding", coding), (b"transfer-encoding", b"chunked")
    assert refusal(HOST, *twice) == 501


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_versions(version: str) -> None:
    assert refusal(HOST, version=version) == 505


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        (b"GET", b"/a?b", None),
        (b"GET", b"//a", None),
        (b"GET", b"a", 400),
        (b"GET", b"", 400),
        (b"GET", b"/a#b", 400),
        (b"OPTIONS", b"*", None),
        (b"GET", b"*", 400),
        (b"GET", b"a:80", 400),
        (b"CONNECT", b"a:80", 400),
        (b"CONNECT", b"/", 400),
        (b"CONNECT", b"http://a/", 400),
        (b"GET", b"http:///a", 400),
        (b"GET", b"http://u@a/", 400),
        (b"GET", b"http://a/#b", 400),
        (b"GET", b"ftp://a/", 400),
        (b"GET", b"http:a", 400),
    ],
)
def test_targets(method: bytes, url: bytes, status: int | None) -> None:
    assert refusal(HOST, method=method, url=url) == status


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        (b"http://b/c?d", b"b", b"/c?d"),
        (b"HTTPS://b:1", b"b:1", b"/"),
        (b"http://[::1]?d", b"[::1]", b"/?d"),
        (b"http://b//c", b"b", b"//c"),
        (b"http://b/http://c/?e=http://d/", b"b", b"/http://c/?e=http://d/"),
    ],
)
def test_the_absolute_form_says_the_host(url: bytes, host: bytes, origin: bytes) -> None:
    headers: HeaderList = [(b"x", b"1"), HOST]
    assert checked(b"GET", url, "1.1", headers) == (origin, [(b"host", host), (b"x", b"1")])
    assert headers == [(b"x", b"1"), HOST]


def test_what_is_good_stays_as_it_is() -> None:
    headers: HeaderList = [(b"x", b"1"), HOST, (b"x", b"2")]
    assert checked(b"GET", b"/a", "1.1", headers) == (b"/a", headers)


def test_a_head_without_its_upgrade() -> None:
    headers: HeaderList = [HOST, (b"upgrade", b"h2c"), (b"connection", b"upgrade")]
    head = without_upgrade(b"POST", b"/a?b", "1.1", headers)
    assert head == b"POST /a?b HTTP/1.1\r\nhost: a.example:80\r\nconnection: upgrade\r\n\r\n"
    assert size_of(b"/a?b", headers) > len(head) - len(b"POST  HTTP/1.1\r\n\r\n")
