"""Load with a witness: who called what, and what the function itself saw.

    callers (keep-alive HTTP, signed) ─► gateways ─► instances ─► Witness (a line per begin and end)

Every request carries a number. Each instance keeps one connection to the `Witness`, so that the end
of its process is seen, too. What
callers were told and what the function did are compared by number afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
SIGNED_FOR_S = 60.0
SOURCE = """import os, socket, time
HOST, PORT = os.environ["WITNESS"].split(":")
LINE = socket.create_connection((HOST, int(PORT)))
GENERATION = {generation}
def handler(event, context):
    LINE.sendall(b"begin %d\\n" % event["n"])
    time.sleep(event["s"])
    LINE.sendall(b"end %d\\n" % event["n"])
    return [event["n"], GENERATION]
"""


def source(generation: int = 0) -> str:
    """Return a function that tells the witness."""
    return SOURCE.replace("{generation}", str(generation))


@dataclass(slots=True)
class Witness:
    """What one function did, by its own word."""

    address: str = ""
    begun: Counter[int] = field(default_factory=Counter)
    ended: set[int] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    """Those whose process went in mid-run."""
    instances: int = 0
    lines: set[asyncio.StreamWriter] = field(default_factory=set)
    overlaps: int = 0
    most: int = 0
    _running: int = 0

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one instance's word."""
        self.instances += 1
        self.lines.add(writer)
        own: set[int] = set()
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                word, number = line.split()
                if word == b"begin":
                    self._begin(int(number), own)
                else:
                    self._end(int(number), own)
        self.killed |= own
        self._running -= len(own)
        self.lines.discard(writer)
        writer.close()

    def _begin(self, number: int, own: set[int]) -> None:
        self.overlaps += bool(own)
        own.add(number)
        self.begun[number] += 1
        self._running += 1
        self.most = max(self.most, self._running)

    def _end(self, number: int, own: set[int]) -> None:
        own.discard(number)
        self.ended.add(number)
        self._running -= 1


@contextlib.asynccontextmanager
async def witness(host: str = "127.0.0.1") -> AsyncIterator[Witness]:
    """Listen for the instances of one function."""
    seen = Witness()
    server = await asyncio.start_server(seen.listen, host, 0)
    seen.address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield seen
    finally:
        server.close()
        while seen.lines:
            for writer in seen.lines:
                writer.transport.abort()
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def signing_at(offset: float) -> Iterator[None]:
    """Let botocore sign for so many seconds from now."""

    def ahead(remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) + timedelta(seconds=offset)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    with mock.patch("botocore.auth.get_current_datetime", ahead):
        yield


class Signer:
    """Signs requests without their body; one signature serves for a minute."""

    def __init__(
        self, endpoint: str, function: str, *, key: str, secret: str, event: bool = False
    ) -> None:
        """``event``: invocations are asynchronous."""
        self._url = f"{endpoint}/2015-03-31/functions/{function}/invocations"
        self._credentials = Credentials(key, secret)
        self._head = b""
        self._until = 0.0
        self._offset = 0.0
        self._type = "Event" if event else "RequestResponse"
        self.function = function
        place = urllib.parse.urlsplit(self._url)
        self.host, self.port, self._path = str(place.hostname), int(place.port or 80), place.path

    def put(self, offset: float) -> None:
        """Sign for so many seconds from now."""
        self._offset, self._until = offset, 0.0

    def head(self) -> bytes:
        """Return a request's head, up to its Content-Length."""
        if time.monotonic() >= self._until:
            headers = {
                "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD",
                "X-Amz-Invocation-Type": self._type,
            }
            request = AWSRequest(method="POST", url=self._url, data=b"", headers=headers)
            with signing_at(self._offset):
                SigV4Auth(self._credentials, "lambda", REGION).add_auth(request)
            lines = [f"POST {self._path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
            lines += [f"{name}: {value}" for name, value in request.headers.items()]
            self._head = "\r\n".join([*lines, "Content-Length: "]).encode()
            self._until = time.monotonic() + SIGNED_FOR_S
        return self._head


@dataclass(slots=True)
class Load:
    """Callers of one function, and what they were told."""

    signer: Signer
    seconds: float = 0.0
    """How long a run takes."""
    told: dict[int, str] = field(default_factory=dict)
    """By number: the status, or ``cut``; a 200 whose body is wrong is ``wrong``."""
    when: dict[int, float] = field(default_factory=dict)
    """By number: when its caller knew."""
    bodies: dict[int, bytes] = field(default_factory=dict)
    """Of what was not a 200; of what was cut, how."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    stopped: bool = False

    async def call_on(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Call again and again on one connection, as long as it lives."""
        with contextlib.suppress(ConnectionError):
            while not self._over(goes_on):
                reader, writer = await asyncio.open_connection(self.signer.host, self.signer.port)
                try:
                    while not self._over(goes_on) and await self._call(reader, writer):
                        pass
                finally:
                    writer.transport.abort()

    async def keep_calling(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Call also when nobody listens for a moment."""
        while not self._over(goes_on):
            await self.call_on(goes_on)
            await asyncio.sleep(0.01)

    async def once(self, number: int, seconds: float = 0.0) -> str:
        """Call once, on a connection of its own; return what was told."""
        reader, writer = await asyncio.open_connection(self.signer.host, self.signer.port)
        try:
            await self._call(reader, writer, number, seconds)
        finally:
            writer.transport.abort()
        return self.told[number]

    async def answered(self, count: int, limit: float = 60) -> None:
        """Wait until callers were told so much more."""
        goal = len(self.told) + count
        async with asyncio.timeout(limit):
            while len(self.told) < goal:  # noqa: ASYNC110  callers announce nothing
                await asyncio.sleep(0.02)

    def _over(self, goes_on: Callable[[], bool]) -> bool:
        return self.stopped or not goes_on()

    async def _call(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int | None = None,
        seconds: float | None = None,
    ) -> bool:
        """Call once; tells whether the connection stays."""
        number = next(self.numbers) if number is None else number
        body = b'{"n":%d,"s":%g}' % (number, self.seconds if seconds is None else seconds)
        began = time.monotonic()
        writer.write(self.signer.head() + b"%d\r\n\r\n" % len(body) + body)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            waited = time.monotonic() - began
            self._note(number, "cut", b"%a after %.3f s" % (type(error).__name__, waited))
            return False
        self._note(number, head.split(b" ", 2)[1].decode(), answer)
        if head.startswith(b"http/1.1 429"):
            await asyncio.sleep(0.02)
        return b"connection: close" not in head

    def _note(self, number: int, status: str, answer: bytes) -> None:
        if status == "200" and not answer.startswith(b"[%d, " % number):
            status = "wrong"
        self.told[number] = status
        self.when[number] = time.monotonic()
        if status != "200":
            self.bodies[number] = answer

    @property
    def statuses(self) -> Counter[str]:
        """Count what callers were told."""
        return Counter(self.told.values())


def assert_exact(load: Load, seen: Witness) -> None:
    """Compare what callers were told with what the function did: nothing twice, nothing lost."""
    assert seen.overlaps == 0, "two at once in one instance"
    assert [n for n, times in seen.begun.items() if times > 1] == [], "a second run"
    assert [n for n, said in load.told.items() if said == "200" and n not in seen.ended] == []
    assert [n for n, said in load.told.items() if said == "429" and seen.begun[n]] == []
    assert load.statuses["wrong"] == 0
