"""STS: GetCallerIdentity to the letter, and everything else refused in STS's own form.

Sources: STS API reference, "GetCallerIdentity" (example response), "Common error types"; the list
of operations is botocore's.
"""

from __future__ import annotations

import json
from typing import Any

import botocore.exceptions
import botocore.session
import pytest

from klambda_gateway.api import sts
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from tests.unit.gateway_api.fakes import ACCOUNT, World

FUNCTION = Caller(
    access_key_id="ASIA", namespace="default", account=ACCOUNT, user="u", role="worker",
    session="area",
)  # fmt: skip


def ask(caller: Caller, form: str, **headers: str) -> tuple[int, str, str]:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Signable(method="POST", path=b"/", query=b"", headers=given)
    reply = sts.answer(caller, request, form.encode(), "the-id")
    return reply.status, reply.headers["Content-Type"], reply.body.decode()


def test_get_caller_identity_is_awss_answer(world: World) -> None:
    client = world.client("sts")
    identity = client.get_caller_identity()
    assert identity["Account"] == ACCOUNT
    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/klambda-admin"
    assert identity["UserId"].startswith("AIDA")
    assert identity["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert world.last is not None
    assert world.last.headers["Content-Type"] == "text/xml"
    assert identity["ResponseMetadata"]["RequestId"] == world.last.headers["x-amzn-RequestId"]


def test_the_identity_of_a_function() -> None:
    status, kind, text = ask(FUNCTION, "Action=GetCallerIdentity&Version=2011-06-15")
    assert (status, kind) == (200, "text/xml")
    assert text == (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        "  <GetCallerIdentityResult>\n"
        f"    <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/worker/area</Arn>\n"
        f"    <UserId>{FUNCTION.user_id}</UserId>\n"
        f"    <Account>{ACCOUNT}</Account>\n"
        "  </GetCallerIdentityResult>\n"
        "  <ResponseMetadata>\n    <RequestId>the-id</RequestId>\n  </ResponseMetadata>\n"
        "</GetCallerIdentityResponse>\n"
    )


def test_json_for_those_who_ask() -> None:
    status, kind, text = ask(FUNCTION, "Action=GetCallerIdentity", accept="application/json")
    assert (status, kind) == (200, "application/json")
    result = json.loads(text)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
    assert result["Account"] == ACCOUNT


ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
USER = f"User: arn:aws:iam::{ACCOUNT}:user/klambda-admin is not authorized to perform: sts:"


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        (
            "assume_role",
            {"RoleArn": ROLE, "RoleSessionName": "me"},
            f"{USER}AssumeRole on resource: {ROLE}",
        ),
        ("get_session_token", {}, f"{USER}GetSessionToken"),
        ("get_federation_token", {"Name": "me"}, f"{USER}GetFederationToken"),
    ],
)
def test_temporary_credentials_are_denied(
    world: World, operation: str, members: dict[str, str], message: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(world.client("sts"), operation)(**members)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert answer["Error"] == {"Type": "Sender", "Code": "AccessDenied", "Message": message}


def test_a_session_cannot_get_another() -> None:
    status, _, text = ask(FUNCTION, "Action=GetSessionToken")
    assert status == 403
    assert "<Message>Cannot call GetSessionToken with session credentials</Message>" in text


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [
        ("Action=Dance", "InvalidAction", "Could not find operation Dance for version 2011-06-15"),
        ("Action=%3Ca%3E", "InvalidAction", "Could not find operation &lt;a&gt; for version"),
        ("", "MissingAction", "Missing Action"),
        ("\xff=\x00", "MissingAction", "Missing Action"),
    ],
)
def test_what_is_no_operation(form: str, code: str, message: str) -> None:
    status, _, text = ask(FUNCTION, form)
    assert status == 400
    assert f"<Code>{code}</Code>" in text
    assert message in text


@pytest.mark.parametrize(
    ("client", "code"),
    [({"key_id": "AKIANOPE"}, "InvalidClientTokenId"), ({"secret": "x"}, "SignatureDoesNotMatch")],
)
def test_bad_credentials_in_stss_form(world: World, client: dict[str, Any], code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        world.client("sts", **client).get_caller_identity()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert answer["Error"]["Code"] == code


def test_the_operations_are_all_of_the_service() -> None:
    names = botocore.session.get_session().get_service_model("sts").operation_names
    assert set(names) - {"GetCallerIdentity"} == sts.OPERATIONS


def test_presigned_requests_are_recognised() -> None:
    query = b"Action=GetCallerIdentity&X-Amz-Credential=A%2F20260101%2Fr%2Fsts%2Faws4_request"
    assert sts.concerns(Signable(method="GET", path=b"/", query=query, headers=[]))
    other = query.replace(b"%2Fsts%2F", b"%2Flambda%2F")
    assert not sts.concerns(Signable(method="GET", path=b"/", query=other, headers=[]))
