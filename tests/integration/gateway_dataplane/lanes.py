"""Two front doors of one gateway: with the fast lane and without, over the same services.

Ids and the clock stand still, so that the same bytes sent to both doors must come back as the same
bytes. Behind them are the real invoke service and simulated instances.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from klambda_core.signer import signing_key
from klambda_gateway.api.app import build_app
from klambda_gateway.api.call import Services
from klambda_gateway.auth.gate import Gate
from klambda_gateway.bulk import Body
from klambda_gateway.invoke.story import Story
from klambda_gateway.routing.facts import AliasFacts, Serving, VersionFacts
from klambda_gateway.wire.access import AccessLog
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.plain import Asked, FastLane, Plain, Respond
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import UrlLane
from tests.integration.gateway_dataplane.rig import Gateway, World, running, until
from tests.unit.gateway.urls import rig as urls_rig
from tests.unit.gateway_api import fakes

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = NOW.strftime("%Y%m%dT%H%M%SZ")
ID = "11111111-2222-4333-8444-555555555555"
PATH = "/2015-03-31/functions/area/invocations"
LAST = b"GET /end HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
"""A request that ends the connection."""

Headers = Sequence[tuple[str, str]]


@dataclass(slots=True, kw_only=True)
class Doors:
    """The servers, and what stands behind them."""

    world: World
    gateway: Gateway
    fast: HttpServer
    slow: HttpServer
    taken: list[str]
    """Names of functions that the fast lane started."""

    async def both(self, raw: bytes, cuts: Sequence[int] = ()) -> tuple[bytes, bytes]:
        """Send the same bytes to both; return what came back, but for the dates."""
        answers = await asyncio.gather(
            *(exchange(server.port, raw, cuts) for server in (self.fast, self.slow))
        )
        return dateless(answers[0]), dateless(answers[1])


class Noting:
    """A lane that notes what it takes; not a subclass, which a compiled lane could not have."""

    def __init__(self, lane: FastLane) -> None:
        self._lane = lane
        self.look = lane.look
        self.taken: list[str] = []

    def begin(
        self, plain: Plain, body: Body, digest: str, peer: str, respond: Respond
    ) -> Story | None:
        story = self._lane.begin(plain, body, digest, peer, respond)
        if story is not None:
            asked = plain.asked
            self.taken.append(asked.name if isinstance(asked, Asked) else asked.url_id)
        return story


def services(gateway: Gateway) -> Services:
    """Return the API's collaborators, with the data plane of a rig behind them."""
    return replace(
        fakes.World().services,
        invoker=gateway.service,
        gate=Gate(
            fakes.OneKey(),
            region=fakes.REGION,
            account_of=lambda _: fakes.ACCOUNT,
            now=lambda: NOW,
        ),
        now=lambda: NOW,
        new_id=lambda: ID,
    )


def no_urls() -> UrlLane:
    """A lane of a gateway without function URLs."""
    world = urls_rig.World()
    return UrlLane(world.door, world.invoker, world)


@asynccontextmanager
async def doors(keep_alive: int = 75, access: AccessLog | None = None) -> AsyncIterator[Doors]:
    """Open both; function ``area`` has a version 1 and an alias ``live`` of it."""
    async with running() as world:
        gateway = world.gateways[0]
        publish(world, gateway)
        served = services(gateway)
        lane = Noting(Lanes(Lane(served, gateway.service), no_urls()))
        fast = HttpServer(build_app(served), port=0, grace_seconds=5, lane=lane, access=access)
        slow = HttpServer(build_app(served), port=0, grace_seconds=5, access=access)
        for server in (fast, slow):
            server.config.timeout_keep_alive = keep_alive
        async with serving(fast, slow):
            yield Doors(world=world, gateway=gateway, fast=fast, slow=slow, taken=lane.taken)


@asynccontextmanager
async def serving(*servers: HttpServer) -> AsyncIterator[None]:
    """Run servers; at the end whatever is connected is cut."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(each.run_until(stop, 0)) for each in servers]
    await until(lambda: all(each.started for each in servers))
    try:
        yield
    finally:
        stop.set()
        for server in servers:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
        await asyncio.gather(*tasks)


def publish(world: World, gateway: Gateway) -> None:
    """Publish version 1 and point an alias at it."""
    key = world.add_deployment("area-1-1")
    version = VersionFacts(
        namespace="default",
        name="area-1",
        function="area",
        owner_uid=None,
        number="1",
        timeout=3,
        serving=Serving(deployment=key.name, revision="r"),
    )
    gateway.table.change_version(None, version)
    alias = AliasFacts(
        namespace="default",
        name="area-live",
        function="area",
        owner_uid=None,
        alias="live",
        targets=(("1", 1.0),),
    )
    gateway.table.change_alias(None, alias)


async def exchange(port: int, raw: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Send bytes in pieces, and read until the server closes (or has nothing more to say).

    A server that hangs up before the last piece came resets the connection, which may cost the
    client the answer that it had been sent: then the bytes are sent again, in one piece.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        for piece in pieces(raw, cuts):
            if writer.transport.is_closing():
                break  # the server has said what it had to say, and hung up
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001 if cuts else 0)
        async with asyncio.timeout(1.0) as patience:
            while data := await reader.read(65536):
                received += data
                patience.reschedule(asyncio.get_running_loop().time() + 1.0)
    except ConnectionError:
        if cuts:
            return await exchange(port, raw)
        received += b"<reset>"
    except TimeoutError:
        received += b"<nothing more>"
    finally:
        writer.transport.abort()
    return bytes(received)


def pieces(raw: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = [0, *sorted({cut % (len(raw) + 1) for cut in cuts}), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(places) if a < b]


def dateless(answer: bytes) -> bytes:
    """Leave out when it was made."""
    lines = answer.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"date: "))


def request(
    body: bytes = b"{}",
    *,
    path: str = PATH,
    query: str = "",
    headers: Headers = (),
    method: str = "POST",
    version: str = "HTTP/1.1",
    length: bool = True,
    secret: str = fakes.SECRET,
    service: str = "lambda",
    signed: bool = True,
    stamp: str = STAMP,
) -> bytes:
    """Return a request as an SDK signs it: host and date, and the body's hash."""
    every = [("host", "127.0.0.1"), ("x-amz-date", stamp), *headers]
    if signed:
        every.append(
            ("Authorization", authorization(method, path, query, every, body, secret, service))
        )
    if length:
        every.append(("Content-Length", str(len(body))))
    target = f"{path}?{query}" if query else path
    head = "".join(f"{name}: {value}\r\n" for name, value in every)
    return f"{method} {target} {version}\r\n{head}\r\n".encode("latin-1") + body


def authorization(
    method: str, path: str, query: str, headers: Headers, body: bytes, secret: str, service: str
) -> str:
    """Sign host, date and, where there is one, the declared hash (AWS IAM user guide)."""
    names = ("host", "x-amz-content-sha256", "x-amz-date")
    fields = {name.lower(): value for name, value in headers if name.lower() in names}
    payload = fields.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    lines = [f"{name}:{fields[name]}" for name in names if name in fields]
    signed = ";".join(name for name in names if name in fields)
    canonical = "\n".join([method, quote(path, safe="/~"), query, *lines, "", signed, payload])
    stamp = fields["x-amz-date"]
    scope = f"{stamp[:8]}/{fakes.REGION}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = signing_key(secret, stamp[:8], fakes.REGION, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return (
        f"AWS4-HMAC-SHA256 Credential={fakes.KEY_ID}/{scope}, SignedHeaders={signed}, "
        f"Signature={signature}"
    )
