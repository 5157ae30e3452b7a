"""The play: clients, what became of every request, and what must never have been.

A `Plan` says how much of everything; `run(plan)` returns a `Verdict`. Who was promised what:

- every request has exactly one outcome (an answer, an error, or the connection that broke);
- no request runs twice, no instance runs two at once;
- a request fails only if its own instance, connection or gateway was hit while it was there;
- nobody waits beside an instance that is idle and connected;
- of a function with reserved concurrency R no more than R run, but for milliseconds.

Not here: what goes wrong (`faults`), waits (`waits`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Final

from klambda_core.errors import LambdaError
from klambda_gateway.instances.link import Link
from klambda_gateway.instances.pods import PodFacts
from klambda_gateway.invoke.model import InvokeAnswer
from klambda_gateway.routing.facts import FunctionFacts, Serving
from klambda_kube.lease import SILENT_S
from tests.support.simulation.faults import Faults
from tests.support.simulation.gateway import Gateway, Place
from tests.support.simulation.instance import Instance
from tests.support.simulation.kubernetes import NAMESPACE, Kubernetes, Stream
from tests.support.simulation.plan import Caller, Plan, Request, Verdict
from tests.support.simulation.waits import Waits
from tests.support.virtualtime import run_virtual

LEASE_S: Final = 15.0
WATCH_S: Final = 0.05
LOST_S: Final = 130.0
"""Beyond all limits of an invocation: a request that is open for so long has been forgotten."""
SUSPECT_S: Final = 25.0
"""So long after a fault a reservation may still be held by an attempt whose fate is unknown."""


class World:
    """The play."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.verdict = Verdict()
        self._loop = asyncio.get_running_loop()
        seeds = Random(plan.seed)
        self.chance = {
            name: Random(seeds.random())
            for name in ("network", "instances", "kubernetes", "gateways", "clients", "faults")
        }
        self.kubernetes = Kubernetes(self.chance["kubernetes"], room=plan.room, boot=self._boot)
        self.gateways: dict[str, Gateway] = {}
        self.taking: list[str] = []
        """Gateways that clients reach."""
        self.leader = ""
        self.former: tuple[str, float] = ("", 0.0)
        self._leaderless = self._elected = 0.0
        self._names = itertools.count(1)
        self._numbers = itertools.count(1)
        self._runs = bytearray(plan.requests + 1)
        self._open: dict[int, Request] = {}
        self.functions = {each.function: each for each in plan.callers}
        self._running: Counter[str] = Counter()
        self._where: dict[int, Instance] = {}
        self._above_since: dict[str, float] = {}
        self.faulted: dict[str, float] = {}
        """When an instance, or a gateway's connection to one, was last hit."""
        self._waits = Waits(self.gateways, self.kubernetes, self.verdict)
        self._last_fault = -1e9
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._background: set[asyncio.Task[None]] = set()

    # --- the play ---------------------------------------------------------------------------------

    async def run(self) -> Verdict:
        for caller in self.plan.callers:
            self.update(caller.function)
        for _ in range(self.plan.gateways):
            self._new_gateway()
        self.leader = self.taking[0]
        for caller in self.plan.callers:
            for _ in range(caller.clients):
                self._loop.call_later(self.chance["clients"].random(), self._call, caller)
        Faults(self).schedule()
        self._loop.call_later(WATCH_S, self._watch)
        await self._done
        verdict = self.verdict
        verdict.seconds = self._loop.time()
        verdict.starts = self.kubernetes.started
        verdict.doubles = sum(1 for runs in self._runs if runs > 1)
        for gateway in list(self.gateways.values()):
            await gateway.kill()
        for task in self._background:
            task.cancel()
        return verdict

    def update(self, function: str) -> None:
        """Publish new code: a new Deployment, then the switch."""
        caller, version = self.functions[function], next(self._names)
        old: FunctionFacts | None = self.kubernetes.functions.get(function)
        key = self.kubernetes.add_deployment(function, f"{function}-{version}")
        new = FunctionFacts(
            namespace=NAMESPACE,
            name=function,
            uid=f"uid-{function}",
            aws_name=function,
            created="",
            timeout=60,
            serving=Serving(deployment=key.name, revision=f"d-{key.name}"),
            reserved=caller.reserved,
        )
        serving = old.serving if old is not None else None
        retired = key._replace(name=serving.deployment) if serving is not None else None
        self.kubernetes.put_function(function, new, retired)

    def _new_gateway(self) -> None:
        name = f"gw-{next(self._names)}"
        gateway = Gateway(
            Place(
                name=name,
                kubernetes=self.kubernetes,
                chance=self.chance["gateways"],
                peers=lambda: sorted(self.gateways),
                leads=self._leads,
                led_since=self._led_since,
                sent=self._sent,
                idle_seconds=self.plan.idle_seconds,
                account=self.plan.account,
            )
        )
        gateway.relist(self.kubernetes.everything())
        self.kubernetes.streams[name] = Stream(
            self.chance["kubernetes"], gateway, self.kubernetes.away
        )
        self.gateways[name] = gateway
        gateway.start()
        for each in self.gateways.values():
            each.server.announce_peers()
        # Ready once the living instances have dialled in, or after a while (process.unready).
        self._loop.call_later(1.0 if len(self.taking) else 0.0, self._take_requests, name)
        if not self.taking:
            self._take_requests(name)

    def _take_requests(self, name: str) -> None:
        if name in self.gateways and name not in self.taking:
            self.taking.append(name)

    def _leads(self, name: str) -> bool:
        former, until = self.former
        return name == self.leader or (name == former and self._loop.time() < until)

    def _led_since(self) -> float:
        """As candidates for the lease find out: now, when the leader has been silent for long."""
        now = self._loop.time()
        silent = self.leader not in self.gateways and now - self._leaderless > SILENT_S
        return now if silent else self._elected

    def end_gateway(self, name: str, outcome: str) -> None:
        """End a gateway's process; this is what its callers see."""
        self.suspect()
        gateway = self.gateways.pop(name)
        self.kubernetes.streams.pop(name).cut()
        if name in self.taking:
            self.taking.remove(name)
        for number in [n for n, each in self._open.items() if each.gateway == name]:
            self._over(number, outcome)
        task = self._loop.create_task(gateway.kill())
        self._background.add(task)
        self._loop.call_later(1.0 + 2 * self.chance["faults"].random(), self._new_gateway)
        if name == self.leader:
            self._leaderless = self._loop.time()
            self._loop.call_later(LEASE_S, self._elect)

    def suspect(self, lasts: float = 0.0) -> None:
        """Note that something was hit, and for how long."""
        self._last_fault = max(self._last_fault, self._loop.time() + lasts)

    def busy(self, name: str) -> bool:
        """Tell whether a gateway has requests."""
        return any(each.gateway == name for each in self._open.values())

    def _elect(self) -> None:
        if self.leader not in self.gateways:
            self.leader = self.chance["faults"].choice(self.taking)
            self._elected = self._loop.time()

    # --- clients ----------------------------------------------------------------------------------

    def _call(self, caller: Caller) -> None:
        number = next(self._numbers)
        if number > self.plan.requests:
            if not self._open and not self._done.done():
                self._done.set_result(None)
            return
        chance = self.chance["clients"]
        name = chance.choice(self.taking)
        request = self._open[number] = Request(caller, name, self._loop.time())

        def done(result: InvokeAnswer | LambdaError) -> None:
            if number in self._open:
                self._over(number, self._judge(number, result))

        request.story = self.gateways[name].invoke(caller.function, number, done)
        if chance.random() < self.plan.leavers:
            self._loop.call_later(chance.random() * 0.05, self._leave, number)

    def _leave(self, number: int) -> None:
        request = self._open.get(number)
        if request is not None and request.story is not None:
            request.story.cancel()
            self._over(number, "left")

    def _over(self, number: int, outcome: str) -> None:
        request = self._open.pop(number)
        verdict, now = self.verdict, self._loop.time()
        verdict.outcomes[f"{request.caller.function} {outcome}"] += 1
        verdict.longest = max(verdict.longest, now - request.began)
        pause = 0.000_2 + request.caller.think * 2 * self.chance["clients"].random()
        if outcome.startswith("429"):
            pause += 0.01
        self._loop.call_later(pause, self._call, request.caller)

    def _judge(self, number: int, result: InvokeAnswer | LambdaError) -> str:
        request = self._open[number]
        if isinstance(result, InvokeAnswer):
            right = result.payload == b"%d" % number and self._runs[number] == 1
            if not right:
                self._complain(number, f"answered {result.payload!r}, ran {self._runs[number]}")
            return "answered"
        if result.status == 429:
            self._judge_throttle(number, request)
        elif not self._explained(request):
            self._complain(number, f"{result.status} {result.message}, sent to {request.sent}")
        return f"{result.status}"

    def _judge_throttle(self, number: int, request: Request) -> None:
        caller = request.caller
        taken = sum(
            each.admission.of_function((NAMESPACE, caller.function))
            for each in self.gateways.values()
        )
        recent = self._loop.time() - self._last_fault < SUSPECT_S
        if caller.reserved is None:
            self._judge_account(number)
        elif taken < caller.reserved and not recent:
            self._complain(number, f"429 while {taken} of {caller.reserved} were taken")
        elif caller.clients <= caller.reserved and not recent:
            self._complain(number, "429 for a closed loop within its reservation")

    def _judge_account(self, number: int) -> None:
        drawn = sum(each.admission.unreserved(NAMESPACE) for each in self.gateways.values())
        reserved = sum(each.reserved or 0 for each in self.plan.callers)
        if drawn < self.plan.account - reserved:
            self._complain(number, f"429 while {drawn} of what is unreserved were taken")

    def _explained(self, request: Request) -> bool:
        """Tell whether an instance it was sent to, or the way there, was hit since."""
        return any(
            self.faulted.get(where, -1.0) >= at - 1.0
            for uid, at in request.sent
            for where in (uid, f"{request.gateway} {uid}")
        )

    def _complain(self, number: int, text: str) -> None:
        self.verdict.unexplained.append(f"{self._loop.time():.3f} request {number}: {text}")

    def _sent(self, number: int, uid: str) -> None:
        request = self._open.get(number)
        if request is not None:
            request.sent.append((uid, self._loop.time()))

    # --- what instances meet: `instance.Surroundings` ---------------------------------------------

    def _boot(self, pod: PodFacts, boot: str) -> Instance:
        return Instance(self, pod, boot, self.chance["instances"])

    def names(self) -> Iterable[str]:
        return sorted(self.gateways)

    def dial(self, gateway: str) -> Link | None:
        found = self.gateways.get(gateway)
        return found.link() if found is not None else None

    def dial_seconds(self) -> float:
        chance = self.chance["network"]
        return 0.5 + 2 * chance.random() if chance.random() < 0.02 else 0.002 * chance.random()

    def begun(self, instance: Instance, number: int) -> float:
        function = self._function(instance)
        self._runs[number] += 1
        self._running[function] += 1
        now, running = self._loop.time(), self._running[function]
        self.verdict.most[function] = max(self.verdict.most.get(function, 0), running)
        reserved = self.functions[function].reserved
        if reserved is None:
            self.verdict.unreserved = max(self.verdict.unreserved, self._unreserved())
        elif running > reserved:
            self._above_since.setdefault(function, now)
        self.verdict.overlaps += instance.overlaps
        self._where[number] = instance
        return self._duration()

    def _unreserved(self) -> int:
        """Count what runs of functions that reserve nothing."""
        return sum(
            self._running[each.function] for each in self.plan.callers if each.reserved is None
        )

    def _duration(self) -> float:
        chance = self.chance["instances"]
        drawn = chance.random()
        if drawn < 0.001:
            return 1.0 + chance.random()
        if drawn < 0.02:
            return 0.05 + 0.1 * chance.random()
        return 0.000_5 + 0.003 * chance.random()

    def back_seconds(self, instance: Instance) -> float:
        chance = self.chance["instances"]
        if chance.random() < 0.002:  # an extension takes its time
            reserved = self.functions[self._function(instance)].reserved is not None
            return (0.02 if reserved else 0.2) * (0.1 + chance.random())
        return 0.000_2 + 0.001 * chance.random()

    def ended(self, instance: Instance, number: int) -> None:
        del self._where[number]
        self._stopped(self._function(instance))

    def _stopped(self, function: str) -> None:
        self._running[function] -= 1
        reserved = self.functions[function].reserved
        since = self._above_since.get(function)
        if since is not None and self._running[function] <= (reserved or 0):
            del self._above_since[function]
            lasted = self._loop.time() - since
            self.verdict.above[function] = max(self.verdict.above.get(function, 0.0), lasted)

    def _function(self, instance: Instance) -> str:
        return instance.pod.deployment.rpartition("-")[0]

    def orphan(self, instance: Instance) -> None:
        """End the runs of an instance that dies."""
        for number in [number for number, each in self._where.items() if each is instance]:
            del self._where[number]
            self._stopped(self._function(instance))

    # --- watching ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = self._loop.time()
        self._waits.look(now)
        self._look_for_lost(now)
        self._loop.call_later(WATCH_S, self._watch)

    def _look_for_lost(self, now: float) -> None:
        lost = [number for number, each in self._open.items() if now - each.began > LOST_S]
        self.verdict.unanswered += len(lost)
        if lost and not self._done.done():
            self._done.set_result(None)


def run(plan: Plan) -> Verdict:
    """Play a plan to its end, in virtual time."""

    async def play() -> Verdict:
        return await World(plan).run()

    return run_virtual(play())
