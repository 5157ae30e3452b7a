"""What the tests of URL requests stand on: ASGI in and out, botocore's signatures, a data plane
that answers what it is told."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from klambda_core import errors
from klambda_core.urls import UrlPlace, url_id
from klambda_gateway.auth.authorizer import denied
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.keys import AccessKey
from klambda_gateway.bulk import whole
from klambda_gateway.instances.streamed import Ending, Opening
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, Resolved
from klambda_gateway.invoke.story import Done, Story
from klambda_gateway.routing.facts import alias_facts, function_facts
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.urls.door import UrlDoor
from klambda_gateway.urls.passage import Passages
from klambda_gateway.urls.table import UrlTable
from klambda_gateway.wire.room import Room
from klambda_gateway.wire.urls import UrlFront

KEY = "k" * 64
PLACE = UrlPlace(region="us-east-1", port=8080)
ACCOUNTS = {"default": "111111111111", "other": "222222222222"}
KEYS = {
    "AKIAOWN": AccessKey(access_key_id="AKIAOWN", secret="s1", namespace="default", user="ann"),
    "AKIAOTHER": AccessKey(access_key_id="AKIAOTHER", secret="s2", namespace="other", user="bob"),
}
OWN_ARN = "arn:aws:lambda:us-east-1:111111111111:function:area"
NONE = {"authType": "NONE", "public": True}
IAM = {"authType": "AWS_IAM", "public": True}


@dataclass
class Got:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, values
        return values[0] if values else None


class Stream:
    """An answer that comes in these pieces; at a None it waits for ever."""

    executed_version = "$LATEST"

    def __init__(
        self,
        *pieces: bytes | None,
        content_type: str | None = None,
        function_error: str | None = None,
        ending: Ending | None = None,
    ) -> None:
        self.opening = Opening(content_type=content_type, function_error=function_error)
        self.ending = ending or Ending()
        self.closed = False
        self.waiting = asyncio.Event()
        self._pieces = pieces

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                self.waiting.set()
                await asyncio.Event().wait()
            else:
                yield piece

    def close(self) -> None:
        self.closed = True


class Invoker:
    def __init__(self) -> None:
        self.requests: list[InvokeRequest] = []
        self.returns: Any = {"statusCode": 200, "body": "ok"}
        self.error: Exception | None = None
        self.function_error: str | None = None
        self.started = asyncio.Event()
        self.hold = False
        self.cancelled = False
        self.streamed = Stream()

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        self.requests.append(request)
        self.started.set()
        try:
            if self.hold:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error
        returned = self.returns
        payload = returned if isinstance(returned, bytes) else json.dumps(returned).encode()
        return InvokeAnswer(
            payload=payload, executed_version="$LATEST", function_error=self.function_error
        )

    def start(self, request: InvokeRequest, done: Done) -> Story:
        """As the fast lane asks."""
        story = Story(request, done, lambda _: void(task.cancel()))

        async def run() -> None:
            try:
                done(await self.invoke(request))
            except errors.LambdaError as error:
                done(error)

        task = asyncio.get_running_loop().create_task(run())
        return story

    async def stream(self, request: InvokeRequest) -> Stream:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return self.streamed

    async def resolve(self, *_: Any) -> Resolved:
        raise NotImplementedError

    @property
    def event(self) -> dict[str, Any]:
        (request,) = self.requests
        event: dict[str, Any] = json.loads(whole(request.payload))
        return event


class World:
    def __init__(self) -> None:
        self.invoker = Invoker()
        self.table = UrlTable(partial(url_id, KEY))
        self.routes = RoutingTable(on_swapped=self.table.changed)
        self.now = datetime.now(UTC)
        self.passed_on: list[str] = []
        self.counted: list[int] = []
        self.rights = True
        self.unsure = False
        self.door = UrlDoor(
            self.table,
            Passages(
                place=PLACE,
                gate=Gate(self, region=PLACE.region, account_of=ACCOUNTS.__getitem__),
                account_of=ACCOUNTS.__getitem__,
                now=lambda: self.now,
                new_id=lambda: str(uuid.UUID(int=7)),
                watching=self,
            ),
            authorizer=self,
            invoker=self.invoker,
        )
        self.room = Room()
        self.front = UrlFront(self._api, self.door, self.room)

    def find(self, access_key_id: str) -> AccessKey | None:
        return KEYS.get(access_key_id)

    def known(self, caller: Caller, action: str, resource: str) -> bool | None:
        """RBAC, as far as it was asked before."""
        assert (caller.arn != "", action) == (True, "lambda:InvokeFunctionUrl")
        assert resource in ("*", OWN_ARN)
        return None if self.unsure else self.rights

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        """RBAC."""
        assert action == "lambda:InvokeFunctionUrl"
        assert resource in ("*", OWN_ARN)
        if self.unsure:
            raise errors.unavailable("The Kubernetes API does not answer.")
        if not self.rights:
            raise denied(caller, action, resource)

    def answered(self, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.counted.append(status)

    def function(self, **spec: Any) -> str:
        meta = {"namespace": "default", "name": "area", "uid": "u"}
        self.routes.change_function(None, function_facts({"metadata": meta, "spec": spec}))
        return url_id(KEY, "default", "area")

    def alias(self, **spec: Any) -> str:
        meta = {"namespace": "default", "name": "area-a-live", "uid": "a"}
        spec |= {"functionRef": "area", "name": "live", "functionVersion": "1"}
        self.routes.change_alias(None, alias_facts({"metadata": meta, "spec": spec}))
        return url_id(KEY, "default", "area", "live")

    async def _api(self, scope: Any, _: Any, send: Any) -> None:
        self.passed_on.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def unheard(self, _: Any) -> None:
        """Take what nobody reads."""

    async def get(
        self,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        query: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: Iterable[bytes] = (b"",),
        gone: Callable[[], Any] | None = None,
    ) -> Got:
        pieces = [*body]
        got = Got()

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
            await (asyncio.Event().wait() if gone is None else gone())
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                got.status = message["status"]
                got.headers = [(k.decode().lower(), v.decode()) for k, v in message["headers"]]
            else:
                got.body += message["body"]
                got.pieces.append(message["body"])
                got.complete = not message.get("more_body", False)

        given = [("host", host), *headers]
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": query.encode(), "http_version": "1.1", "scheme": "http",
            "client": ("::ffff:1.2.3.4", 5000),
            "headers": [(k.lower().encode(), v.encode()) for k, v in given],
        }  # fmt: skip
        await self.front(scope, receive, send)
        return got


def void(_: object) -> None:
    """Return nothing."""


def host_of(url: str) -> str:
    return f"{PLACE.host(url)}:8080"


def signed(
    host: str,
    path: str = "/",
    *,
    method: str = "GET",
    key: str = "AKIAOWN",
    body: bytes = b"",
    service: str = "lambda",
    secret: str | None = None,
    query: str = "",
    payload: str = "",
    more: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Headers that botocore signs a request with; ``payload``: the hash that is declared."""
    url = f"http://{host}{path}" + (f"?{query}" if query else "")
    declared = {"X-Amz-Content-SHA256": payload} if payload else {}
    given = {**declared, **(more or {})}
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers=given)
    credentials = botocore.credentials.Credentials(key, secret or KEYS[key].secret)
    botocore.auth.SigV4Auth(credentials, service, PLACE.region).add_auth(request)
    return list(request.headers.items())
