"""Where instances dial in: greeting, assigning, and the dispatch of their frames.

Place: listens on port 9001; feeds ``registry`` with evidence and ``call``s with their frames; the
invoke service sends through it. A connection's life:

    accepted → hello → (its pod found: uid and address checked) → challenge → proof → linked
             → assign when it has nothing yet → frames … → lost

Invariants: nothing but handshake frames is taken before the proof; one live link per instance (a
newer one replaces the older); an attempt whose connection broke before ``accepted`` was seen is
*ambiguous* (a module of its own), never guessed at.
Not here: what an instance's state means (``record``), who gets it (``pool``).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from klambda_core.token import instance_token
from klambda_gateway.bulk import Body
from klambda_gateway.instances.ambiguous import Ambiguous
from klambda_gateway.instances.assignment import Assignments, NoAssignment, Package
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.frames import Frame, FrameType, ProtocolError
from klambda_gateway.instances.handshake import Hello, challenge, read_hello, read_proof
from klambda_gateway.instances.link import Link
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ON_DEMAND, PROVISIONED, Record, Slot
from klambda_gateway.instances.registry import Registry
from klambda_kube.errors import KubeError
from klambda_obs import logs

HANDSHAKE_LIMIT_S: Final = 5.0
"""From accepting to the proof, what the pod's lookup takes (2 s + one GET) included."""
BACKLOG: Final = 1024
FAILED_ELSEWHERE: Final = (
    "AssignmentFailed",
    "an instance could not be given its code; another gateway knows why",
)
_OF_ATTEMPTS: Final = (
    FrameType.ACCEPTED,
    FrameType.HEAD,
    FrameType.END,
    FrameType.DATA,
    FrameType.REFUSED,
)

PodLookup = Callable[[str, str, str], Awaitable[PodFacts | None]]
"""(namespace, pod, uid) → the pod; waits ≤ 2 s for the watch, then asks the API server once."""
OnFailed = Callable[[DeploymentKey, str, str], None]

_log = logs.get("klambda.gateway.instances")


