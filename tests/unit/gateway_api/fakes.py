"""What the API's tests stand on: Kubernetes and store in memory, boto3 without sockets.

The client is botocore's own: it serialises, signs and parses as for AWS; only the sending is
replaced by a call of the dispatcher.
"""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

import asyncio
import copy
import dataclasses
import hashlib
import io
import itertools
import json
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import boto3
import botocore.awsrequest
import botocore.config

from klambda_core.code import CodeRef
from klambda_core.crd import Function, Image, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.events import Event, QueueStats, Record
from klambda_core.kinds import ALIAS, FUNCTION, VERSION, Kind
from klambda_core.urls import UrlPlace, url_id
from klambda_gateway.api.call import Services
from klambda_gateway.api.dispatch import Dispatcher, RawAnswer, RawRequest
from klambda_gateway.api.grants import Grants
from klambda_gateway.api.links import CodeLinks
from klambda_gateway.api.objects import Objects
from klambda_gateway.auth.authorizer import denied, in_own_account
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.keys import AccessKey
from klambda_gateway.blobs import Blobs
from klambda_gateway.code.fetching import Allowed, Fetcher
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.events.intake import Intake
from klambda_gateway.images.trouble import ImageTrouble
from klambda_gateway.instances.streamed import Ending, Opening
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, Resolved
from klambda_gateway.routing.facts import FunctionFacts
from klambda_gateway.routing.table import Entry, RoutingTable
from klambda_kube.api import Api, ListResult
from klambda_kube.errors import AlreadyExists, Conflict, NotFound, Unreachable

REGION = "us-east-1"
PLACE = UrlPlace(region=REGION, port=8080)
ACCOUNT = "123456789012"
OTHER = "210987654321"
"""The account of every namespace but `default`."""
KEY_ID = "AKIAABCDEFGHIJKLMNOP"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-role"
Object = dict[str, Any]


