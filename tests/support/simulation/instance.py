"""A model of an instance: one slot, many gateways, as docs/runtime-contract.md says.

It follows init's slot machine (`runtimes/init/internal/slot`) for a runtime that never fails by
itself: what it holds, begins, refuses and tells to whom. It counts what must never be.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from klambda_core.token import instance_token
from klambda_gateway.bulk import whole
from klambda_gateway.instances.frames import Frame, FrameType
from klambda_gateway.instances.handshake import instance_mac
from klambda_gateway.instances.link import Link
from klambda_gateway.instances.pods import PodFacts
from tests.support.simulation.wire import Port, Wire

COMPLETING_LIMIT_S: Final = 0.1
REMEMBERED: Final = 64
RETRY_S: Final = (0.05, 1.0)
RESOLVE_S: Final = 5.0
KEY: Final = "k" * 64


class Surroundings(Protocol):
    """What an instance meets, and who watches it."""

    def names(self) -> Iterable[str]:
        """Return what DNS says."""
        ...

    def dial(self, gateway: str) -> Link | None:
        """Return the far end; none when nobody listens there."""
        ...

    def dial_seconds(self) -> float:
        """Return how long the next dial takes."""
        ...

    def begun(self, instance: Instance, number: int) -> float:
        """Note a run; return how long it takes."""
        ...

    def back_seconds(self, instance: Instance) -> float:
        """Return how long the runtime takes from an answer to the next event."""
        ...

    def ended(self, instance: Instance, number: int) -> None:
        """Note the end of a run: its answer leaves."""
        ...


@dataclass(eq=False, slots=True)
class Job:
    """One attempt."""

    port: Port
    attempt: str
    number: int
    log_tail: bool
    muted: bool = False
    patience: asyncio.TimerHandle | None = None

    def same(self, other: Job) -> bool:
        return (self.port.gateway, self.attempt) == (other.port.gateway, other.attempt)


class Instance:
    """One run of init in a pod."""

    def __init__(self, around: Surroundings, pod: PodFacts, boot: str, chance: Random) -> None:
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self.pod = pod
        self.boot = boot
        self.phase = "unassigned"
        self.dead = False
        self.overlaps = 0
        self.served = 0
        self.idle_since = 0.0
        """Of the latest time that it was."""
        self.wires: dict[int, Wire] = {}
        self._token = instance_token(KEY, pod.namespace, pod.deployment)
        self._named: set[str] = set()
        self._dialled: set[str] = set()
        self._ports: dict[int, Port] = {}
        self._numbers = 0
        self._digest: str | None = None
        self._initialization: str | None = None
        self._current: Job | None = None
        self._held: Job | None = None
        self._draining = False
        self._memory: dict[str, OrderedDict[str, bool]] = {}
        """By gateway: its latest attempts, and whether they were accepted."""
        self._left: asyncio.Future[None] | None = None
        self._resolve()

    # --- connections ------------------------------------------------------------------------------

    def _resolve(self) -> None:
        if not self.dead:
            self._name(self._around.names())
            self._loop.call_later(RESOLVE_S, self._resolve)

    def _name(self, addresses: Iterable[str]) -> None:
        self._named = set(addresses)
        for address in sorted(self._named - self._dialled):
            self._dialled.add(address)
            self._later(self._around.dial_seconds(), self._dial, address, RETRY_S[0])

    def _later(self, seconds: float, call: Any, *words: Any) -> None:
        self._loop.call_later(seconds, self._unless_dead, call, *words)

    def _unless_dead(self, call: Any, *words: Any) -> None:
        if not self.dead:
            call(*words)

    def _dial(self, address: str, wait: float) -> None:
        link = self._around.dial(address)
        if link is None:
            self._again(address, wait)
            return
        self._numbers += 1
        wire = Wire(
            link,
            self._chance,
            number=self._numbers,
            gateway=address,
            received=self._received,
            lost=self._closed,
        )
        self.wires[self._numbers] = wire
        wire.port.send(
            FrameType.HELLO,
            {
                "versions": [1], "namespace": self.pod.namespace, "pod": self.pod.name,
                "podUid": self.pod.uid, "boot": self.boot, "nonce": f"{self._numbers:032x}",
            },
        )  # fmt: skip

    def _again(self, address: str, wait: float) -> None:
        if address not in self._named:
            self._dialled.discard(address)
            return
        pause = wait * (0.5 + 0.5 * self._chance.random()) + self._around.dial_seconds()
        self._later(pause, self._dial, address, min(2 * wait, RETRY_S[1]))

    def _closed(self, port: Port) -> None:
        self.wires.pop(port.number, None)
        served = self._ports.pop(port.number, None) is not None
        if self.dead:
            return
        if served:
            self._step(lambda: self._lost(port))
        self._again(port.gateway, RETRY_S[0])

    def reaches(self, gateway: str) -> bool:
        """Tell whether what it says to a gateway arrives; on a broken connection neither knows."""
        return any(each.whole and each.port.gateway == gateway for each in self.wires.values())

    def _lost(self, port: Port) -> int:
        if self._held is not None and self._held.port is port:
            self._drop_held()
        if self._current is not None and self._current.port is port:
            self._current.muted = True
        return port.number

    def die(self) -> None:
        """End without a word."""
        self.dead = True
        for wire in list(self.wires.values()):
            wire.cut(noticed=0.05)

    def vanish(self, *, noticed: float) -> None:
        """End as its node does: the far ends hear of it after so many seconds."""
        self.dead = True
        for wire in list(self.wires.values()):
            wire.vanish(noticed=noticed)

    # --- frames -----------------------------------------------------------------------------------

    def _received(self, port: Port, frame: Frame) -> None:
        if self.dead:
            return
        header = frame.header
        match frame.type:
            case FrameType.CHALLENGE:
                self._prove(port, header)
            case FrameType.ASSIGN:
                self._assign(port, header)
            case FrameType.INVOKE:
                self._invoke(port, frame)
            case FrameType.CANCEL:
                self._cancel(port, header["attempt"])
            case FrameType.DRAIN:
                self._drain(port, header["mode"])
            case FrameType.QUERY:
                self._tell(port, header.get("attempt"))
            case FrameType.PEERS:
                self._name(header["addresses"])
            case _:
                raise AssertionError(f"{frame.type.name} from a gateway")

    def _prove(self, port: Port, header: Mapping[str, Any]) -> None:
        mac = instance_mac(
            self._token,
            nonce=f"{port.number:032x}",
            gateway_nonce=header["nonce"],
            uid=self.pod.uid,
            boot=self.boot,
        )
        proof = {"mac": mac, "state": self.state}
        if self._digest is not None:
            proof["digest"] = self._digest
        port.send(FrameType.PROOF, proof)
        self._ports[port.number] = port
        self._tell(port)

    def _assign(self, port: Port, header: Mapping[str, Any]) -> None:
        digest = header["assignment"]["digest"]
        if self._digest is not None and self._digest != digest:
            raise AssertionError("two assignments")
        if self._digest is not None:
            port.send(FrameType.ASSIGNED, {"digest": digest})
            return
        self._digest = digest
        self._initialization = header["initializationType"]
        self._become("assigning")
        self._later(0.001 + 0.004 * self._chance.random(), self._unpacked, port)

    def _unpacked(self, port: Port) -> None:
        self._become("init")
        port.send(FrameType.ASSIGNED, {"digest": self._digest})
        self._later(0.02 + 0.03 * self._chance.random(), self._settle)

    def _invoke(self, port: Port, frame: Frame) -> None:
        attempt = frame.header["attempt"]
        job = Job(port, attempt, int(whole(frame.body)), frame.header["logTail"])
        if self._fate(port, attempt) or any(
            each is not None and each.same(job) for each in (self._current, self._held)
        ):
            return
        self._remember(job, accepted=False)
        refusal = self._refusal()
        if refusal is not None:
            port.send(FrameType.REFUSED, {"attempt": attempt, "reason": refusal})
        elif self.phase == "idle":
            self._step(lambda: self._begin(job))
        else:
            limit = frame.header["remaining"] / 1000
            if self.phase == "completing":
                limit = min(limit, COMPLETING_LIMIT_S)
            self._held = job
            job.patience = self._loop.call_later(limit, self._impatient, job)

    def _refusal(self) -> str | None:
        if self.phase == "unassigned":
            return "not-assigned"
        if self._draining:
            return "draining"
        return "busy" if self._held is not None or self.phase == "busy" else None

    def _impatient(self, job: Job) -> None:
        if self._held is job and not self.dead:
            self._refuse_held("busy")

    def _cancel(self, port: Port, attempt: str) -> None:
        if self._held is not None and (self._held.port, self._held.attempt) == (port, attempt):
            self._refuse_held("cancelled")
        elif self._current is not None and self._current.attempt == attempt:
            self._current.muted = True

    def _drain(self, port: Port, mode: str) -> None:
        free = self.phase in ("unassigned", "idle") or (self._draining and self._current is None)
        if mode == "idle" and not (free and self._held is None):
            port.send(FrameType.REFUSED, {"attempt": "", "reason": "busy"})
        else:
            self._step(lambda: self._leave(port.number))
        self._tell(port)

    def terminate(self) -> asyncio.Future[None]:
        """Take no more, finish what runs; done when it has left."""
        self._left = self._loop.create_future()
        self._step(lambda: self._leave(0))
        self._gone()
        return self._left

    def _gone(self) -> None:
        if self._left is not None and self._current is None and not self._left.done():
            self._later(0.002, self.die)
            self._loop.call_later(0.005, self._left.set_result, None)

    def _leave(self, informed: int) -> int:
        self._draining = True
        if self._held is not None:
            self._refuse_held("draining")
        return informed

    # --- the slot ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Return the name that gateways know."""
        if self._draining:
            return "draining" if self._current is not None else "drained"
        return self.phase

    @property
    def running(self) -> bool:
        """Whether something runs, or its runtime is not back."""
        return self._current is not None

    def _step(self, change: Any) -> None:
        """Change, and tell all but the connection that knows by its own frames."""
        before = self.state
        informed: int = change()
        if self.state != before:
            self.idle_since = self._loop.time() if self.state == "idle" else self.idle_since
            for number, port in self._ports.items():
                if number != informed:
                    self._tell(port)

    def _become(self, phase: str) -> None:
        def change() -> int:
            job = self._current or self._held
            self.phase = phase
            return job.port.number if job is not None else 0

        self._step(change)

    def _begin(self, job: Job) -> int:
        if self._current is not None:
            self.overlaps += 1
        if job.patience is not None:
            job.patience.cancel()
        self._current, self._held = job, None
        self.phase = "busy"
        self._remember(job, accepted=True)
        seconds = self._around.begun(self, job.number)
        lazily = self._chance.random() < 0.5 and seconds <= 0.002
        if not lazily:
            self._accept(job)
        self._later(seconds, self._answer, job, lazily)
        return job.port.number

    def _accept(self, job: Job) -> None:
        self._send(job, FrameType.ACCEPTED, {"attempt": job.attempt, "cold": self.served == 0})

    def _send(
        self, job: Job, kind: FrameType, header: Mapping[str, Any], body: bytes = b""
    ) -> None:
        if job.port.number in self._ports:
            job.port.send(kind, header, body)

    def _answer(self, job: Job, lazily: bool) -> None:
        self._around.ended(self, job.number)
        if lazily:
            self._accept(job)
        body = b"%d" % job.number
        if not job.muted:
            head = {"attempt": job.attempt, "mode": "buffered", "size": len(body)}
            self._send(job, FrameType.HEAD, head, body)
        self._become("completing")
        self._later(self._around.back_seconds(self), self._back, job)

    def _back(self, job: Job) -> None:
        self._step(lambda: self._end(job))
        self._gone()

    def _end(self, job: Job) -> int:
        self.served += 1
        end = {"attempt": job.attempt, "status": "success", "durationMs": 1.0, "billedMs": 1}
        self._send(job, FrameType.END, end, b"log" if job.log_tail else b"")
        self._current = None
        self.phase = "idle"
        if self._held is not None:
            return self._begin(self._held)
        return job.port.number

    def _settle(self) -> None:
        """INIT is over."""

        def change() -> int:
            self.phase = "idle"
            return self._begin(self._held) if self._held is not None else 0

        self._step(change)

    def _refuse_held(self, reason: str) -> None:
        held = self._held
        assert held is not None
        self._drop_held()
        self._send(held, FrameType.REFUSED, {"attempt": held.attempt, "reason": reason})

    def _drop_held(self) -> None:
        if self._held is not None and self._held.patience is not None:
            self._held.patience.cancel()
        self._held = None

    def _remember(self, job: Job, *, accepted: bool) -> None:
        mine = self._memory.setdefault(job.port.gateway, OrderedDict())
        mine[job.attempt] = accepted
        if len(mine) > REMEMBERED:
            mine.popitem(last=False)

    def _fate(self, port: Port, attempt: str) -> bool | None:
        mine = self._memory.get(port.gateway)
        return mine.get(attempt) if mine is not None else None

    def _tell(self, port: Port, asked: str | None = None) -> None:
        header: dict[str, Any] = {"state": self.state, "served": self.served}
        if self._current is not None:
            header["attempt"] = self._current.attempt
        if self._initialization is not None:
            header["initialization"] = self._initialization
        if asked is not None:
            fate = self._fate(port, asked)
            known = fate is not None
            header["asked"] = {"attempt": asked, "known": known, "accepted": bool(fate)}
        port.send(FrameType.STATE, header)
