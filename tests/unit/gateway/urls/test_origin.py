"""Where a request comes from: the peer, or what trusted proxies say."""

from __future__ import annotations

import ipaddress

import pytest

from klambda_gateway.urls.request import Origin, UrlRequest, origin_of

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def request(peer: str, scheme: str = "http", **headers: str) -> UrlRequest:
    return UrlRequest(
        method="GET",
        path=b"/",
        query=b"",
        headers=[(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()],
        body=b"",
        peer=peer,
        scheme=scheme,
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "source", "chain"),
    [
        ("1.2.3.4", None, "1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", None, "1.2.3.4", "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", "1.2.3.4", "1.2.3.4"),  # not trusted: a claim
        ("10.0.0.1", None, "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "9.9.9.9", "9.9.9.9", "9.9.9.9, 10.0.0.1"),
        ("::ffff:10.0.0.1", "9.9.9.9", "9.9.9.9", "9.9.9.9, 10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", "9.9.9.9",
         "6.6.6.6, 9.9.9.9, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", "9.9.9.9, junk", "10.0.0.1", "9.9.9.9, junk, 10.0.0.1"),
        ("10.0.0.1", " , ", "10.0.0.1", "10.0.0.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1", "2001:db8::1, fd00::1"),
        ("", None, "", ""),
    ],
)  # fmt: skip
def test_only_what_trusted_proxies_appended_counts(
    peer: str, forwarded: str | None, source: str, chain: str
) -> None:
    headers = {} if forwarded is None else {"x_forwarded_for": forwarded}
    origin = origin_of(request(peer, **headers), TRUSTED)
    assert (origin.source_ip, origin.forwarded_for) == (source, chain)


@pytest.mark.parametrize(
    ("given", "scheme", "port"),
    [
        (request("1.2.3.4", host="a:8080"), "http", "8080"),
        (request("1.2.3.4", host="a"), "http", "80"),
        (request("1.2.3.4", scheme="https", host="a"), "https", "443"),
        (request("1.2.3.4", host="[::1]:8080"), "http", "8080"),
        (request("1.2.3.4", host="a", x_forwarded_proto="https"), "http", "80"),
        (request("10.0.0.1", host="a", x_forwarded_proto="https"), "https", "443"),
        (
            request("10.0.0.1", host="a", x_forwarded_proto="https", x_forwarded_port="8443"),
            "https",
            "8443",
        ),
        (request("1.2.3.4"), "http", "80"),
    ],
)
def test_scheme_and_port(given: UrlRequest, scheme: str, port: str) -> None:
    origin = origin_of(given, TRUSTED)
    assert (origin.scheme, origin.port) == (scheme, port)


def test_without_trusted_proxies_nobody_is_believed() -> None:
    origin = origin_of(request("10.0.0.1", x_forwarded_for="9.9.9.9", host="a"))
    assert origin == Origin(
        source_ip="10.0.0.1", forwarded_for="10.0.0.1", scheme="http", port="80"
    )
    assert origin.headers() == {
        "x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "http", "x-forwarded-port": "80",
    }  # fmt: skip
