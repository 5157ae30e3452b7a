"""A gateway's side of the frames protocol, for tests, and init run as an ordinary process.

`Gateway` accepts the connections that init opens; a `Connection` offers the protocol frame by frame
(`send`, `expect`) and whole invocations (`invoke`). `Init` builds a root directory (var/task,
var/runtime, opt, tmp) and runs the real binary in it. Everything is on the loopback device.
Not here: a gateway's decisions; this peer does what a test says.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import io
import itertools
import json
import os
import secrets
import shutil
import signal
import struct
import subprocess
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "token-of-the-tests"
PIECE = 64 << 10
(HELLO, CHALLENGE, PROOF, ASSIGN, INVOKE, DATA, CANCEL, DRAIN, QUERY, PEERS, CREDIT) = range(1, 12)
(ASSIGNED, FAILED, STATE, REFUSED, ACCEPTED, HEAD, END, LOGS, PHASES) = range(16, 25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame as received."""

    type: int
    header: dict[str, Any]
    body: bytes = b""


def encode(kind: int, header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Render one frame."""
    text = json.dumps(header).encode()
    return struct.pack(">IBI", 5 + len(text) + len(body), kind, len(text)) + text + body


def mac(role: str, first: str, second: str, pod_uid: str, boot: str, token: str = TOKEN) -> str:
    """Prove knowledge of the token, as in docs/runtime-contract.md."""
    text = "\n".join([role, first, second, pod_uid, boot])
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything that came back for one attempt."""

    attempt: str
    refused: dict[str, Any] | None = None
    accepted: dict[str, Any] | None = None
    head: dict[str, Any] | None = None
    body: bytes = b""
    end: dict[str, Any] | None = None
    tail: str = ""
    pieces: list[bytes] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The header of the last piece of a stream."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One instance; frames of attempts go to their invocations, the rest to `others`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: dict[str, Any]
    ) -> None:
        self.reader, self.writer, self.hello = reader, writer, hello
        self.proof: dict[str, Any] = {}
        self.others: asyncio.Queue[Frame] = asyncio.Queue()
        self.attempts: dict[str, asyncio.Queue[Frame]] = {}
        self.states: list[str] = []
        self.closed = asyncio.Event()

    def send(self, kind: int, header: Mapping[str, Any], body: bytes = b"") -> None:
        self.writer.write(encode(kind, header, body))

    async def read(self) -> Frame:
        length, kind, size = struct.unpack(">IBI", await self.reader.readexactly(9))
        payload = await self.reader.readexactly(length - 5)
        header = json.loads(payload[:size]) if size else {}
        return Frame(type=kind, header=header, body=payload[size:])

    async def pump(self) -> None:
        """Sort incoming frames until the connection ends."""
        try:
            while True:
                frame = await self.read()
                queue = self.attempts.get(frame.header.get("attempt", ""))
                if frame.type == STATE:
                    self.states.append(frame.header["state"])
                if frame.type != STATE and queue is not None:
                    queue.put_nowait(frame)
                else:
                    self.others.put_nowait(frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()

    async def expect(self, kind: int, **members: Any) -> Frame:
        """Wait for a frame of a type with these header members; others are skipped."""
        while True:
            frame = await asyncio.wait_for(self.others.get(), 60)
            if frame.type == kind and members.items() <= frame.header.items():
                return frame

    async def ask(self, attempt: str) -> dict[str, Any]:
        """Ask for the state and for what became of an attempt; older states are skipped."""
        self.send(QUERY, {"attempt": attempt})
        while True:
            header = (await self.expect(STATE)).header
            if header.get("asked", {}).get("attempt") == attempt:
                return header

    async def until(self, *states: str) -> dict[str, Any]:
        """Ask for the state until it is one of these."""
        for _ in range(2000):
            header = await self.ask(uuid.uuid4().hex)
            if header["state"] in states:
                return header
            await asyncio.sleep(0.005)
        raise AssertionError(f"never one of {states}: {self.states[-10:]}")

    def start(self, event: bytes, **members: Any) -> tuple[str, asyncio.Queue[Frame]]:
        """Send an invocation; its frames arrive in the returned queue."""
        attempt = members.pop("attempt", None) or uuid.uuid4().hex
        queue: asyncio.Queue[Frame] = asyncio.Queue()
        self.attempts[attempt] = queue
        header = {
            "attempt": attempt,
            "requestId": str(uuid.uuid4()),
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
            "logTail": True,
            "mode": "buffered",
            "remaining": 30000,
            "size": len(event),
            "validated": False,
        } | members
        if header["mode"] == "streaming":
            header = {"window": 1 << 30} | header
        self.send(INVOKE, header, event[:PIECE])
        for offset in range(PIECE, len(event), PIECE):
            self.send(DATA, {"attempt": attempt}, event[offset : offset + PIECE])
        return attempt, queue

    async def collect(self, attempt: str, queue: asyncio.Queue[Frame], limit: float) -> Outcome:
        """Gather an attempt's frames until it is refused or ended."""
        outcome = Outcome(attempt=attempt)
        async with asyncio.timeout(limit):
            while outcome.end is None and outcome.refused is None:
                frame = await queue.get()
                if frame.type == REFUSED:
                    outcome.refused = frame.header
                elif frame.type == ACCEPTED:
                    outcome.accepted = frame.header
                elif frame.type == HEAD:
                    outcome.head, outcome.body = frame.header, frame.body
                elif frame.type == DATA:
                    outcome.pieces.append(frame.body)
                    outcome.last = frame.header
                elif frame.type == END:
                    outcome.end, outcome.tail = frame.header, frame.body.decode(errors="replace")
        outcome.body += b"".join(outcome.pieces)
        del self.attempts[attempt]
        return outcome

    async def invoke(self, event: Any = None, *, limit: float = 60, **members: Any) -> Outcome:
        """Run one invocation from its first frame to its last."""
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        attempt, queue = self.start(raw, **members)
        return await self.collect(attempt, queue, limit)

    def close(self) -> None:
        self.writer.close()


class Gateway:
    """Listens for instances on a loopback port."""

    def __init__(self, name: str = "gateway-0", token: str = TOKEN) -> None:
        self.name, self.token = name, token
        self.connections: asyncio.Queue[Connection] = asyncio.Queue()
        self.refusals = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    async def start(self, port: int = 0) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self._open):
            connection.writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def connection(self) -> Connection:
        """Wait for the next instance that completes its handshake."""
        return await asyncio.wait_for(self.connections.get(), 60)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(Connection(reader, writer, {})))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection) -> None:
        self._open.add(connection)
        try:
            if await self._handshake(connection):
                self.connections.put_nowait(connection)
                await connection.pump()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.refusals += 1
        finally:
            self._open.discard(connection)
            connection.writer.close()

    async def _handshake(self, connection: Connection) -> bool:
        hello = await connection.read()
        assert hello.type == HELLO, hello
        connection.hello = hello.header
        nonce = secrets.token_hex(16)
        uid, boot, theirs = (hello.header[k] for k in ("podUid", "boot", "nonce"))
        connection.send(
            CHALLENGE,
            {
                "version": 1,
                "gateway": self.name,
                "nonce": nonce,
                "mac": mac("gateway", theirs, nonce, uid, boot, self.token),
            },
        )
        proof = await connection.read()
        assert proof.type == PROOF, proof
        connection.proof = proof.header
        return hmac.compare_digest(
            proof.header["mac"], mac("instance", nonce, theirs, uid, boot, self.token)
        )


