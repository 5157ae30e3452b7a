"""Payload format 2.0: the event made of a request (aws-contract d)."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.urls.event import (
    IamCaller,
    Meeting,
    document_of,
    event_of,
    is_textual,
    log_time,
)
from klambda_gateway.urls.request import Origin, UrlRequest

ID = "abcdefghijklmnopqrstuvwxyz234567"
DOMAIN = f"{ID}.lambda-url.us-east-1.localhost"
TRACE = "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e"
ORIGIN = Origin(source_ip="1.2.3.4", forwarded_for="1.2.3.4", scheme="https", port="443")
NOW = datetime(2020, 3, 12, 19, 3, 58, 390000, tzinfo=UTC)
CALLER = IamCaller(
    access_key="AKIAX", account="222222222222", arn="arn:aws:iam::222222222222:user/a", user_id="u"
)


def made(caller: IamCaller | None = None, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "method": "GET", "path": b"/", "query": b"", "headers": [], "body": b"", "peer": "x",
        **members,
    }  # fmt: skip
    meeting = Meeting(
        url_id=ID,
        domain_name=DOMAIN,
        request_id="r-1",
        trace_id=TRACE,
        now=NOW,
        origin=ORIGIN,
        caller=caller,
    )
    request = UrlRequest(**given)
    document: dict[str, Any] = json.loads(event_of(request, meeting))
    assert document == document_of(request, meeting)
    return document


def test_the_whole_event_is_awss_example() -> None:
    """AWS's developer guide, "Request payload format", for authType NONE."""
    event = made(
        method="POST",
        path=b"/my/path",
        query=b"parameter1=value1&parameter1=value2&parameter2=value",
        headers=[
            (b"host", DOMAIN.encode()),
            (b"header1", b"value1"),
            (b"header2", b"value1"),
            (b"cookie", b"cookie1; cookie2"),
            (b"header2", b"value2"),
            (b"user-agent", b"agent"),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"x-forwarded-for", b"9.9.9.9"),
        ],
        body=b"Hello from client!",
    )
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
        "cookies": ["cookie1", "cookie2"],
        "headers": {
            "host": DOMAIN,
            "header1": "value1",
            "header2": "value1,value2",
            "cookie": "cookie1; cookie2",  # S: aws-lambda-go issue 597; not in AWS's example
            "user-agent": "agent",
            "content-type": "text/plain; charset=utf-8",
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "443",
            "x-amzn-trace-id": TRACE,
        },
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": ID,
            "domainName": DOMAIN,
            "domainPrefix": ID,
            "http": {
                "method": "POST",
                "path": "/my/path",
                "protocol": "HTTP/1.1",
                "sourceIp": "1.2.3.4",
                "userAgent": "agent",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838390,
        },
        "body": "Hello from client!",
        "isBase64Encoded": False,
    }


def test_what_a_request_does_not_have_is_absent() -> None:
    event = made()
    assert list(event) == [
        "version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext",
        "isBase64Encoded",
    ]  # fmt: skip
    assert event["rawQueryString"] == ""
    assert "userAgent" not in event["requestContext"]["http"]
    assert "authorizer" not in event["requestContext"]


def test_a_signed_request_tells_who_signed_it() -> None:
    context = made(CALLER)["requestContext"]
    assert context["accountId"] == "222222222222"
    assert context["authorizer"] == {
        "iam": {
            "accessKey": "AKIAX",
            "accountId": "222222222222",
            "callerId": "u",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::222222222222:user/a",
            "userId": "u",
        }
    }


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"/", "/"),
        (b"/a%20b", "/a b"),
        (b"/a%2520b", "/a%20b"),  # once
        (b"/a%2Fb", "/a/b"),
        (b"/%C3%A9", "/é"),
        (b"/%FF", "/\ufffd"),
        (b"//a//", "//a//"),
        (b"/a/../b", "/a/../b"),
        (b"", "/"),
        (b"/a+b", "/a+b"),
    ],
)
def test_the_raw_path_is_as_sent_and_the_contexts_is_decoded_once(sent: bytes, path: str) -> None:
    """S: AWS's event for /capture/space%20value."""
    event = made(path=sent)
    assert event["rawPath"] == (sent.decode() or "/")
    assert event["requestContext"]["http"]["path"] == path