def make_zip(text: str = "def handler(event, context):\n    return 1\n") -> bytes:
    """A deployment package with one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("lambda_function.py"), text)
    return buffer.getvalue()


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class FakeKube:
    """The calls of ``Api`` that the gateway's API makes, with versions, generations, conflicts."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.conflicts = 0
        """So many of the next patches meet a conflict."""
        self.lost_answers = 0
        """So many of the next writes happen, but their answers are lost."""
        self._versions = itertools.count(1)

    def all(self, kind: Kind) -> list[Object]:
        return [obj for key, obj in sorted(self.objects.items()) if key[0] == kind.plural]

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        key = (kind.plural, namespace or "", name)
        if key not in self.objects:
            raise NotFound(404, "NotFound", name)
        return copy.deepcopy(self.objects[key])

    async def list(
        self, kind: Kind, namespace: str | None = None, *, field_selector: str = "", **_: Any
    ) -> ListResult:
        items = [
            copy.deepcopy(obj)
            for (plural, where, _name), obj in sorted(self.objects.items())
            if plural == kind.plural and namespace in (None, where)
        ]
        if field_selector:
            path, _equals, wanted = field_selector.partition("=")
            items = [obj for obj in items if obj["spec"][path.removeprefix("spec.")] == wanted]
        return ListResult(items=items, resource_version="1")

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> Object:
        key = (kind.plural, namespace or "", body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", key[2])
        obj = copy.deepcopy(dict(body))
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        obj["metadata"] |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": "2026-11-21T12:00:00Z",
            "resourceVersion": str(next(self._versions)),
        }
        self.objects[key] = obj
        self._lose()
        return copy.deepcopy(obj)

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> Object:
        old = await self.get(kind, namespace, name)
        given = patch.get("metadata", {}).get("resourceVersion")
        if self.conflicts or given not in (None, old["metadata"]["resourceVersion"]):
            self.conflicts = max(0, self.conflicts - 1)
            raise Conflict(409, "Conflict", name)
        if subresource:
            new = {**old, "status": merged(old.get("status", {}), patch["status"])}
        else:
            new = merged(old, {k: v for k, v in patch.items() if k != "status"})
            if new["spec"] != old["spec"]:
                new["metadata"]["generation"] += 1
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[(kind.plural, namespace or "", name)] = new
        self._lose()
        return copy.deepcopy(new)

    async def delete(
        self, kind: Kind, namespace: str | None, name: str, *, uid: str | None = None, **_: Any
    ) -> None:
        obj = await self.get(kind, namespace, name)
        if uid not in (None, obj["metadata"]["uid"]):
            raise Conflict(409, "Conflict", name)
        del self.objects[(kind.plural, namespace or "", name)]

    def _lose(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unreachable("cut off", maybe_applied=True)

    def settle(self) -> None:
        """What the operator does: the wanted digest becomes the active one."""
        for obj in self.all(FUNCTION):
            self._activate(obj, function_digest(Function.read(obj)))
        for obj in self.all(VERSION):
            self._activate(obj, snapshot_digest(Version.read(obj).spec.snapshot))

    def _activate(self, obj: Object, digest: str) -> None:
        active = {"configDigest": digest, "revision": digest, "deployment": "d"}
        obj.setdefault("status", {})["active"] = active


class FakeBlobs:
    """A store in memory."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}

    async def put(self, namespace: str, data: bytes) -> CodeRef:
        ref = CodeRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        self.blobs[namespace, ref.sha256] = data
        return ref

    async def get(self, namespace: str, sha256: str) -> bytes:
        return self.blobs[namespace, sha256]

    async def get_stream(self, namespace: str, sha256: str) -> AsyncIterator[bytes]:
        yield self.blobs[namespace, sha256]

    async def put_pieces(
        self, namespace: str, ref: CodeRef, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> None:
        assert await self.put(namespace, b"".join([piece async for piece in pieces()])) == ref

    async def put_stream(self, namespace: str, chunks: AsyncIterator[bytes]) -> CodeRef:
        return await self.put(namespace, b"".join([chunk async for chunk in chunks]))

    async def size(self, namespace: str, sha256: str) -> int | None:
        data = self.blobs.get((namespace, sha256))
        return None if data is None else len(data)

    async def exists(self, namespace: str, sha256: str) -> bool:
        return (namespace, sha256) in self.blobs


class FakeStream:
    """An answer that comes in these pieces."""

    executed_version = "$LATEST"
    opening = Opening(content_type="text/plain", function_error=None)

    def __init__(self, *pieces: bytes, ending: Ending | None = None) -> None:
        self._pieces = pieces
        self.ending = ending or Ending()
        self.closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        self.closed = True


class FakeImages:
    """Registries in memory: images by name, and what is wrong with others."""

    def __init__(self) -> None:
        self.known: dict[str, Image | ImageTrouble] = {}
        self.asked: list[tuple[str, str | None, str]] = []

    async def find(self, uri: str, digest: str | None, architecture: str) -> Image:
        self.asked.append((uri, digest, architecture))
        found = self.known.get(uri, ImageTrouble("ImageNotFound", "none"))
        if isinstance(found, ImageTrouble):
            raise found
        return found


class FakeInvoker:
    """A data plane that answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[InvokeRequest] = []
        self.answer = InvokeAnswer(payload=b'"ok"', executed_version="$LATEST")
        self.streamed = FakeStream(b"o", b"k")

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        self.requests.append(request)
        return self.answer

    async def stream(self, request: InvokeRequest) -> FakeStream:
        self.requests.append(request)
        return self.streamed

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        return Resolved(executed_version="$LATEST", deployment="d")


class FakeEvents:
    """A store of events in memory, and a routing table in which every function is known."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.records: dict[tuple[str, str], Record] = {}
        self.queues: list[QueueStats] = []
        self.redriven: list[str] = []
        self.problem: Exception | None = None

    async def put(self, event: Event) -> None:
        if self.problem is not None:
            raise self.problem
        self.events.append(event)

    async def lookup(self, namespace: str, event_id: str) -> Record | None:
        if self.problem is not None:
            raise self.problem
        return self.records.get((namespace, event_id))

    async def stats(self) -> list[QueueStats]:
        if self.problem is not None:
            raise self.problem
        return self.queues

    async def redrive(self, function_uid: str) -> int:
        if self.problem is not None:
            raise self.problem
        self.redriven.append(function_uid)
        return 7

    def entry(self, namespace: str, name: str) -> Entry | None:
        facts = FunctionFacts(
            namespace=namespace, name=name, uid=f"uid-{name}", aws_name=name, created="",
            timeout=3, serving=None,
        )  # fmt: skip
        return Entry(function=facts)


class Nobody:
    """An index and observer that know nothing; and one key."""

    def find(self, namespace: str, function_name: str) -> str | None:
        return None

    def observe(self, obj: Mapping[str, Any]) -> None:
        assert obj["kind"]

    def forget(self, obj: Mapping[str, Any]) -> None:
        assert obj["metadata"]["uid"]


class OneKey:
    """The keys of an installation that has just started."""

    def __init__(self, token: str | None = None) -> None:
        self._key = AccessKey(
            access_key_id=KEY_ID, secret=SECRET, namespace="default", user="klambda-admin",
            token=token,
        )  # fmt: skip

    def find(self, access_key_id: str) -> AccessKey | None:
        return self._key if access_key_id == KEY_ID else None


class Rights:
    """Authorisation in memory: everything is allowed that is not taken away."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        """Actions, or ``action resource``."""
        self.asked: list[tuple[str, str]] = []

    def known(self, caller: Caller, action: str, resource: str) -> bool | None:
        taken = action in self.taken or f"{action} {resource}" in self.taken
        return in_own_account(caller, resource) and not taken

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        self.asked.append((action, resource))
        if not self.known(caller, action, resource):
            raise denied(caller, action, resource)


class SomeRoles:
    """The roles that a test makes."""

    def __init__(self) -> None:
        self.made: dict[str, AccessKey] = {}

    def role(self, namespace: str, name: str) -> AccessKey | None:
        return self.made.get(name)


class World:
    """The API over fakes, and clients of it."""

    def __init__(self) -> None:
        self.rights = Rights()
        self.roles = SomeRoles()
        self.kube = FakeKube()
        self.blobs = FakeBlobs()
        self.images = FakeImages()
        self.invoker = FakeInvoker()
        self.table = RoutingTable()
        """What crossing to another account sees."""
        self.others: dict[str, str] = {}
        """Other accounts: their namespaces."""
        self.events = FakeEvents()
        nobody = Nobody()
        objects = Objects(
            cast("Api", self.kube),
            index=nobody,
            observer=nobody,
            new_id=lambda: str(uuid.uuid4()),
            now=lambda: datetime.now(UTC),
        )
        self.shelf = Shelf(
            cast("Api", self.kube),
            cast("Blobs", self.blobs),
            region=REGION,
            account_of=lambda namespace: ACCOUNT if namespace == "default" else OTHER,
        )
        self.services = Services(
            objects=objects,
            blobs=cast("Blobs", self.blobs),
            images=self.images,
            invoker=self.invoker,
            events=Intake(self.events, self.invoker, entry=self.events.entry),
            gate=Gate(OneKey(), region=REGION, account_of=lambda _: ACCOUNT),
            authorizer=self.rights,
            grants=Grants(namespace_of=self.others.get, entry=self.table.get),
            roles=self.roles,
            links=CodeLinks("k" * 64, lambda: 1_000_000.0),
            shelf=self.shelf,
            fetcher=Fetcher(Allowed()),
            urls=lambda *what: PLACE.address(url_id("k" * 64, *what)),
            region=REGION,
            now=lambda: datetime.now(UTC),
            new_id=lambda: str(uuid.uuid4()),
        )
        self.dispatcher = Dispatcher(self.services)
        self.last: RawAnswer | None = None

    def client(self, service: str = "lambda", **config: Any) -> Any:
        """A boto3 client whose requests are answered here."""
        client = boto3.client(
            service,
            region_name=config.pop("region", REGION),
            endpoint_url="http://klambda.test:8080",
            aws_access_key_id=config.pop("key_id", KEY_ID),
            aws_secret_access_key=config.pop("secret", SECRET),
            aws_session_token=config.pop("token", None),
            config=botocore.config.Config(
                retries={"max_attempts": 0}, parameter_validation=False, **config
            ),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def send(self, request: RawRequest) -> RawAnswer:
        self.last = asyncio.run(self._whole(request))
        return self.last

    async def _whole(self, request: RawRequest) -> RawAnswer:
        answer = await self.dispatcher.answer(request)
        if answer.stream is None:
            return answer
        body = b"".join([piece async for piece in answer.stream])
        answer.stream.close()
        return dataclasses.replace(answer, body=body)

    def _send(self, request: Any, **_: Any) -> Any:
        answer = self.send(raw_request(request))
        return botocore.awsrequest.AWSResponse(
            request.url, answer.status, _Headers(answer.headers), _Raw(answer.body)
        )

    def error(self) -> dict[str, Any]:
        """The body of the last answer."""
        assert self.last is not None
        return cast("dict[str, Any]", json.loads(self.last.body))


class _Headers(dict[str, str]):
    """Headers as urllib3 has them: names in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({key.lower(): value for key, value in headers.items()})

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


def raw_request(request: Any) -> RawRequest:
    """A prepared request of botocore as it would arrive over the wire."""
    rest = request.url.split("://", 1)[1]
    host, slash, tail = rest.partition("/")
    path, _, query = (slash + tail).partition("?")
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    headers = [(str(k).lower().encode(), _bytes(v)) for k, v in request.headers.items()]
    if "Host" not in request.headers:
        headers.append((b"host", host.encode()))
    return RawRequest(
        signable=Signable(
            method=request.method,
            path=path.encode(),
            query=query.encode(),
            headers=headers,
        ),
        body=_bytes(body),
        base_url="http://klambda.test:8080",
    )


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


KINDS = (FUNCTION, VERSION, ALIAS)
