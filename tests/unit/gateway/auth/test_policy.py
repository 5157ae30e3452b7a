"""Resource policies: statements by principal, action, conditions (aws-contract h, d)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.policy import (
    ANYBODY,
    INVOKE,
    INVOKE_URL,
    PUBLIC_STATEMENTS,
    Context,
    Principal,
    Statement,
    allows,
    allows_url,
    arn_like,
    principal_of,
    read_statements,
)

B = "222222222222"
ALICE = Principal(account=B, arn=f"arn:aws:iam::{B}:user/alice")
S3 = Principal(service="s3.amazonaws.com")
BUCKET = "arn:aws:s3:::photos"
RULE = "arn:aws:events:us-east-1:222222222222:rule/nightly"


def statement(**members: Any) -> Statement:
    given = {"sid": "s", "action": INVOKE, "principal": "*", **members}
    return read_statements([given])[0]


@pytest.mark.parametrize(
    ("principal", "who", "allowed"),
    [
        ("*", ALICE, True),
        ("*", ANYBODY, True),
        ("*", S3, True),
        (B, ALICE, True),
        (f"arn:aws:iam::{B}:root", ALICE, True),
        (f"arn:aws-cn:iam::{B}:root", ALICE, True),
        (f"arn:aws:iam::{B}:user/alice", ALICE, True),
        (f"arn:aws:iam::{B}:user/bob", ALICE, False),
        ("111111111111", ALICE, False),
        ("arn:aws:iam::111111111111:root", ALICE, False),
        (B, ANYBODY, False),
        (B, S3, False),
        ("s3.amazonaws.com", S3, True),
        ("s3.amazonaws.com", ALICE, False),
        ("s3.amazonaws.com", ANYBODY, False),
        ("sns.amazonaws.com", S3, False),
        ("", ANYBODY, False),
        ("None", ANYBODY, False),
    ],
)
def test_principals(principal: str, who: Principal, allowed: bool) -> None:
    assert allows([statement(principal=principal)], who, INVOKE) is allowed


def test_callers_are_named_by_arn_role_and_away_from_home_by_account() -> None:
    caller = Caller(
        access_key_id="k", namespace="n", account=B, user="u", role="worker", session="fn",
        granted=True,
    )  # fmt: skip
    named = {
        f"arn:aws:sts::{B}:assumed-role/worker/fn": (True, True),
        f"arn:aws:iam::{B}:role/worker": (True, True),
        f"arn:aws:iam::{B}:role/other": (False, False),
        f"arn:aws:iam::{B}:root": (False, True),
        B: (False, True),
        "*": (True, True),
    }
    for principal, expected in named.items():
        found = tuple(
            allows([statement(principal=principal)], principal_of(caller, at_home=home), INVOKE)
            for home in (True, False)
        )
        assert found == expected, principal
    claimed = replace(caller, granted=False)
    assert principal_of(claimed, at_home=True) == Principal()
    assert principal_of(claimed, at_home=False) == Principal(account=B)
    user = Caller(access_key_id="k", namespace="n", account=B, user="u")
    assert principal_of(user, at_home=True).role is None


@pytest.mark.parametrize(
    ("action", "asked", "allowed"),
    [
        (INVOKE, INVOKE, True),
        ("lambda:invokefunction", INVOKE, True),
        ("lambda:*", INVOKE, True),
        ("*", INVOKE, True),
        (INVOKE, INVOKE_URL, False),
        (INVOKE_URL, INVOKE, False),
        ("lambda:GetFunction", INVOKE, False),
        ("", INVOKE, False),
    ],
)
def test_actions(action: str, asked: str, allowed: bool) -> None:
    assert allows([statement(action=action)], ALICE, asked) is allowed


@pytest.mark.parametrize(
    ("condition", "context", "allowed"),
    [
        ({"sourceArn": BUCKET}, Context(source_arn=BUCKET), True),
        ({"sourceArn": "arn:aws:s3:::ph*s"}, Context(source_arn=BUCKET), True),
        ({"sourceArn": "arn:aws:s3:::other"}, Context(source_arn=BUCKET), False),
        ({"sourceArn": BUCKET}, Context(), False),
        ({"sourceAccount": B}, Context(source_account=B), True),
        ({"sourceAccount": B}, Context(source_account="111111111111"), False),
        ({"sourceAccount": B}, Context(), False),
        ({"principalOrgID": "o-a1b2c3d4e5"}, Context(principal_org_id="o-a1b2c3d4e5"), True),
        ({"principalOrgID": "o-a1b2c3d4e5"}, Context(), False),
        ({"eventSourceToken": "t"}, Context(event_source_token="t"), True),
        ({"eventSourceToken": "t"}, Context(event_source_token="T"), False),
        ({"eventSourceToken": "t"}, Context(), False),
        ({"functionUrlAuthType": "NONE"}, Context(function_url_auth_type="NONE"), True),
        ({"functionUrlAuthType": "NONE"}, Context(function_url_auth_type="AWS_IAM"), False),
        ({"functionUrlAuthType": "NONE"}, Context(), False),
        ({"invokedViaFunctionUrl": True}, Context(invoked_via_function_url=True), True),
        ({"invokedViaFunctionUrl": True}, Context(), False),
        ({"invokedViaFunctionUrl": False}, Context(), True),
        ({"invokedViaFunctionUrl": False}, Context(invoked_via_function_url=True), False),
        (
            {"sourceArn": BUCKET, "sourceAccount": B},
            Context(source_arn=BUCKET, source_account=B),
            True,
        ),
        ({"sourceArn": BUCKET, "sourceAccount": B}, Context(source_arn=BUCKET), False),
    ],
)
def test_every_stated_condition_must_hold(
    condition: dict[str, Any], context: Context, allowed: bool
) -> None:
    assert allows([statement(**condition)], S3, INVOKE, context) is allowed


def test_one_statement_that_allows_is_enough_and_none_allows_nothing() -> None:
    no, yes = statement(principal="111111111111"), statement(principal=B)
    assert allows([no, yes], ALICE, INVOKE)
    assert not allows([no], ALICE, INVOKE)
    assert not allows([], ALICE, INVOKE)
    assert not allows([statement(action=INVOKE, principal="111111111111"),
                       statement(action=INVOKE_URL, principal=B)], ALICE, INVOKE)  # fmt: skip


def test_a_url_takes_both_actions() -> None:
    url, invoke = PUBLIC_STATEMENTS
    assert allows_url([url, invoke], ANYBODY, "NONE")
    assert not allows_url([url], ANYBODY, "NONE")
    assert not allows_url([invoke], ANYBODY, "NONE")
    assert not allows_url([url, invoke], ANYBODY, "AWS_IAM")
    assert not allows([url, invoke], ANYBODY, INVOKE), "public is the URL, not the function"


def test_an_iam_url_of_another_account() -> None:
    granted = [
        statement(action=INVOKE_URL, principal=B, functionUrlAuthType="AWS_IAM"),
        statement(action=INVOKE, principal=B, invokedViaFunctionUrl=True),
    ]
    assert allows_url(granted, ALICE, "AWS_IAM")
    assert not allows_url(granted[:1], ALICE, "AWS_IAM")
    assert not allows_url(granted, ANYBODY, "NONE")
    assert not allows(granted, ALICE, INVOKE)


@pytest.mark.parametrize(
    ("pattern", "like"),
    [
        (RULE, True),
        ("arn:aws:events:*:222222222222:rule/*", True),
        ("arn:aws:events:us-east-?:222222222222:rule/night?y", True),
        ("arn:aws:events:us-east-1:222222222222:*", True),
        ("*", False),  # each of the six parts by itself
        ("arn:*", False),
        ("arn:aws:events:us-east-1:222222222222:rule/[n]ightly", False),
        ("arn:aws:events:us-east-1:222222222222:rule/Nightly", False),
        ("", False),
    ],
)
def test_arn_like(pattern: str, like: bool) -> None:
    assert arn_like(pattern, RULE) is like


@given(st.text(alphabet="*?a:[]", max_size=60), st.text(alphabet="a:b", max_size=60))
def test_arn_like_takes_any_text_in_reasonable_time(pattern: str, arn: str) -> None:
    assert arn_like(pattern, arn) in (True, False)


@given(st.lists(st.dictionaries(st.sampled_from(["sid", "action", "principal"]), st.text())))
def test_what_is_half_written_allows_nobody_unless_it_says_so(policy: list[dict[str, str]]) -> None:
    said = any(
        each.get("principal") == "*"
        and each.get("action", "").lower() in ("*", "lambda:*", INVOKE.lower())
        for each in policy
    )
    assert allows(read_statements(policy), ANYBODY, INVOKE) is said
