"""Authorisation over a Kubernetes that answers, denies, or is away. Time is told, nobody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from klambda_core.errors import LambdaError
from klambda_core.kinds import Kind
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.rbac import Rbac
from klambda_kube.errors import Forbidden, KubeError, NotFound, Unreachable

ARN = "arn:aws:lambda:us-east-1:123456789012:function:area"
INVOKE = "lambda:InvokeFunction"


class Kubernetes:
    """Answers reviews."""

    def __init__(self) -> None:
        self.allowed = True
        self.only = ""
        """The one name that is allowed."""
        self.error: KubeError | None = None
        self.reviews: list[dict[str, Any]] = []
        self.gate: asyncio.Event | None = None

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        assert kind.plural == "localsubjectaccessreviews"
        assert body["metadata"] == {"namespace": namespace}
        assert field_manager == "klambda-gateway"
        self.reviews.append(dict(body["spec"]))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        named = self.only in ("", body["spec"]["resourceAttributes"]["name"])
        return {"status": {"allowed": self.allowed and named}}


class World:
    def __init__(self) -> None:
        self.kube = Kubernetes()
        self.now = 1000.0
        self.rbac = Rbac(self.kube, name_of=lambda _, name: name, now=lambda: self.now)

    async def passes(self, caller: Caller, action: str = INVOKE, resource: str = ARN) -> bool:
        try:
            await self.rbac.check(caller, action, resource)
        except LambdaError as error:
            if error.status == 403:
                return False
            raise
        return True


@pytest.fixture
def world() -> World:
    return World()


def caller(user: str = "ann", **more: Any) -> Caller:
    members: dict[str, Any] = {
        "access_key_id": "AKIA",
        "namespace": "team-a",
        "account": "123456789012",
        "user": user,
    }
    return Caller(**members | more)


async def test_what_is_asked(world: World) -> None:
    extra = (("scopes", ("a", "b")),)
    assert await world.passes(caller(groups=("ops",), extra=extra))
    assert world.kube.reviews == [
        {
            "user": "ann",
            "groups": ["ops", "system:authenticated"],
            "extra": {"scopes": ["a", "b"]},
            "resourceAttributes": {
                "group": "klambda.io",
                "verb": "invoke",
                "resource": "functions",
                "subresource": "",
                "namespace": "team-a",
                "name": "area",
            },
        }
    ]


async def test_a_qualifier_is_asked_for_after_the_whole(world: World) -> None:
    def asked() -> list[str]:
        return [each["resourceAttributes"]["name"] for each in world.kube.reviews]

    assert await world.passes(caller(), INVOKE, f"{ARN}:live")
    assert asked() == ["area"], "who has the function has its alias"
    world.kube.only = "area:live"
    world.kube.reviews.clear()
    assert await world.passes(caller("bob"), INVOKE, f"{ARN}:live")
    assert asked() == ["area", "area:live"]
    assert not await world.passes(caller("bob"), INVOKE, ARN)
    assert not await world.passes(caller("bob"), INVOKE, f"{ARN}:1")


async def test_a_warm_request_asks_nobody(world: World) -> None:
    """The coroutine ends without giving up the loop once."""
    assert world.rbac.known(caller(), INVOKE, ARN) is None
    assert await world.passes(caller())
    for _ in range(100):
        assert world.rbac.known(caller(), INVOKE, ARN) is True
        with pytest.raises(StopIteration):
            world.rbac.check(caller(), INVOKE, ARN).send(None)
    assert len(world.kube.reviews) == 1


async def test_a_refusal_is_awss_sentence_and_counts_for_seconds(world: World) -> None:
    world.kube.allowed = False
    with pytest.raises(LambdaError) as refused:
        await world.rbac.check(caller(), INVOKE, ARN)
    assert (refused.value.status, refused.value.error.name) == (403, "AccessDeniedException")
    assert refused.value.message == (
        f"User: arn:aws:iam::123456789012:user/ann is not authorized to perform: {INVOKE} on "
        f"resource: {ARN} because no identity-based policy allows the {INVOKE} action"
    )
    assert world.rbac.known(caller(), INVOKE, ARN) is False
    world.kube.allowed = True
    assert not await world.passes(caller())
    world.now += 3
    assert await world.passes(caller())


async def test_rights_are_of_one_subject_account_action_and_resource(world: World) -> None:
    assert await world.passes(caller())
    world.kube.allowed = False
    assert not await world.passes(caller("bob"))
    assert not await world.passes(caller(groups=("ops",)))
    assert not await world.passes(caller(namespace="team-b"))
    assert not await world.passes(caller(), "lambda:DeleteFunction")
    assert not await world.passes(caller(), INVOKE, ARN + "2")
    assert await world.passes(caller())


async def test_another_accounts_arn_is_never_asked_about(world: World) -> None:
    assert not await world.passes(caller(), INVOKE, ARN.replace("123456789012", "999999999999"))
    assert world.kube.reviews == []


async def test_an_action_without_a_right_is_denied(world: World) -> None:
    assert not await world.passes(caller(), "lambda:NoSuchThing", "*")
    assert world.kube.reviews == []


async def test_many_who_wait_ask_once_and_may_go_away(world: World) -> None:
    world.kube.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.passes(caller())) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    world.kube.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [True] * 9
    assert len(world.kube.reviews) == 1


async def test_questions_take_turns(world: World) -> None:
    world.kube.gate = asyncio.Event()
    many = [
        asyncio.create_task(world.passes(caller(), INVOKE, f"{ARN}-{number}"))
        for number in range(100)
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.kube.reviews) == 32
    world.kube.gate.set()
    assert await asyncio.gather(*many) == [True] * 100


async def test_a_revocation_works_without_making_warm_requests_wait(world: World) -> None:
    assert await world.passes(caller())
    world.kube.allowed = False
    world.now += 6
    assert world.rbac.known(caller(), INVOKE, ARN) is True, "due: asked beside"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.rbac.known(caller(), INVOKE, ARN) is False
    assert len(world.kube.reviews) == 2


@pytest.mark.parametrize(
    "error",
    [Unreachable("refused", maybe_applied=False), Forbidden(403, "Forbidden", "not you")],
)
async def test_away_warm_rights_serve_for_five_minutes_and_cold_ones_fail_closed(
    world: World, error: KubeError
) -> None:
    assert await world.passes(caller())
    world.kube.error = error
    world.now += 60
    assert await world.passes(caller())
    with pytest.raises(LambdaError) as refused:
        await world.passes(caller("bob"))
    assert (refused.value.status, refused.value.error.name) == (503, "ServiceUnavailableException")
    world.now += 239
    assert world.rbac.known(caller(), INVOKE, ARN) is True
    await asyncio.sleep(0)
    world.now += 1
    with pytest.raises(LambdaError) as refused:
        await world.passes(caller())
    assert refused.value.status == 503
    world.kube.error = None
    assert await world.passes(caller())


async def test_nobody_may_do_anything_in_a_namespace_that_is_not_there(world: World) -> None:
    world.kube.error = NotFound(404, "NotFound", "namespaces team-a not found")
    assert not await world.passes(caller())
