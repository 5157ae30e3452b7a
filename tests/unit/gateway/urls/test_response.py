"""What a function returned, as an HTTP answer (aws-contract d)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.urls.response import LARGE, Answer, Head, Malformed, answer_of, head_of

JSON_TYPE = ("content-type", "application/json")
NULS = b"\0" * 8


def answered(returned: Any) -> Answer:
    payload = returned if isinstance(returned, bytes) else json.dumps(returned).encode()
    answer = answer_of(payload)
    assert isinstance(answer, Answer), answer
    return answer


@pytest.mark.parametrize(
    ("returned", "status", "headers", "body"),
    [
        ({"statusCode": 201}, 201, [JSON_TYPE], b""),
        ({"statusCode": 200, "body": "Hi"}, 200, [JSON_TYPE], b"Hi"),
        ({"statusCode": "404", "body": "no"}, 404, [JSON_TYPE], b"no"),
        ({"statusCode": 200.0, "body": None}, 200, [JSON_TYPE], b""),
        ({"statusCode": 599}, 599, [JSON_TYPE], b""),
        ({"statusCode": 200, "body": {"a": [1, "é"]}}, 200, [JSON_TYPE], '{"a":[1,"é"]}'.encode()),
        ({"statusCode": 200, "body": 1.5}, 200, [JSON_TYPE], b"1.5"),
        ({"statusCode": 200, "body": True}, 200, [JSON_TYPE], b"true"),
        ({"statusCode": 200, "body": "é"}, 200, [JSON_TYPE], "é".encode()),
        ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}, 200, [JSON_TYPE], b"\0\1"),
        ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": False}, 200, [JSON_TYPE], b"AAE="),
        (
            {"statusCode": 200, "headers": {"Content-Type": "text/html", "X-Count": 3, "X-On": True,
                                            "X-None": None}, "body": "<p>"},
            200,
            [("content-type", "text/html"), ("x-count", "3"), ("x-on", "true")],
            b"<p>",
        ),
        (
            {"statusCode": 302, "headers": {"Location": "/a"}, "cookies": ["a=1; Secure", "b=2"]},
            302,
            [("location", "/a"), JSON_TYPE, ("set-cookie", "a=1; Secure"), ("set-cookie", "b=2")],
            b"",
        ),
        (
            {"statusCode": 200, "headers": {"Content-Length": "9", "x-amzn-RequestId": "x",
                                            "Transfer-Encoding": "x"}},
            200,
            [JSON_TYPE],
            b"",
        ),
        (  # S: "Lambda Function URL remaps WWW-Authenticate"
            {"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer", "Date": "x",
                                            "Connection": "close"}},
            401,
            [("x-amzn-remapped-www-authenticate", "Bearer"), ("x-amzn-remapped-date", "x"),
             ("x-amzn-remapped-connection", "close"), JSON_TYPE],
            b"",
        ),
        ({"statusCode": 200, "multiValueHeaders": {"a": ["b"]}}, 200, [JSON_TYPE], b""),
    ],
)  # fmt: skip
def test_an_object_with_statuscode_says_it_all(
    returned: Any, status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    answer = answered(returned)
    assert answer.head == Head(status=status, headers=tuple(headers))
    assert answer.body == body


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'{"message": "Hi"}', b'{"message": "Hi"}'),
        (b'{"body": "Hi", "headers": {}}', b'{"body": "Hi", "headers": {}}'),
        (b'"Hello"', b"Hello"),  # unquoted
        (b'"\\u00e9\\n"', "é\n".encode()),
        (b'""', b""),
        (b"null", b"null"),
        (b"42", b"42"),
        (b"[NaN]", b"[NaN]"),
        (b"true", b"true"),
        (b"[1, 2]", b"[1, 2]"),
        (b'["statusCode"]', b'["statusCode"]'),
    ],
)
def test_anything_else_is_the_body_of_a_200(payload: bytes, body: bytes) -> None:
    assert answer_of(payload) == Answer(head=Head(headers=(JSON_TYPE,)), body=body)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b'{"statusCode": 200',
        b"\xff",
        b'{"statusCode": "ok"}',
        b'{"statusCode": null}',
        b'{"statusCode": true}',
        b'{"statusCode": 99}',
        b'{"statusCode": 100}',
        b'{"statusCode": 600}',
        b'{"statusCode": 200.5}',
        b'{"statusCode": 1e400}',
        b'{"statusCode": [200]}',
        b'{"statusCode": 200, "headers": []}',
        b'{"statusCode": 200, "headers": {"a": ["b"]}}',
        b'{"statusCode": 200, "headers": {"a b": "c"}}',
        b'{"statusCode": 200, "headers": {"": "c"}}',
        b'{"statusCode": 200, "headers": {"a": "b\\r\\nset-cookie: evil=1"}}',
        b'{"statusCode": 200, "headers": {"a\\r\\nb": "c"}}',
        b'{"statusCode": 200, "headers": {"a": "\\ud800"}}',
        b'{"statusCode": 200, "cookies": "a=1"}',
        b'{"statusCode": 200, "cookies": [1]}',
        b'{"statusCode": 200, "cookies": ["a=1\\nb"]}',
        b'{"statusCode": 200, "body": "?", "isBase64Encoded": true}',
        b'{"statusCode": 200, "body": "\\ud800"}',
        b'"\\ud800"',
        b"[" * 100_000,
        b"[1]" + NULS,
        b"text" + NULS,
        NULS,
    ],
)
def test_what_cannot_be_an_answer_is_malformed(payload: bytes) -> None:
    assert isinstance(answer_of(payload), Malformed)


def test_a_stream_that_was_collected_is_understood() -> None:
    """The prelude must be understood when such a function is called through a BUFFERED URL."""
    prelude = {"statusCode": 418, "headers": {"Content-Type": "text/html"}, "cookies": ["a=1"]}
    answer = answered(json.dumps(prelude).encode() + NULS + b"<p>\0\0\0\0\0\0\0\0")
    assert answer.head == Head(
        status=418, headers=(("content-type", "text/html"), ("set-cookie", "a=1"))
    )
    assert answer.body == b"<p>\0\0\0\0\0\0\0\0"
    assert answered(b"{}" + NULS + b"x").head == Head(
        headers=(("content-type", "application/octet-stream"),)
    )


def test_heads_of_streams() -> None:
    assert head_of(b'{"statusCode":204}') == Head(
        status=204, headers=(("content-type", "application/octet-stream"),)
    )
    assert isinstance(head_of(b"[]"), Malformed)
    assert isinstance(head_of(b"{"), Malformed)


def test_large_results_without_a_status_are_passed_on_as_they_are() -> None:
    payload = json.dumps(["x" * 10] * (LARGE // 10)).encode()
    assert answered(payload).body == payload
    text = json.dumps("x" * LARGE).encode()
    assert answered(text).body == b"x" * LARGE
    whole = json.dumps({"statusCode": 200, "body": "x" * LARGE}).encode()
    assert answered(whole).body == b"x" * LARGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
SHAPED = st.fixed_dictionaries(
    {"statusCode": st.integers(100, 650) | JSON},
    optional={
        "headers": st.dictionaries(st.text(max_size=9), JSON, max_size=4) | JSON,
        "cookies": st.lists(st.text(max_size=9), max_size=3) | JSON,
        "body": JSON,
        "isBase64Encoded": st.booleans(),
    },
)


@given(st.binary(max_size=80) | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_payload_is_answered_or_refused(payload: bytes) -> None:
    check(answer_of(payload))


@given(SHAPED.map(lambda v: json.dumps(v).encode()))
def test_any_answer_can_be_sent(payload: bytes) -> None:
    check(answer_of(payload))


def check(answer: Answer | Malformed) -> None:
    if isinstance(answer, Malformed):
        return
    assert 200 <= answer.head.status < 600
    for name, value in answer.head.headers:
        assert name == name.lower()
        assert name.encode("ascii")
        assert not {"\r", "\n", "\0"} & set(value)
        value.encode()
