"""What this gateway knows of one instance: a pure machine that merges evidence in any order.

Two kinds of evidence arrive on their own clocks: the pod (watch) and the connection (frames).
The instance is the authority on its slot; what stands here is a hint, and **unknown is not idle**.

    slot, by the instance's own word or what its frames to us imply
      unknown ─hello─► (what the proof says) ─state─► (what it says) ─connection lost─► unknown
      idle ─we send an attempt─► ours ─end─► idle          (``state`` goes to the *other* gateways)
      idle | starting ─refused─► blocked until the next ``state``

Place: ``registry`` feeds it, ``pool`` files it by ``free`` and ``holdable``.
Invariants: at most one attempt of ours at a time; a spoilt pod, a second boot in one pod, a failed
or draining instance is never free again; evidence about the pod and about the connection commute.
Not here: frames, sockets, waiting requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from klambda_gateway.instances.pods import DeploymentKey, PodFacts


class Slot(StrEnum):
    """The states of frame 18, and what we call an instance that is not connected."""

    UNKNOWN = "unknown"
    UNASSIGNED = "unassigned"
    ASSIGNING = "assigning"
    INIT = "init"
    IDLE = "idle"
    BUSY = "busy"
    COMPLETING = "completing"
    DRAINING = "draining"
    DRAINED = "drained"
    FAILED = "failed"


ON_DEMAND: Final = "on-demand"
PROVISIONED: Final = "provisioned-concurrency"
"""Initialization types, in Lambda's words."""
COMPLETING_S: Final = 0.1
"""So long an invocation may wait for an instance that is completing (contract §1)."""
_STARTING: Final = frozenset({Slot.ASSIGNING, Slot.INIT})
_HELD: Final = _STARTING | {Slot.COMPLETING}
ANSWER_S: Final = 1.0
"""Who was asked to go answers within milliseconds; who has not by then may be beyond a broken
connection, and cannot."""
_DRAINS: Final = frozenset({Slot.DRAINING, Slot.DRAINED})
_LEAVING: Final = frozenset({Slot.DRAINING, Slot.DRAINED, Slot.FAILED})
_RUNNING: Final = frozenset({Slot.BUSY, Slot.COMPLETING})
_BUSY: Final = _RUNNING | {Slot.DRAINING}
"""Who drains finishes a run; else it would be drained."""
_INITIALISED: Final = _RUNNING | {Slot.IDLE}