def archive(files: Mapping[str, str | bytes], mode: int = 0o644) -> bytes:
    """Zip files, with Unix modes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = mode << 16
            target.writestr(entry, content)
    return out.getvalue()


def assignment(code: bytes, /, **members: Any) -> dict[str, Any]:
    """Describe a function as the operator does."""
    return {
        "digest": "d" * 64,
        "functionName": "hello",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
        "version": "$LATEST",
        "accountId": "123456789012",
        "region": "us-east-1",
        "runtime": "python3.13",
        "handler": "lambda_function.lambda_handler",
        "memorySize": 128,
        "timeout": 3,
        "ephemeralStorage": 512,
        "environment": {},
        "code": {"sha256": hashlib.sha256(code).hexdigest(), "size": len(code)},
        "layers": [],
        "logGroup": "/aws/lambda/hello",
        "logFormat": "Text",
        "tracingMode": "PassThrough",
        "role": "arn:aws:iam::123456789012:role/hello",
    } | members


def assign(connection: Connection, code: bytes, /, **members: Any) -> None:
    """Assign a function whose code comes inline."""
    frame = {"initializationType": "on-demand", "endpoints": {}, "code": {"inline": True}}
    extra = members.pop("frame", {})
    header = {"assignment": assignment(code) | members} | frame | extra
    connection.send(ASSIGN, header, code if header["code"].get("inline") else b"")


async def eventually(holds: Callable[[], bool], limit: float = 60) -> None:
    """Wait until something holds that nobody announces."""
    async with asyncio.timeout(limit):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


_counter = itertools.count()


class Init:
    """The binary as an ordinary process, with a root of its own."""

    def __init__(self, binary: Path, root: Path, bootstrap: str) -> None:
        self.binary, self.root = binary, root
        self.prefix: list[str] = []
        for name in ("var/task", "var/runtime", "opt", "tmp"):
            (root / name).mkdir(parents=True)
        self.write_bootstrap(bootstrap)
        self.process: asyncio.subprocess.Process | None = None
        self._out = root / "stdout"

    def write_bootstrap(self, script: str) -> None:
        path = self.root / "var/runtime/bootstrap"
        path.write_text(script)
        path.chmod(0o755)

    async def start(self, *gateways: str, **environment: str) -> None:
        variables = {
            "KLAMBDA_GATEWAYS": ",".join(gateways),
            "KLAMBDA_TOKEN": TOKEN,
            "KLAMBDA_POD_UID": str(uuid.uuid4()),
            "KLAMBDA_POD_NAME": f"hello-{next(_counter)}",
            "KLAMBDA_NAMESPACE": "default",
            "KLAMBDA_ROOT": str(self.root),
            "KLAMBDA_API_PORT": "0",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "HOSTNAME": "hello-0",
            "PATH": os.environ["PATH"],
        } | environment
        with self._out.open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                *self.prefix, self.binary, stdout=out, stderr=None, env=variables
            )

    @property
    def pid(self) -> int:
        """Of init itself, also under a prefix that forks."""
        assert self.process is not None
        pid = self.process.pid
        if self.prefix:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    @property
    def output(self) -> str:
        return self._out.read_bytes().decode(errors="replace")

    async def stop(self) -> int:
        """End it as kubelet does, then without mercy; returns the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self.pid, signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self.pid, signal.SIGKILL)
            await self.process.wait()
            raise


def go() -> str | None:
    """Find the Go tool."""
    return shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def build(source: Path, target: Path, *, version: str = "test", race: bool = False) -> Path:
    """Build init as the image does, or with the race detector (which needs a C compiler)."""
    tool = go()
    assert tool is not None
    flags = ["-race"] if race else ["-trimpath"]
    flags += ["-ldflags", f"-s -w -X main.version={version}"]
    subprocess.run(
        [tool, "build", *flags, "-o", str(target), "."],
        cwd=source,
        env=os.environ | {"CGO_ENABLED": "1" if race else "0"},
        check=True,
    )
    return target


@contextlib.asynccontextmanager
async def gateway(name: str = "gateway-0", token: str = TOKEN) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of a block."""
    server = Gateway(name, token)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