class InstanceServer:
    """The server and its links."""

    def __init__(
        self,
        registry: Registry,
        assignments: Assignments,
        *,
        find_pod: PodLookup,
        installation_key: str,
        gateway: str,
        peers: Callable[[], Iterable[str]] = tuple,
        on_failed: OnFailed = lambda *_: None,
        on_phases: Callable[[Record, Frame], None] = lambda *_: None,
        before: Callable[[str], Mapping[str, float] | None] = lambda _: None,
        ahead: Callable[[DeploymentKey], bool] = lambda _: False,
    ) -> None:
        """``ahead``: whether the next instance of a Deployment is one to be kept provisioned."""
        self._registry = registry
        self._now = registry.clock
        self._assignments = assignments
        self._find_pod = find_pod
        self._key = installation_key
        self._gateway = gateway
        self._peers = peers
        self._on_failed = on_failed
        self._on_phases = on_phases
        self._before = before
        self._ahead = ahead
        self._links: dict[str, Link] = {}
        self._ambiguous = Ambiguous(registry.touch)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[Link, None] = {}
        self._server: asyncio.Server | None = None

    # --- life -------------------------------------------------------------------------------------

    async def start(self, port: int, host: str | None = None) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.accept, host, port, backlog=BACKLOG)

    def accept(self) -> Link:
        """Return the protocol of a new connection."""
        return Link(self._made, self._lost)

    @property
    def port(self) -> int:
        """The port in use."""
        if self._server is None:
            raise RuntimeError("not started")
        sockets: Any = getattr(self._server, "sockets")  # noqa: B009  uvloop's is a list, asyncio's a tuple
        return int(sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop all links."""
        if self._server is not None:
            self._server.close()
        for link in list(self._open):
            link.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ambiguous.give_all_up()

    def linked(self) -> set[str]:
        """Return the pod uids that are connected."""
        return set(self._links)

    def announce_peers(self) -> None:
        """Tell every instance where the gateways are now."""
        for link in self._links.values():
            self._send_peers(link)

    # --- sending ----------------------------------------------------------------------------------

    def send(self, call: Call, header: bytes, event: Body) -> None:
        """Send an attempt (``header``: that of ``invoke``) to the instance it was given.

        Never raises and never waits: what happens to it is told to the call, maybe before this
        returns.
        """
        link = self._links.get(call.record.uid)
        if link is None or link.boot != call.boot:
            call.withdraw()
            self._registry.touch(call.record)
            return
        link.invoke(call, header, event)

    def cancel(self, call: Call) -> None:
        """Tell the instance that nobody waits for this attempt any more."""
        link = self._links.get(call.record.uid)
        if link is not None and call.id in link.calls:
            link.send(FrameType.CANCEL, {"attempt": call.id})

    def grant(self, call: Call, count: int) -> None:
        """Let a streamed answer go on by so many bytes."""
        link = self._links.get(call.record.uid)
        if link is not None and call.id in link.calls:
            link.send(FrameType.CREDIT, {"attempt": call.id, "bytes": count})

    def drain(self, record: Record, now: float, mode: str = "idle") -> None:
        """Ask an instance to take no more."""
        link = self._links.get(record.uid)
        if link is not None:
            record.ask_drain(now)
            self._registry.touch(record)
            link.send(FrameType.DRAIN, {"mode": mode})

    def refresh(self) -> None:
        """Ask those who do something that we did not give them: no hint may go stale for good."""
        for uid, link in self._links.items():
            record = self._registry.records[uid]
            if record.attempt is None and not record.free and not record.spoilt:
                link.send(FrameType.QUERY)

    def drop(self, record: Record) -> None:
        """Close an instance's connection."""
        link = self._links.get(record.uid)
        if link is not None:
            link.close()

    def verify(self, pod: PodFacts) -> None:
        """Compare a connection with the address that its pod turned out to have."""
        link = self._links.get(pod.uid)
        if link is not None and pod.addresses and link.peer not in pod.addresses:
            _log.warning("instance-of-wrong-address", uid=pod.uid, peer=link.peer)
            link.close()

    def give_up(self, uid: str) -> None:
        """Break off what is ambiguous with an instance that will not come back."""
        self._ambiguous.give_up(uid)

    # --- greeting ---------------------------------------------------------------------------------

    def _made(self, link: Link) -> None:
        self._open[link] = None
        # Before this returns: the hello may come in the same turn of the loop.
        frames: asyncio.Queue[Frame] = asyncio.Queue()
        link.receiver = frames.put_nowait
        task = asyncio.get_running_loop().create_task(self._welcome(link, frames))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _welcome(self, link: Link, frames: asyncio.Queue[Frame]) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                pod, record, digest = await self._greet(link, frames)
            if link.lost:
                return
            await self._equip(link, pod, record, digest)
        except (ProtocolError, TimeoutError) as error:
            _log.warning("instance-turned-away", peer=link.peer, uid=link.uid, error=repr(error))
            link.close()
        except (KubeError, NoAssignment) as error:
            _log.warning("instance-not-equipped", uid=link.uid, error=str(error))
            link.close()  # it dials again with back-off
        except Exception:  # noqa: BLE001  a bug of ours costs one connection, not the gateway
            _log.exception("instance-welcome-failed", uid=link.uid)
            link.close()

    async def _greet(
        self, link: Link, frames: asyncio.Queue[Frame]
    ) -> tuple[PodFacts, Record, str | None]:
        hello = read_hello(await frames.get())
        link.uid, link.boot = hello.uid, hello.boot
        pod = await self._find_pod(hello.namespace, hello.pod, hello.uid)
        pod = _checked(hello, pod, link.peer)
        key = pod.key
        token = instance_token(self._key, key.namespace, key.name)
        nonce = secrets.token_hex(16)
        link.send(
            FrameType.CHALLENGE, challenge(hello, token=token, gateway=self._gateway, nonce=nonce)
        )
        proof = read_proof(await frames.get(), hello, token=token, nonce=nonce)
        if link.lost:
            raise ProtocolError("connection lost in the handshake")
        older = self._links.get(hello.uid)
        if older is not None:
            older.close()
        self._links[hello.uid] = link
        record = self._registry.link(hello.uid, key, boot=hello.boot, state=proof.state)
        link.receiver = partial(self._receive, link, record)
        while not frames.empty():
            link.receiver(frames.get_nowait())
        _log.debug("instance-linked", uid=hello.uid, deployment=key.name, state=proof.state)
        return pod, record, proof.digest

    async def _equip(self, link: Link, pod: PodFacts, record: Record, digest: str | None) -> None:
        """Send what the handshake leaves to be said: peers, the assignment, old questions."""
        self._send_peers(link)
        self._ambiguous.ask(link)
        if record.slot is not Slot.UNASSIGNED or digest is not None or record.spoilt:
            return
        record.provisioned = provisioned = bool(record.provisioned) or self._ahead(record.key)
        package: Package = await self._assignments.package(
            pod, PROVISIONED if provisioned else ON_DEMAND
        )
        if link.lost:
            return
        before = self._before(pod.uid)
        header = package.header if before is None else {**package.header, "before": before}
        link.send(FrameType.ASSIGN, header, package.body)
        record.assigning()
        self._registry.touch(record)

    def _send_peers(self, link: Link) -> None:
        addresses = sorted(self._peers())
        if addresses:
            link.send(FrameType.PEERS, {"addresses": addresses})

    # --- frames -----------------------------------------------------------------------------------

    def _receive(self, link: Link, record: Record, frame: Frame) -> None:
        now = self._now()
        if frame.type in _OF_ATTEMPTS:
            self._answer(link, record, frame, now)
            return
        match frame.type:
            case FrameType.STATE:
                self._told(link, record, frame, now)
            case FrameType.FAILED:
                record.failed()
                error, message = frame.header["errorType"], frame.header["message"]
                _log.warning("assignment-failed", uid=record.uid, error=error, message=message)
                self._on_failed(record.key, error, message)
                self._registry.touch(record)
            case FrameType.PHASES:
                self._on_phases(record, frame)
            case FrameType.ASSIGNED | FrameType.LOGS:
                pass
            case _:
                raise ProtocolError(f"{frame.type.name} from an instance")

    def _told(self, link: Link, record: Record, frame: Frame, now: float) -> None:
        header, knew = frame.header, record.slot is Slot.FAILED
        record.told(header["state"], header["served"], now)
        record.started_for(
            header.get("initialization"), init_failed=header.get("initFailed") is True
        )
        if record.slot is Slot.FAILED and not knew:  # of an assignment that another gateway sent
            self._on_failed(record.key, *FAILED_ELSEWHERE)
        self._ambiguous.told(link, frame)
        self._registry.touch(record)

    def _answer(self, link: Link, record: Record, frame: Frame, now: float) -> None:
        call = link.calls.get(frame.header["attempt"])
        if call is None:
            if frame.type is FrameType.END:
                link.send(FrameType.QUERY)  # an attempt of a lost connection: free again?
            return
        call.receive(frame, now)
        if call.attempt.over:
            del link.calls[call.id]
            self._registry.touch(record)

    # --- losses -----------------------------------------------------------------------------------

    def _lost(self, link: Link) -> None:
        self._open.pop(link, None)
        if self._links.get(link.uid) is not link:
            return
        del self._links[link.uid]
        record = self._registry.records[link.uid]
        for call in list(link.calls.values()):
            if call.accepted:
                call.break_off()
            else:
                self._ambiguous.suspect(call)
        link.calls.clear()
        self._registry.unlink(record)


def _checked(hello: Hello, pod: PodFacts | None, peer: str) -> PodFacts:
    """Return the caller's pod.

    The kubelet reports a pod's address up to a second after its process runs; until then the token
    alone speaks for it, and ``verify`` looks again when the address is known.
    """
    if pod is None or pod.uid != hello.uid:
        raise ProtocolError(f"no pod {hello.namespace}/{hello.pod} with uid {hello.uid}")
    if pod.addresses and peer not in pod.addresses:
        raise ProtocolError(f"{peer} is not an address of {hello.namespace}/{hello.pod}")
    return pod
