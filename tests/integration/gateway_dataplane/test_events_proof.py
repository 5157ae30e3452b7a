"""10^5 events while gateways, instances, store, PostgreSQL and operator are killed: none is lost.

Everything is real but scheduler and kubelet. Sizes: KLAMBDA_PROOF_EVENTS, KLAMBDA_PROOF_KILLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from klambda_core.events import Record
from klambda_core.kinds import POD
from klambda_core.signer import Credentials
from klambda_gateway.events.client import StoreAway, StoreEvents
from tests.integration.gateway_dataplane.conftest import GATEWAYS, ControlPlane
from tests.integration.gateway_dataplane.test_gateway_process import create, name
from tests.support.door import Door, NotServed
from tests.support.postgres import running

__all__ = ["name"]
pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]
EVENTS = int(os.environ.get("KLAMBDA_PROOF_EVENTS", "100000"))
KILLS = int(os.environ.get("KLAMBDA_PROOF_KILLS", "40"))
SENDERS = 4
FAILING = 500
"""One event of so many fails at each attempt."""
RETRY_WAITS_S = 0.5 + 1.0
"""As the gateways of the tests are told."""
SOURCE = f"""
def handler(event, context):
    if event % {FAILING} == 7:
        raise ValueError(str(event))
    return event
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def crash(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Iterator[list[str]]:
    """What can be killed, with the store's events in SQLite or in PostgreSQL."""
    store = control_plane.parts["store"]
    kinds = ["gateway", "gateway", "store", "operator", "instance", "instance"]
    if request.param == "sqlite":
        yield kinds
        return
    with running() as server:

        def fall() -> None:
            server.end(signal.SIGQUIT)
            server.start()

        store.environment["KLAMBDA_EVENTS_DATABASE_URL"] = server.fresh_database()
        store.kill()
        CRASHES["postgresql"] = fall
        try:
            yield [*kinds, "postgresql"]
        finally:
            del store.environment["KLAMBDA_EVENTS_DATABASE_URL"]
            store.kill()


CRASHES: dict[str, Callable[[], None]] = {}


def test_none_of_many_is_lost(control_plane: ControlPlane, name: str, crash: list[str]) -> None:
    client = create(control_plane, name, SOURCE, Timeout=60)  # a starved run is no failed one
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=4)
    numbers, lock = iter(range(EVENTS)), threading.Lock()
    acknowledged: dict[str, int] = {}
    began = time.monotonic()

    def send(gateway: int) -> None:
        with contextlib.closing(door_to(control_plane, gateway)) as door:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                while True:
                    try:
                        acknowledged[door.send(name, number)] = number
                        break
                    except NotServed:
                        time.sleep(0.05)

    killed: Counter[str] = Counter()
    chance = random.Random(EVENTS)
    with ThreadPoolExecutor(SENDERS) as pool:
        sending = [pool.submit(send, number % GATEWAYS) for number in range(SENDERS)]
        while not all(each.done() for each in sending) or killed.total() < KILLS:
            # Spread over the time that sending takes, whatever that is on this machine.
            time.sleep(chance.uniform(0.5, 1.5))
            if killed.total() * EVENTS < len(acknowledged) * KILLS:
                kind = chance.choice(crash)
                kill(control_plane, kind, chance)
                killed[kind] += 1
        for each in sending:
            each.result()
    sent = time.monotonic() - began
    assert sorted(acknowledged.values()) == list(range(EVENTS))
    again = asyncio.run(judge(control_plane, acknowledged))
    print(
        f"{EVENTS} events sent in {sent:.0f} s, all over after {time.monotonic() - began:.0f} s; "
        f"killed: {dict(sorted(killed.items()))}; leased {again} times beyond attempts"
    )


def door_to(control_plane: ControlPlane, gateway: int) -> Door:
    keys = control_plane.keys()
    credentials = Credentials(
        access_key_id=keys["accessKeyId"], secret_access_key=keys["secretAccessKey"]
    )
    return Door(f"http://127.0.0.1:{control_plane.gateways[gateway].http}", credentials)


def kill(control_plane: ControlPlane, kind: str, chance: random.Random) -> None:
    """End something without a warning; what has no supervisor here is started again."""
    if kind in control_plane.parts:
        control_plane.parts[kind].kill()
    elif kind in CRASHES:
        CRASHES[kind]()
    elif kind == "gateway":
        number = chance.randrange(GATEWAYS)
        control_plane.gateways[number].process.kill()
        control_plane.gateways[number].process.wait()
        control_plane.restart(number)
    else:
        assert control_plane.kubelet is not None
        alive = list(control_plane.kubelet.running.items())
        if alive:
            pod, init = chance.choice(alive)
            with contextlib.suppress(ProcessLookupError):
                os.kill(init.pid, signal.SIGKILL)
            control_plane.server.request("DELETE", POD.path("default", pod))


async def judge(control_plane: ControlPlane, acknowledged: dict[str, int]) -> int:
    """See what became of every event; return how often they were leased without need."""
    store = control_plane.parts["store"]
    client = StoreEvents(
        f"http://127.0.0.1:{store.port}", store.environment["KLAMBDA_INSTALLATION_KEY"]
    )
    left = iter(acknowledged.items())
    again = 0

    async def look() -> None:
        nonlocal again
        for event_id, number in left:
            record = await settled(client, event_id)
            again += record.leases - right(record, number)

    try:
        await asyncio.gather(*(look() for _ in range(16)))
    finally:
        await client.close()
    return again


async def settled(client: StoreEvents, event_id: str) -> Record:
    async with asyncio.timeout(900):
        while True:
            with contextlib.suppress(StoreAway):
                record = await client.lookup("default", event_id)
                assert record is not None, f"{event_id} is lost"
                if record.settled_at is not None:
                    return record
            await asyncio.sleep(0.2)


def right(record: Record, number: int) -> int:
    """See that an event ended as it should; return how many attempts that took."""
    assert record.response is not None, record
    assert record.settled_at is not None
    if number % FAILING == 7:
        assert (record.state, record.attempts) == ("failed", 3), record
        assert record.error == str(number)
        assert record.settled_at - record.received_at >= RETRY_WAITS_S
        return 3
    assert (record.state, record.attempts) == ("succeeded", 1), record
    assert record.response.payload == str(number).encode()
    return 1