def test_an_event_as_aws_made_it() -> None:
    """S: vokerhttp/testdata/functionurl-request.json of hotsock/voker, recorded in July 2026."""
    event = made(
        method="POST",
        path=b"/capture/space%20value",
        query=b"repeat=one&repeat=two&redirect=https%3A%2F%2Fexample.com%2Fa%2Fb&literalPlus=a+b"
        b"&encodedPlus=a%2Bb&empty=",
        headers=[
            (b"cookie", b"session=abc123; theme=dark"),
            (b"content-type", b"application/json"),
            (b"x-voker-probe", b"first"),
            (b"x-voker-probe", b"second"),
        ],
        body='{"unicode":"lambda-λ"}'.encode(),
    )
    assert event["rawPath"] == "/capture/space%20value"
    assert event["rawQueryString"].endswith("&literalPlus=a+b&encodedPlus=a%2Bb&empty=")
    assert event["cookies"] == ["session=abc123", "theme=dark"]
    assert event["headers"]["cookie"] == "session=abc123; theme=dark"
    assert event["headers"]["x-voker-probe"] == "first,second"
    assert event["queryStringParameters"] == {
        "empty": "",
        "encodedPlus": "a+b",
        "literalPlus": "a b",
        "redirect": "https://example.com/a/b",
        "repeat": "one,two",
    }
    assert event["requestContext"]["http"]["path"] == "/capture/space value"
    assert (event["body"], event["isBase64Encoded"]) == ('{"unicode":"lambda-λ"}', False)


@pytest.mark.parametrize(
    ("query", "members"),
    [
        (b"a=1&a=2&b=3", {"a": "1,2", "b": "3"}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=1+2&b%20c=%C3%A9", {"a": "1 2", "b c": "é"}),
        (b"a=1&&b=2&", {"a": "1", "b": "2"}),
        (b"=x", {"": "x"}),
        (b"&", {}),
    ],
)
def test_query_members(query: bytes, members: dict[str, str]) -> None:
    event = made(query=query)
    assert event["queryStringParameters"] == members
    assert event["rawQueryString"] == query.decode()


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/plain", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/json;charset=utf-8", True),
        ("application/javascript", True),
        ("application/xml", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/octet-stream", False),
        ("image/png", False),
        ("", False),
        (None, False),
    ],
)
def test_bodies_are_text_where_the_type_is_textual(content_type: str | None, text: bool) -> None:
    assert is_textual(content_type) is text
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    event = made(headers=headers, body=b"a=1")
    assert event["isBase64Encoded"] is not text
    assert event["body"] == ("a=1" if text else "YT0x")


def test_text_that_is_not_utf8_goes_as_base64() -> None:
    event = made(headers=[(b"content-type", b"text/plain")], body=b"\xff")
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)


def test_cookies_of_several_headers_are_one_list_and_headers_of_the_connection_stay_out() -> None:
    event = made(
        headers=[
            (b"cookie", b"a=1;b=2"),
            (b"cookie", b"c=3"),
            (b"connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"content-length", b"3"),
        ],
        body=b"abc",
    )
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert event["headers"]["cookie"] == "a=1;b=2; c=3", "and the header stays, as sent"
    assert "connection" not in event["headers"]
    assert "transfer-encoding" not in event["headers"]
    assert event["headers"]["content-length"] == "3"


def test_times_are_utc_in_any_zone_and_locale() -> None:
    moment = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert log_time(moment) == "31/Dec/2025:23:30:00 +0000"


@given(
    path=st.binary(max_size=50),
    query=st.binary(max_size=50),
    headers=st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=10), st.sampled_from([b"cookie", b"content-type"])),
            st.one_of(st.binary(max_size=20), st.sampled_from([b"text/plain", b"a+json"])),
        )
    ),
    body=st.binary(max_size=50),
)
def test_any_bytes_make_an_event_and_bodies_come_through(
    path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    event = made(path=path, query=query, headers=headers, body=body)
    given_body = event.get("body", "")
    if event["isBase64Encoded"]:
        assert b64decode(given_body) == body
    else:
        assert given_body.encode() == body
    assert event["rawQueryString"].encode("latin-1") == query
