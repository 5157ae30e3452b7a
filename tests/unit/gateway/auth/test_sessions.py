"""Sessions of functions: whom they act as, for how long, and that nobody else can make one."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.errors import LambdaError
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.keys import AccessKey
from klambda_gateway.auth.sessions import (
    Mint,
    Sessions,
    Statement,
    assumable,
    role_name,
    session_name,
)
from klambda_gateway.instances.credentials import SessionCredentials
from klambda_gateway.instances.pods import PodFacts
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, OneKey
from tests.unit.gateway_api.test_sigv4 import signed

MINT = Mint("k" * 64)
STATEMENT = Statement(
    namespace="team-a", function="orders", role="worker", pod="orders-1", uid="u", since=1000
)
ROLE = AccessKey(
    access_key_id="AKIA", secret="s", namespace="team-a", user="ann", groups=("ops",),
    role="worker", functions=("orders*",), origin="worker",
)  # fmt: skip
OWN = ("klambda:function:team-a:orders", ("klambda:functions", "klambda:functions:team-a"))


class World:
    """Roles and pods."""

    def __init__(self) -> None:
        self.roles: dict[tuple[str, str], AccessKey] = {}
        self.pods = {("team-a", "orders-1", "u")}

    def role(self, namespace: str, name: str) -> AccessKey | None:
        return self.roles.get((namespace, name))

    def lives(self, namespace: str, pod: str, uid: str) -> bool:
        return (namespace, pod, uid) in self.pods

    def find(self, token: str, now: float = 1000, **change: Any) -> AccessKey | None:
        sessions = Sessions(MINT, roles=self, pods=self)
        identifier = change.get("identifier") or MINT.make(STATEMENT).access_key_id
        return sessions.find(identifier, token, now)


@pytest.fixture
def world() -> World:
    return World()


def subject(key: AccessKey | None) -> tuple[str, tuple[str, ...]]:
    assert key is not None
    return key.user, key.groups


def test_credentials_are_of_aws_shape_and_the_same_at_every_gateway() -> None:
    session = MINT.make(STATEMENT)
    assert session.access_key_id.startswith("ASIA")
    assert len(session.access_key_id) == 20
    assert len(session.secret) == 40
    assert Mint("k" * 64).open(session.token) == session
    assert Mint("other" * 13).open(session.token) is None
    assert MINT.make(dataclasses.replace(STATEMENT, uid="v")).secret != session.secret
    assert session.secret not in repr(session)
    assert session.token not in repr(session)


def test_a_function_without_a_role_is_itself(world: World) -> None:
    key = world.find(MINT.make(STATEMENT).token)
    assert subject(key) == OWN
    assert key is not None
    assert (key.namespace, key.role, key.session) == ("team-a", "worker", "orders")


def test_a_role_is_looked_up_anew_for_each_request(world: World) -> None:
    token = MINT.make(STATEMENT).token
    world.roles["team-a", "worker"] = ROLE
    assert subject(world.find(token)) == ("ann", ("ops",))
    world.roles["team-a", "worker"] = dataclasses.replace(ROLE, user="bob", secret="rotated")
    assert subject(world.find(token)) == ("bob", ("ops",))
    world.roles["team-a", "worker"] = dataclasses.replace(ROLE, functions=("billing",))
    assert subject(world.find(token)) == OWN
    del world.roles["team-a", "worker"]
    assert subject(world.find(token)) == OWN


def test_a_session_ends_with_its_pod(world: World) -> None:
    token = MINT.make(STATEMENT).token
    assert world.find(token, now=1_000_000) is not None
    world.pods.clear()
    assert world.find(token, now=1059) is not None, "a new pod may not be known everywhere yet"
    with pytest.raises(LambdaError) as expired:
        world.find(token, now=1060)
    assert (expired.value.status, expired.value.error.name) == (403, "ExpiredTokenException")
    assert expired.value.message == "The security token included in the request is expired"


def test_a_clock_that_is_put_back_makes_no_session_young(world: World) -> None:
    world.pods.clear()
    token = MINT.make(STATEMENT).token
    with pytest.raises(LambdaError) as ended:
        world.find(token, now=1000 - 3600)
    assert ended.value.error.name == "ExpiredTokenException"


def test_a_pod_of_the_same_name_is_another_one(world: World) -> None:
    world.pods = {("team-a", "orders-1", "later")}
    with pytest.raises(LambdaError):
        world.find(MINT.make(STATEMENT).token, now=2000)


@given(st.text(max_size=100))
def test_nobody_else_makes_tokens(text: str) -> None:
    assert MINT.open(text) is None
    body, _, mac = MINT.make(STATEMENT).token.partition(".")
    assert MINT.open(f"{text}.{mac}") is None
    assert MINT.open(f"{body}.{text}") is None


def test_a_statement_cannot_be_changed(world: World) -> None:
    session = MINT.make(STATEMENT)
    body, _, mac = session.token.partition(".")
    told = json.loads(base64.urlsafe_b64decode(body)) | {"function": "billing"}
    forged = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    assert world.find(f"{forged}.{mac}") is None
    assert world.find(session.token, identifier="ASIAOTHER") is None


def test_more_tokens_than_are_kept_still_open() -> None:
    mint = Mint("k")
    tokens = [mint.make(dataclasses.replace(STATEMENT, uid=str(n))).token for n in range(5000)]
    assert all(mint.open(token) is not None for token in tokens)
    assert mint.open(tokens[0]) is not None


def test_the_gate_proves_a_sessions_signature(world: World) -> None:
    now = datetime.now(UTC)
    credentials = dict(
        SessionCredentials(MINT, now.timestamp).of(
            PodFacts(namespace="team-a", name="orders-1", uid="u", deployment="d"),
            {"functionName": "orders", "role": f"arn:aws:iam::{ACCOUNT}:role/path/worker"},
        )
    )
    sessions = Sessions(MINT, roles=world, pods=world)
    gate = Gate(OneKey(), region=REGION, account_of=lambda _: ACCOUNT, sessions=sessions)

    def request(**change: str) -> Any:
        members = credentials | change
        return signed(
            secret=members["secretAccessKey"], token=members["sessionToken"],
            key_id=members["accessKeyId"],
        )  # fmt: skip

    caller, _ = gate.authenticate(*request())
    assert caller.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/orders"
    assert (caller.user, caller.namespace) == (OWN[0], "team-a")
    with pytest.raises(LambdaError, match="does not match"):
        gate.authenticate(*request(secretAccessKey="wrong"))
    with pytest.raises(LambdaError, match="security token"):
        gate.authenticate(*request(sessionToken="wrong"))
    plain = Gate(OneKey(), region=REGION, account_of=lambda _: ACCOUNT)
    with pytest.raises(LambdaError, match="security token"):
        plain.authenticate(*request())


def test_names() -> None:
    assert role_name("arn:aws:iam::123456789012:role/service-role/worker") == "worker"
    assert role_name("worker") == "worker"
    assert session_name("f") == "f@lambda_function"
    assert session_name("fn") == "fn"


def test_which_roles_a_function_may_have(world: World) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/worker"
    assert assumable(world, "team-a", arn, "billing"), "a name that stands for nothing"
    world.roles["team-a", "worker"] = ROLE
    assert assumable(world, "team-a", arn, "orders-new")
    assert not assumable(world, "team-a", arn, "billing")
    assert assumable(world, "team-b", arn, "billing"), "another account's role"
