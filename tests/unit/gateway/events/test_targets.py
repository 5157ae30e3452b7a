"""Who a destination's text means, and what may be reached."""

from __future__ import annotations

import pytest

from klambda_gateway.events.deliver.targets import NoTarget, Target, allowed, read_target


@pytest.mark.parametrize(
    ("text", "kind", "region", "account", "resource"),
    [
        ("arn:aws:sqs:eu-west-1:123456789012:q", "sqs", "eu-west-1", "123456789012", "q"),
        ("arn:aws:sns:us-east-1:123456789012:t", "sns", "us-east-1", "123456789012", "t"),
        ("arn:aws:lambda:us-east-1:1:function:f:live", "lambda", "us-east-1", "1",
         "function:f:live"),
        ("https://sink.example/x", "http", "", "", ""),
    ],
)  # fmt: skip
def test_targets(text: str, kind: str, region: str, account: str, resource: str) -> None:
    target = read_target(text)
    assert isinstance(target, Target)
    assert (target.kind, target.region, target.account, target.resource) == (
        kind, region, account, resource
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("arn:aws:s3:::bucket", "'s3' are not supported"),
        ("arn:aws:events:us-east-1:1:event-bus/b", "'events' are not supported"),
        ("arn:aws:sqs", "neither"),
        ("q", "neither"),
        ("ftp://x", "neither"),
        ("http://", "not a URL"),
        ("http://[", "not a URL"),
        ("http://x:99999/", "not a URL"),
    ],
)
def test_no_targets(text: str, word: str) -> None:
    target = read_target(text)
    assert isinstance(target, NoTarget)
    assert word in target.why


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://sink/in", True),
        ("http://sink/in/a?b=1", True),
        ("http://SINK/in", True),
        ("http://sink/inner", False),
        ("http://sink/", False),
        ("https://sink/in", False),
        ("http://sink:81/in", False),
        ("http://sink.evil/in", False),
        ("http://sink@evil/in", False),
        ("http://user@sink/in", False),
        ("http://sink/in/../admin", False),
        ("http://other/anything", True),
    ],
)
def test_addresses_that_are_allowed(url: str, expected: bool) -> None:
    assert allowed(url, ["http://sink/in", "http://other"]) is expected
    assert not allowed(url, [])
