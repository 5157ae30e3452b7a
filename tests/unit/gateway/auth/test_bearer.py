"""Bearer tokens over a Kubernetes that knows some of them. Time is told, nobody sleeps."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from klambda_core.errors import LambdaError
from klambda_core.kinds import Kind
from klambda_gateway.auth.bearer import Bearer, is_bearer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from klambda_kube.errors import KubeError, Unreachable

ROBOT = {
    "username": "system:serviceaccount:ci:robot",
    "groups": ["system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"],
    "extra": {"authentication.kubernetes.io/pod-name": ["p"]},
}


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


class Kubernetes:
    """Reviews tokens."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"authenticated": True, "user": ROBOT}
        self.error: KubeError | None = None
        self.specs: list[dict[str, Any]] = []

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        assert (kind.plural, namespace) == ("tokenreviews", None)
        assert field_manager == "klambda-gateway"
        self.specs.append(body["spec"])
        if self.error is not None:
            raise self.error
        return {"status": self.status}


class World:
    def __init__(self, accounts: list[str] | None = None) -> None:
        self.kube = Kubernetes()
        self.now = 1000.0
        self.wrong = 0.0
        """By what the time of day has been put forward."""
        self.bearer = Bearer(
            self.kube, account_of=lambda name: f"id of {name}", accounts=accounts,
            now=lambda: self.now + self.wrong, elapsed=lambda: self.now,
        )  # fmt: skip

    async def identify(self, token: str = "t", **headers: str) -> Caller:
        return await self.bearer.identify(signable(token, **headers))

    async def refusal(self, token: str = "t", **headers: str) -> LambdaError:
        with pytest.raises(LambdaError) as refused:
            await self.identify(token, **headers)
        return refused.value


def signable(token: str, scheme: str = "Bearer", **headers: str) -> Signable:
    given = [(b"authorization", f"{scheme} {token}".encode())]
    given += [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Signable(method="GET", path=b"/", query=b"", headers=given)


@pytest.fixture
def world() -> World:
    return World()


def test_which_requests_are_ours() -> None:
    assert is_bearer(signable("t"))
    assert is_bearer(signable("t", "bearer"))
    assert not is_bearer(signable("Credential=a/b", "AWS4-HMAC-SHA256"))
    assert not is_bearer(Signable(method="GET", path=b"/", query=b"", headers=[]))


async def test_a_service_account_acts_in_its_own_namespace(world: World) -> None:
    caller = await world.identify()
    assert (caller.user, caller.namespace, caller.account) == (ROBOT["username"], "ci", "id of ci")
    assert caller.groups == tuple(ROBOT["groups"])
    assert caller.extra == (("authentication.kubernetes.io/pod-name", ("p",)),)
    assert caller.arn == "arn:aws:iam::id of ci:user/serviceaccount/ci/robot"
    assert world.kube.specs == [{"token": "t"}]


async def test_the_header_names_another_account(world: World) -> None:
    assert (await world.identify(x_klambda_namespace="team-a")).namespace == "team-a"
    refused = await world.refusal(x_klambda_namespace="Team/A")
    assert refused.status == 400


async def test_a_user_must_name_the_account(world: World) -> None:
    world.kube.status["user"] = {"username": "oidc:ann", "groups": ["ops"]}
    refused = await world.refusal()
    assert (refused.status, refused.error.name) == (400, "InvalidParameterValueException")
    assert "X-Klambda-Namespace" in str(refused.message)
    assert (await world.identify(x_klambda_namespace="team-a")).user == "oidc:ann"


async def test_namespaces_that_are_not_served() -> None:
    world = World(accounts=["team-a"])
    assert (await world.refusal()).error.name == "AccessDeniedException"
    assert (await world.identify(x_klambda_namespace="team-a")).namespace == "team-a"


@pytest.mark.parametrize("token", ["", " ", "x" * 20_000])
async def test_what_is_no_token_is_not_even_asked_about(world: World, token: str) -> None:
    assert (await world.refusal(token)).error.name == "UnrecognizedClientException"
    assert world.kube.specs == []


@pytest.mark.parametrize(
    "status", [{}, {"authenticated": False}, {"authenticated": True, "user": {}}]
)
async def test_a_token_nobody_knows(world: World, status: dict[str, Any]) -> None:
    world.kube.status = status
    assert (await world.refusal()).status == 403
    world.now += 2.9
    await world.refusal()
    assert len(world.kube.specs) == 1, "refusals count for seconds"
    world.now += 0.1
    await world.refusal()
    assert len(world.kube.specs) == 2


@pytest.mark.parametrize(
    ("audience", "audiences", "known"),
    [
        ("klambda", ["klambda"], True),
        (["api", "klambda"], ["klambda"], True),
        ("klambda", [], False),
        ("klambda", ["api"], False),
    ],
)
async def test_tokens_of_our_own_audience(
    world: World, audience: Any, audiences: list[str], known: bool
) -> None:
    token = jwt(aud=audience)
    world.kube.status["audiences"] = audiences
    if known:
        await world.identify(token)
    else:
        assert (await world.refusal(token)).status == 403
    assert world.kube.specs == [{"token": token, "audiences": ["klambda"]}]


async def test_a_review_counts_for_seconds_and_not_beyond_the_tokens_end(world: World) -> None:
    token = jwt(exp=1005)
    await world.identify(token)
    world.now = 1004.9
    await world.identify(token)
    assert len(world.kube.specs) == 1
    world.now = 1005
    world.kube.status = {"authenticated": False}
    assert (await world.refusal(token)).status == 403


async def test_a_clock_that_is_put_back_keeps_no_review_alive(world: World) -> None:
    await world.identify(token := jwt(exp=9000))
    world.wrong = -3600.0
    world.now += 301
    world.kube.status = {"authenticated": False}
    assert (await world.refusal(token)).status == 403
    assert len(world.kube.specs) == 2


async def test_without_the_api_server(world: World) -> None:
    await world.identify("t")
    await world.identify(ended := jwt(exp=1100))
    world.kube.error = Unreachable("refused", maybe_applied=False)
    world.now += 200
    assert (await world.identify("t")).namespace == "ci"
    assert (await world.refusal(ended)).status == 503
    assert (await world.refusal("other")).error.name == "ServiceUnavailableException"
    world.now += 100
    assert (await world.refusal("t")).status == 503


@pytest.mark.parametrize("token", ["a.b.c", "a.!.c", "a.bnVsbA.c", "e30.W10.x"])
async def test_odd_tokens_are_the_api_servers_business(world: World, token: str) -> None:
    await world.identify(token)
    assert world.kube.specs == [{"token": token}]
