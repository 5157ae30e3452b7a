"""The API's edges: hang-ups, Kubernetes' refusals, access keys in Secrets, links."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klambda_gateway.api.app import build_app
from klambda_gateway.api.dispatch import RawRequest, translated
from klambda_gateway.api.links import CodeLinks
from klambda_gateway.api.objects import NameBusy, merge_members
from klambda_gateway.blobs import StoreError
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_kube.errors import (
    ApiError,
    Cause,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Throttled,
    Unreachable,
)
from tests.unit.gateway_api.fakes import World, merged


class Patient:
    """An invoker that waits for ever, and tells how its waiting ended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def invoke(self, _: InvokeRequest) -> InvokeAnswer:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


def signed_invoke(world: World) -> RawRequest:
    requests: list[RawRequest] = []
    send = world.send

    def record(request: RawRequest) -> Any:
        requests.append(request)
        return send(request)

    world.send = record  # type: ignore[method-assign]
    world.client().invoke(FunctionName="area", Payload=b"{}")
    return requests[0]


async def test_a_client_that_hangs_up_ends_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    raw = await asyncio.to_thread(signed_invoke, world)
    patient = Patient()
    monkeypatch.setattr(world.invoker, "invoke", patient.invoke)
    app = build_app(world.services)
    messages = [{"type": "http.request", "body": raw.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await patient.asked.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        return None

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": raw.signable.path.decode(), "raw_path": raw.signable.path,
        "query_string": raw.signable.query, "headers": list(raw.signable.headers),
        "server": ("klambda.test", 8080), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    assert patient.cancelled.is_set()


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (Invalid(422, "Invalid", "no", causes=(Cause(field="spec.x", message="is wrong"),)), 400,
         "InvalidParameterValueException"),
        (Forbidden(403, "Forbidden", "quota"), 403, "AccessDeniedException"),
        (NotFound(404, "NotFound", "namespaces x not found"), 404, "ResourceNotFoundException"),
        (Conflict(409, "Conflict", "too fast"), 409, "ResourceConflictException"),
        (NameBusy("f"), 409, "ResourceConflictException"),
        (Throttled(429, "TooManyRequests", "later"), 429, "TooManyRequestsException"),
        (Unreachable("cut off", maybe_applied=True), 503, "ServiceUnavailableException"),
        (StoreError(0, "refused"), 503, "ServiceUnavailableException"),
        (ApiError(500, "InternalError", "oops"), 500, "ServiceException"),
        (KubeError("?"), 500, "ServiceException"),
    ],
)  # fmt: skip
def test_refusals_of_what_is_behind(error: KubeError | StoreError, status: int, name: str) -> None:
    found = translated(error)
    assert (found.status, found.error.name) == (status, name)
    if isinstance(error, Invalid):
        assert found.message == "spec.x: is wrong"


def test_links_open_one_blob_for_a_while() -> None:
    now = [1000.0]
    links = CodeLinks("k" * 64, lambda: now[0])
    sha = "a" * 64
    path, _, query = links.make("http://h", "default", sha).removeprefix("http://h").partition("?")
    members = dict(pair.split("=", 1) for pair in query.split("&"))
    assert links.open("GET", path, members) == ("default", sha)
    assert links.open("HEAD", path, members) == ("default", sha)
    assert links.open("GET", path.replace("default", "other"), members) is None
    assert links.open("PUT", path, members) is None
    assert links.open("GET", "/_code/default/../x", members) is None
    now[0] += 601
    assert links.open("GET", path, members) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": [1]}),
        ({"a": 1}, {}),
    ],
)
def test_patches_lead_exactly_there(old: Any, new: Any) -> None:
    assert merged(old, merge_members(old, new)) == new
