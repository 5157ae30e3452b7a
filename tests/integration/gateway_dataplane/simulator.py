"""A simulated instance: it dials gateways and speaks real frames over loopback.

One slot shared by all its connections, as in init; a handler says what an event becomes. Faults are
methods: cut a connection, hold INIT, refuse, die.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from klambda_core.token import instance_token
from klambda_gateway.bulk import whole
from klambda_gateway.instances.frames import Decoder, Frame, FrameType, encode
from klambda_gateway.instances.handshake import gateway_mac, instance_mac

Handler = Callable[[bytes], Awaitable[bytes]]
KEY = "k" * 64
HOLDING = ("assigning", "init", "unassigned", "completing")
"""States in which one attempt is held. (init gives up a completing one after 100 ms.)"""


async def echo(event: bytes) -> bytes:
    return event


def gated(gate: asyncio.Event) -> Handler:
    """Echo once the gate is open."""

    async def handler(event: bytes) -> bytes:
        await gate.wait()
        return event

    return handler


@dataclass(eq=False)
class Wire:
    """One connection to one gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: Decoder = field(default_factory=Decoder)
    pending: list[Frame] = field(default_factory=list)

    async def next(self) -> Frame:
        while not self.pending:
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionError("closed")
            self.pending = self.decoder.feed(data)
        return self.pending.pop(0)

    def send(self, kind: FrameType, header: dict[str, Any], body: bytes = b"") -> None:
        if not self.writer.is_closing():
            self.writer.write(encode(kind, header, body))


@dataclass(eq=False)
class Outlet:
    """A streamed answer: ``write`` waits for credit, as init does."""

    wire: Wire
    attempt: str
    credit: int
    written: int = 0
    cancelled: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, piece: bytes) -> None:
        while self.credit <= 0 and not self.cancelled:
            self.news.clear()
            await self.news.wait()
        self.written += len(piece)
        if not self.cancelled:
            self.credit -= len(piece)
            self.wire.send(FrameType.DATA, {"attempt": self.attempt}, piece)