class Record:
    """One instance = one pod."""

    __slots__ = (
        "arrived",
        "attempt",
        "blocked",
        "boot",
        "busy_since",
        "completing_since",
        "drain_asked",
        "drained_since",
        "idle_since",
        "init_failed",
        "key",
        "linked",
        "phases",
        "pod",
        "pod_gone",
        "provisioned",
        "reborn",
        "served",
        "slot",
        "uid",
    )

    def __init__(self, uid: str, key: DeploymentKey) -> None:
        self.uid = uid
        self.key = key
        self.pod: PodFacts | None = None
        self.pod_gone = False
        self.arrived = False
        """It was counted as a start that has come."""
        self.boot: str | None = None
        self.reborn = False
        """Two boots were seen in this pod: its init died once."""
        self.linked = False
        self.slot = Slot.UNKNOWN
        self.attempt: str | None = None
        """Our attempt that is on it, from sending to ``end`` or ``refused``."""
        self.blocked = False
        """It refused us; what it does instead, its next ``state`` will say."""
        self.idle_since: float | None = None
        self.busy_since: float | None = None
        """Since when it has run what it runs."""
        self.completing_since: float | None = None
        """Since when its answer is out while its runtime is not back."""
        self.served = 0
        self.drain_asked: float | None = None
        self.drained_since: float | None = None
        self.provisioned: bool | None = None
        """It was started ahead; None: it has not said."""
        self.phases: Mapping[str, float] = {}
        """Of its start, milliseconds."""
        self.init_failed = False
        """Its runtime could not be started; the next run tries again."""

    def __repr__(self) -> str:
        return f"<Record {self.key.name} {self.uid} {self.slot} attempt={self.attempt}>"

    # --- what follows -----------------------------------------------------------------------------

    @property
    def spoilt(self) -> bool:
        """It can never be capacity (again)."""
        pod = self.pod is not None and self.pod.spoilt
        return pod or self.pod_gone or self.reborn or self.slot in _LEAVING

    @property
    def _open(self) -> bool:
        return (
            self.linked
            and self.attempt is None
            and not self.blocked
            and self.drain_asked is None
            and not self.spoilt
        )

    @property
    def free(self) -> bool:
        """Known idle: an attempt sent now runs now."""
        return self.slot is Slot.IDLE and self._open

    @property
    def holdable(self) -> bool:
        """An attempt sent now is held by init, until INIT or another gateway's run is over.

        To ask for an instance before it is free is how gateways take turns: whoever had it sees its
        ``end`` first and would else keep it for as long as somebody waits there.
        """
        return self.slot in _HELD and self._open

    @property
    def equipped(self) -> bool:
        """It has been told what to be."""
        return self.linked and self.slot not in (Slot.UNKNOWN, Slot.UNASSIGNED)

    @property
    def running(self) -> bool:
        """It runs something, ours or another gateway's."""
        return self.attempt is not None or (self.linked and self.slot in _BUSY)

    @property
    def abroad(self) -> bool:
        """It runs what another gateway sent."""
        return self.attempt is None and self.linked and self.slot in _BUSY

    @property
    def initialised(self) -> bool:
        """Its runtime has started, and it serves."""
        return self.serving and not self.init_failed and self.slot in _INITIALISED

    def free_soon(self, now: float) -> bool:
        """Tell whether it is about to be idle: its answer has just left."""
        since = self.completing_since
        return since is not None and now - since < COMPLETING_S and self.linked and not self.spoilt

    def stands(self, now: float, seconds: float) -> bool:
        """Tell whether its run has lasted so long already; INIT is none."""
        since = self.busy_since
        return since is not None and now - since >= seconds and self.serving

    def silent(self, now: float, seconds: float) -> bool:
        """Tell whether it was idle, was sent our attempt, and has not said a word since.

        To be asked on behalf of somebody who has waited for so many seconds: the attempt, which was
        sent before he came, is older.
        """
        since = self.idle_since
        if since is None or self.attempt is None:
            return False
        return now - since >= seconds and self.serving

    @property
    def serving(self) -> bool:
        """Capacity that has arrived: connected, whatever it does now."""
        return self.linked and not self.spoilt and self.drain_asked is None

    def going(self, now: float) -> bool:
        """Tell whether its place is about to be free: it drains, or was asked to a moment ago."""
        asked = self.drain_asked
        return self.slot in _DRAINS or (asked is not None and now - asked < ANSWER_S)

    @property
    def drained(self) -> bool:
        """It has confirmed that it takes no more and runs nothing."""
        return self.linked and self.slot is Slot.DRAINED

    @property
    def over(self) -> bool:
        """It runs nothing and can never run anything again."""
        return self.drained or (self.boot is not None and self.spoilt and not self.running)

    # --- evidence: the pod ------------------------------------------------------------------------

    def see_pod(self, pod: PodFacts) -> None:
        """Take the pod's newest state."""
        self.pod = pod

    def lose_pod(self) -> None:
        """Note that the pod was deleted."""
        self.pod_gone = True

    # --- evidence: the connection -----------------------------------------------------------------

    def link(self, boot: str, state: str, now: float) -> None:
        """Begin with what the proof said."""
        if self.boot is not None and self.boot != boot:
            self.reborn = True
            self.attempt = None
        self.boot = boot
        self.linked = True
        self.blocked = False
        self.drain_asked = None  # on a connection that is no more: what came of it, the state says
        self._become(_slot(state), now)

    def unlink(self) -> None:
        """Note that the connection is lost: what it does is unknown now."""
        self.linked = False
        self.blocked = False
        self.idle_since = None
        self.busy_since = None
        self.completing_since = None
        self.slot = Slot.UNKNOWN

    def assigning(self) -> None:
        """Note that we sent the assignment: it accepts an attempt to hold from here on."""
        if self.slot is Slot.UNASSIGNED:
            self.slot = Slot.ASSIGNING

    def started_for(self, initialization: object, *, init_failed: bool) -> None:
        """Take its own word on what it was started for, and what came of that."""
        if isinstance(initialization, str):
            self.provisioned = initialization == PROVISIONED
        self.init_failed = init_failed

    def told(self, state: str, served: int, now: float) -> None:
        """Take a ``state`` frame: the instance's own word."""
        if served != self.served:
            self.busy_since = None  # what it runs now is another run
        self.served = served
        self.blocked = False
        self._become(_slot(state), now)

    def failed(self) -> None:
        """Note that it could not carry out its assignment."""
        self._become(Slot.FAILED, 0.0)

    # --- evidence: our own attempts ---------------------------------------------------------------

    def dispatch(self, attempt: str) -> None:
        """Note that our attempt goes to it now."""
        if self.attempt is not None:
            raise AssertionError(f"{self!r} has an attempt already")
        self.attempt = attempt

    def accepted(self, now: float) -> None:
        """Note that our attempt runs."""
        if self.slot not in _LEAVING:
            self.slot = Slot.BUSY
            self.busy_since = now
        self.idle_since = None

    def answered(self, now: float) -> None:
        """Note that our attempt's answer is whole; its instance is not back yet."""
        if self.slot not in _LEAVING:
            self._become(Slot.COMPLETING, now)

    def refused(self, attempt: str, reason: str) -> None:
        """Note that our attempt did not run; unless it was the attempt's own fault, back off."""
        if self.attempt != attempt:
            return
        self.attempt = None
        if reason == "draining":
            self._become(Slot.DRAINING, 0.0)
        elif reason not in ("invalid-json", "cancelled"):
            self.blocked = True

    def ended(self, attempt: str, now: float) -> None:
        """Note that our attempt is over: the instance is free for us."""
        if self.attempt != attempt:
            return
        self.attempt = None
        self.served += 1
        self.init_failed = False
        if self.linked and self.slot not in _LEAVING:
            self._become(Slot.IDLE, now)
        elif self.slot is Slot.DRAINING:
            self._become(Slot.DRAINED, now)  # ``state`` goes to the others

    def abandon(self, attempt: str) -> None:
        """Give our attempt up (it never left, or its fate is settled otherwise)."""
        if self.attempt == attempt:
            self.attempt = None

    def ask_drain(self, now: float) -> None:
        """Note that we asked it to drain; it gets nothing from us until it has answered."""
        self.drain_asked = now

    def _become(self, slot: Slot, now: float) -> None:
        if self.slot is Slot.DRAINED and slot is Slot.DRAINING:
            return
        if slot is not Slot.COMPLETING:
            self.completing_since = None
        elif self.slot is not Slot.COMPLETING:
            self.completing_since = now
        if slot not in _RUNNING:
            self.busy_since = None
        elif self.busy_since is None:
            self.busy_since = now
        if slot is not Slot.IDLE:
            self.idle_since = None
        elif self.slot is not Slot.IDLE or self.idle_since is None:
            self.idle_since = now
        if slot is Slot.DRAINED and self.slot is not Slot.DRAINED:
            self.drained_since = now
        if self.drain_asked is not None and slot in _RUNNING:
            self.drain_asked = None  # "drain if idle" met a run: it was refused
        self.slot = slot


def _slot(state: str) -> Slot:
    """Return the slot of a wire state; one from a later version is not taken for idle."""
    try:
        return Slot(state)
    except ValueError:
        return Slot.UNKNOWN