@dataclass(eq=False)
class Simulated:
    """The instance."""

    namespace: str
    deployment: str
    pod: str
    uid: str
    handler: Handler = echo
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    key: str = KEY
    state: str = "unassigned"
    digest: str | None = None
    assignment: dict[str, Any] | None = None
    code: bytes = b""
    served: int = 0
    runs: list[str] = field(default_factory=list)
    overlaps: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: INIT does not end."""
    completing: float = 0.0
    """Seconds from the answer until the runtime is back."""
    silent_accept: bool = False
    """Take the event and never answer."""
    refuse_with: str | None = None
    streamer: Callable[[Outlet], Awaitable[dict[str, Any]]] | None = None
    """Writes answers to callers who want them streamed; returns members of the last piece."""
    outlets: dict[str, Outlet] = field(default_factory=dict)
    cut_at_invoke: bool = False
    """Begin to run the next event, and lose the connection before a word of it goes out."""
    wires: list[Wire] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    attempt: str | None = None
    held: tuple[Wire, Frame] | None = None
    known: dict[str, bool] = field(default_factory=dict)
    """Attempts seen, and whether they were accepted."""
    bodies: dict[str, bytearray] = field(default_factory=dict)
    invokes: dict[str, Frame] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ready.set()

    async def dial(self, port: int, host: str = "127.0.0.1") -> Wire:
        reader, writer = await asyncio.open_connection(host, port)
        wire = Wire(reader, writer)
        self.writers.append(writer)
        token = instance_token(self.key, self.namespace, self.deployment)
        nonce = secrets.token_hex(16)
        wire.send(
            FrameType.HELLO,
            {
                "versions": [1],
                "namespace": self.namespace,
                "pod": self.pod,
                "podUid": self.uid,
                "boot": self.boot,
                "nonce": nonce,
            },
        )
        challenge = await wire.next()
        theirs = challenge.header["nonce"]
        proven = {"nonce": nonce, "gateway_nonce": theirs, "uid": self.uid, "boot": self.boot}
        assert challenge.header["mac"] == gateway_mac(token, **proven)
        proof = {"mac": instance_mac(token, **proven), "state": self.state}
        if self.digest is not None:
            proof["digest"] = self.digest
        wire.send(FrameType.PROOF, proof)
        self.wires.append(wire)
        self._task(self._listen(wire))
        return wire

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _listen(self, wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self._frame(wire, await wire.next())
        if wire in self.wires:
            self.wires.remove(wire)
        self._drop_held(wire)

    def _frame(self, wire: Wire, frame: Frame) -> None:
        match frame.type:
            case FrameType.ASSIGN:
                self._task(self._assign(wire, frame))
            case FrameType.INVOKE:
                self._invoke(wire, frame)
            case FrameType.DATA:
                self._data(wire, frame)
            case FrameType.CANCEL:
                self._cancel(wire, frame.header["attempt"])
            case FrameType.CREDIT:
                outlet = self.outlets[frame.header["attempt"]]
                outlet.credit += frame.header["bytes"]
                outlet.news.set()
            case FrameType.DRAIN:
                self._drain()
            case FrameType.QUERY:
                self._state(wire, frame.header.get("attempt"))

    async def _assign(self, wire: Wire, frame: Frame) -> None:
        if self.digest is not None:
            return
        self.assignment, self.code = dict(frame.header), whole(frame.body)
        self.digest = frame.header["assignment"]["digest"]
        wire.send(FrameType.ASSIGNED, {"digest": self.digest})
        self._become("init")
        await self.ready.wait()
        if self.held is not None:
            held, self.held = self.held, None
            self._start(*held)
        else:
            self._become("idle")

    def _invoke(self, wire: Wire, frame: Frame) -> None:
        attempt = frame.header["attempt"]
        self.known[attempt] = False
        self.invokes[attempt] = frame
        self.bodies[attempt] = bytearray(whole(frame.body))
        if self.cut_at_invoke:
            self.known[attempt] = True
            self.state = "busy"
            self.cut()
        elif self.refuse_with is not None:
            wire.send(FrameType.REFUSED, {"attempt": attempt, "reason": self.refuse_with})
        elif len(frame.body) >= frame.header["size"]:
            self._offer(wire, frame)

    def _data(self, wire: Wire, frame: Frame) -> None:
        attempt = frame.header["attempt"]
        if attempt in self.bodies:
            self.bodies[attempt] += whole(frame.body)
            if len(self.bodies[attempt]) == self.invokes[attempt].header["size"]:
                self._offer(wire, self.invokes[attempt])

    def _offer(self, wire: Wire, frame: Frame) -> None:
        attempt = frame.header["attempt"]
        if self.state == "idle":
            self._start(wire, frame)
        elif self.state in HOLDING and self.held is None:
            self.held = (wire, frame)
        else:
            reason = "draining" if self.state in ("draining", "drained") else "busy"
            wire.send(FrameType.REFUSED, {"attempt": attempt, "reason": reason})

    def _start(self, wire: Wire, frame: Frame) -> None:
        attempt = frame.header["attempt"]
        if self.attempt is not None:
            self.overlaps += 1
        self.attempt = attempt
        self.known[attempt] = True
        self.runs.append(attempt)
        self._become("busy", but=wire)
        wire.send(FrameType.ACCEPTED, {"attempt": attempt, "cold": self.served == 0})
        log_tail = frame.header["logTail"]
        if frame.header["mode"] == "streaming" and self.streamer is not None:
            outlet = Outlet(wire, attempt, frame.header["window"])
            self.outlets[attempt] = outlet
            self._task(self._stream(wire, outlet, log_tail))
        else:
            self._task(self._run(wire, attempt, log_tail))

    async def _stream(self, wire: Wire, outlet: Outlet, log_tail: bool) -> None:
        assert self.streamer is not None
        head = {"attempt": outlet.attempt, "mode": "streaming", "credit": True}
        wire.send(FrameType.HEAD, head | {"contentType": "text/plain"})
        last = await self.streamer(outlet)
        if not outlet.cancelled:
            wire.send(FrameType.DATA, {"attempt": outlet.attempt, "last": True} | last)
        self._end(wire, outlet.attempt, "error" if last else "success", log_tail)

    async def _run(self, wire: Wire, attempt: str, log_tail: bool) -> None:
        error = None
        try:
            answer = await self.handler(bytes(self.bodies.pop(attempt)))
        except Exception as raised:  # noqa: BLE001
            error = "Unhandled"
            text = {"errorMessage": str(raised), "errorType": type(raised).__name__}
            answer = json.dumps(text).encode()
        if self.silent_accept:
            return
        head: dict[str, Any] = {"attempt": attempt, "mode": "buffered", "size": len(answer)}
        if error:
            head["functionError"] = error
        wire.send(FrameType.HEAD, head, answer[:65536])
        for start in range(65536, len(answer), 65536):
            wire.send(FrameType.DATA, {"attempt": attempt}, answer[start : start + 65536])
        if self.completing:
            self._become("completing", but=wire)
            await asyncio.sleep(self.completing)
        self._end(wire, attempt, "error" if error else "success", log_tail)

    def _end(self, wire: Wire, attempt: str, status: str, log_tail: bool) -> None:
        end = {"attempt": attempt, "status": status, "durationMs": 1.0, "billedMs": 1}
        self.served += 1
        self.attempt = None
        self.state = "idle"
        wire.send(FrameType.END, end, b"the log" if log_tail else b"")
        if self.held is not None:
            held, self.held = self.held, None
            self._start(*held)
        else:
            self._become("idle", but=wire)

    def _cancel(self, wire: Wire, attempt: str) -> None:
        if attempt in self.outlets:
            self.outlets[attempt].cancelled = True
            self.outlets[attempt].news.set()
        if self.held is not None and self.held[1].header["attempt"] == attempt:
            self.held = None
            wire.send(FrameType.REFUSED, {"attempt": attempt, "reason": "cancelled"})

    def _drain(self) -> None:
        if self.state == "idle":
            self._become("drained")

    def _state(self, wire: Wire, asked: str | None = None) -> None:
        header: dict[str, Any] = {"state": self.state, "served": self.served}
        if asked is not None:
            known = asked in self.known
            header["asked"] = {
                "attempt": asked,
                "known": known,
                "accepted": self.known.get(asked, False),
            }
        wire.send(FrameType.STATE, header)

    def _become(self, state: str, *, but: Wire | None = None) -> None:
        self.state = state
        for wire in random.sample(self.wires, len(self.wires)):  # in no order, as init does it
            if wire is not but:
                self._state(wire)

    def _drop_held(self, wire: Wire) -> None:
        """What is not accepted dies with its connection (contract, "Order of one invocation")."""
        if self.held is not None and self.held[0] is wire:
            self.held = None

    def cut(self) -> None:
        """Lose all connections, as by a network fault."""
        for wire in list(self.wires):
            wire.writer.transport.abort()
            self._drop_held(wire)
        self.wires.clear()

    async def close(self) -> None:
        self.cut()
        for writer in self.writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
