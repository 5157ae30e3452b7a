"""One slot, many gateways: who gets it, who is told, what becomes of an attempt (contract §1)."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.apiserver import free_ports
from tests.support.instance_peer import (
    ACCEPTED,
    ASSIGNED,
    CANCEL,
    DRAIN,
    END,
    FAILED,
    HEAD,
    PHASES,
    REFUSED,
    STATE,
    Connection,
    Gateway,
    Init,
    archive,
    assign,
    encode,
    eventually,
    gateway,
)

from .conftest import Launch

SLEEPER = (
    "import time\ndef lambda_handler(event, context):\n    time.sleep(event)\n    return event\n"
)


async def test_two_gateways_never_run_two_at_once(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    source = """import os, fcntl
p = os.path.join(os.environ['LAMBDA_TASK_ROOT'], '../../tmp/lock')
def lambda_handler(event, context):
    fd = os.open(p, os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    return event
"""
    init = bare(python_bootstrap)
    async with gateway("gateway-1") as other:
        await init.start(f"127.0.0.1:{peer.port}", f"127.0.0.1:{other.port}")
        first, second = await peer.connection(), await other.connection()
        assign(first, archive({"lambda_function.py": source}))
        await first.expect(ASSIGNED)
        assign(second, archive({"lambda_function.py": source}))
        await second.expect(ASSIGNED)
        served: list[int] = []
        refusals = 0

        async def race(connection: Connection, numbers: range) -> None:
            nonlocal refusals
            for number in numbers:
                while True:
                    outcome = await connection.invoke(number, logTail=False)
                    if outcome.refused is None:
                        break
                    assert outcome.refused["reason"] == "busy"
                    refusals += 1
                    await asyncio.sleep(0.0005)
                assert outcome.end is not None
                assert outcome.end["status"] == "success"
                served.append(outcome.json)

        await asyncio.gather(race(first, range(500)), race(second, range(500, 1000)))
        assert sorted(served) == list(range(1000))
        assert (await first.until("idle"))["served"] == 1000
        assert refusals > 0, "they must really have met"


async def test_an_invocation_waits_for_the_start(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    init = bare(python_bootstrap)
    await init.start(f"127.0.0.1:{peer.port}")
    connection = await peer.connection()
    assert connection.proof["state"] == "unassigned"
    before = {"before": {"scheduleMs": 40.5, "boundMs": 60_000}}
    assign(connection, archive({"lambda_function.py": SLEEPER}), frame=before)
    held = asyncio.create_task(connection.invoke(0))
    await asyncio.sleep(0)
    second = await connection.invoke(0)
    assert second.refused is not None
    assert second.refused["reason"] == "busy"
    outcome = await held
    assert outcome.accepted is not None
    assert outcome.accepted["cold"] is True
    assert outcome.json == 0
    phases = (await connection.expect(PHASES)).header
    own = {"dialMs", "assignMs", "fetchMs", "unpackMs", "runtimeMs", "totalMs"}
    assert set(phases) == {"scheduleMs", "containerMs", *own}
    assert phases["totalMs"] >= phases["runtimeMs"] > 5
    assert phases["scheduleMs"] == 40.5
    assert phases["containerMs"] == pytest.approx(60_000 - phases["dialMs"] - phases["assignMs"])


async def test_without_an_assignment_nothing_runs(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    init = bare(python_bootstrap)
    await init.start(f"127.0.0.1:{peer.port}")
    outcome = await (await peer.connection()).invoke()
    assert outcome.refused == {"attempt": outcome.attempt, "reason": "not-assigned"}


async def test_a_held_invocation_is_given_up_after_its_patience(launch: Launch) -> None:
    running = await launch("import time; time.sleep(2)\n" + SLEEPER)
    outcome = await running.connection.invoke(0, remaining=100)
    assert outcome.refused is not None
    assert (await running.connection.invoke(0)).json == 0


async def test_cancel_before_the_start_and_after(launch: Launch) -> None:
    running = await launch("import time; time.sleep(1.5)\n" + SLEEPER)
    connection = running.connection
    attempt, queue = connection.start(b"0")
    connection.send(CANCEL, {"attempt": attempt})
    frame = await queue.get()
    assert (frame.type, frame.header["reason"]) == (REFUSED, "cancelled")
    attempt, queue = connection.start(b"0.3")
    assert (await queue.get()).type == ACCEPTED
    connection.send(CANCEL, {"attempt": attempt})
    frame = await queue.get()
    assert (frame.type, frame.header["status"]) == (END, "success"), "it runs on, without an answer"


async def test_other_gateways_are_told(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    init = bare(python_bootstrap)
    async with gateway("gateway-1") as other:
        await init.start(f"127.0.0.1:{peer.port}", f"127.0.0.1:{other.port}")
        first, second = await peer.connection(), await other.connection()
        assign(first, archive({"lambda_function.py": SLEEPER}))
        await first.until("idle")
        await second.expect(STATE, state="idle")
        second.states.clear()
        first.states.clear()
        await first.invoke(0.05)
        await second.expect(STATE, state="idle")
        assert second.states in (["busy", "completing", "idle"], ["busy", "idle"])
        assert first.states == [], "the owner sees its own frames"


async def test_what_became_of_an_attempt(launch: Launch) -> None:
    running = await launch(SLEEPER)
    connection = running.connection
    done = await connection.invoke(0)
    running_attempt, queue = connection.start(b"2")
    assert (await queue.get()).type == ACCEPTED
    busy = await connection.invoke(0)
    assert busy.refused is not None
    for attempt, known, accepted in [
        (done.attempt, True, True),
        (running_attempt, True, True),
        (busy.attempt, True, False),
        ("never-seen", False, False),
    ]:
        state = await connection.ask(attempt)
        assert state["asked"] == {"attempt": attempt, "known": known, "accepted": accepted}
        assert (state["state"], state["attempt"]) == ("busy", running_attempt)


async def test_a_lost_gateway_comes_back_and_asks(launch: Launch) -> None:
    running = await launch(SLEEPER)
    attempt, queue = running.connection.start(b"2")
    assert (await queue.get()).type == ACCEPTED
    running.connection.writer.transport.abort()
    again = await running.gateway.connection()
    assert again.proof["state"] == "busy"
    assert again.proof["digest"] == "d" * 64
    state = await again.ask(attempt)
    assert state["asked"] == {"attempt": attempt, "known": True, "accepted": True}
    assert state["state"] == "busy"
    await again.expect(STATE, state="idle")
    assert (await again.invoke(0)).json == 0


async def test_what_others_send_meanwhile_does_not_make_it_forget(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    """An attempt begun on a connection that broke, asked for after a hundred of another gateway."""
    init = bare(python_bootstrap)
    async with gateway("gateway-1") as other:
        await init.start(f"127.0.0.1:{peer.port}", f"127.0.0.1:{other.port}")
        first, second = await peer.connection(), await other.connection()
        assign(first, archive({"lambda_function.py": SLEEPER}))
        await second.until("idle")
        attempt, queue = first.start(b"0")
        assert (await queue.get()).type == ACCEPTED
        first.writer.transport.abort()
        again = await peer.connection()
        for _ in range(100):
            while (await second.invoke(0)).refused is not None:
                pass
        assert (await again.ask(attempt))["asked"]["accepted"] is True


async def test_a_gateway_that_is_down_is_dialled_again(
    bare: Callable[[str], Init], python_bootstrap: str
) -> None:
    server = Gateway()
    (port,) = free_ports(1)
    init = bare(python_bootstrap)
    await init.start(f"127.0.0.1:{port}")
    await asyncio.sleep(0.3)
    await server.start(port)
    assert (await server.connection()).hello["versions"] == [1]
    await server.stop()


async def test_a_gateway_named_by_another_is_dialled(launch: Launch) -> None:
    running = await launch(SLEEPER)
    async with gateway("gateway-1") as other:
        addresses = [f"127.0.0.1:{running.gateway.port}", f"127.0.0.1:{other.port}"]
        running.connection.send(10, {"addresses": addresses})
        assert (await other.connection()).proof["digest"] == "d" * 64


async def test_one_connection_per_gateway(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    async with gateway(peer.name) as twin:
        init = bare(python_bootstrap)
        await init.start(f"127.0.0.1:{peer.port}", f"127.0.0.1:{twin.port}")
        await eventually(lambda: peer.connections.qsize() + twin.connections.qsize() > 0)
        await asyncio.sleep(0.5)
        assert peer.connections.qsize() + twin.connections.qsize() == 1


async def test_drain_when_idle(launch: Launch) -> None:
    running = await launch(SLEEPER)
    connection = running.connection
    attempt, queue = connection.start(b"1.0")
    assert (await queue.get()).type == ACCEPTED
    connection.send(DRAIN, {"mode": "idle"})
    assert (await connection.expect(REFUSED)).header == {"attempt": "", "reason": "busy"}
    assert (await connection.collect(attempt, queue, 30)).json == 1.0
    connection.send(DRAIN, {"mode": "idle"})
    await connection.expect(STATE, state="drained")
    outcome = await connection.invoke(0)
    assert outcome.refused is not None
    assert outcome.refused["reason"] == "draining"
    await asyncio.sleep(0.1)
    assert running.init.process is not None
    assert running.init.process.returncode is None, "only SIGTERM ends it"


async def test_drain_now_finishes_what_runs(launch: Launch) -> None:
    running = await launch(SLEEPER)
    connection = running.connection
    attempt, queue = connection.start(b"1.0")
    assert (await queue.get()).type == ACCEPTED
    connection.send(DRAIN, {"mode": "now"})
    await connection.expect(STATE, state="draining")
    assert (await connection.collect(attempt, queue, 30)).json == 1.0
    await connection.until("drained")


async def test_sigterm_finishes_what_runs_and_leaves(launch: Launch) -> None:
    running = await launch(SLEEPER)
    attempt, queue = running.connection.start(b"1.0")
    assert (await queue.get()).type == ACCEPTED
    assert running.init.process is not None
    running.init.process.send_signal(signal.SIGTERM)
    await running.connection.expect(STATE, state="draining")
    refused = await running.connection.invoke(0)
    assert refused.refused is not None
    outcome = await running.connection.collect(attempt, queue, 30)
    assert outcome.json == 1.0
    assert await asyncio.wait_for(running.init.process.wait(), 30) == 0
    assert running.init.output.endswith(outcome.tail)


async def test_sigterm_when_idle_leaves_at_once(launch: Launch) -> None:
    running = await launch(SLEEPER)
    await running.connection.invoke(0)
    assert await asyncio.wait_for(running.init.stop(), 30) == 0


async def test_an_attempt_sent_twice_runs_once(launch: Launch) -> None:
    running = await launch("n = []\ndef lambda_handler(e, c):\n    n.append(1)\n    return len(n)")
    await running.connection.invoke(0, attempt="same")
    running.connection.start(b"0", attempt="same")
    assert (await running.connection.invoke(0)).json == 2


async def test_the_next_invocation_waits_while_one_completes(launch: Launch) -> None:
    """The answer is out, the runtime is not back yet: the next attempt is held, not refused."""
    running = await launch(SLEEPER)
    connection = running.connection
    await connection.invoke(0)
    for _ in range(50):
        attempt, queue = connection.start(b"0")
        while (await queue.get()).type != HEAD:
            pass
        asked = time.monotonic()
        held = await connection.invoke(0)
        assert held.refused is None or time.monotonic() - asked >= 0.1, "only patience ends it"
        connection.attempts.pop(attempt, None)


async def test_another_assignment_is_a_broken_peer(launch: Launch) -> None:
    running = await launch(SLEEPER)
    code = archive({"lambda_function.py": SLEEPER})
    assign(running.connection, code, digest="e" * 64)
    await asyncio.wait_for(running.connection.closed.wait(), 30)
    again = await running.gateway.connection()
    assert again.proof["digest"] == "d" * 64
    assign(again, code)
    await again.expect(ASSIGNED)


@pytest.mark.parametrize(
    ("body", "members", "kind"),
    [
        (b"not a zip", {}, "InvalidZipFile"),
        (archive({"../out.py": "x"}), {}, "InvalidZipFile"),
        (archive({"a.py": "x"}), {"code": {"sha256": "0" * 64, "size": 1}}, "CodeDigestMismatch"),
    ],
)
async def test_code_that_cannot_be_used(
    bare: Callable[[str], Init],
    peer: Gateway,
    python_bootstrap: str,
    body: bytes,
    members: dict[str, object],
    kind: str,
) -> None:
    init = bare(python_bootstrap)
    await init.start(f"127.0.0.1:{peer.port}")
    connection = await peer.connection()
    assign(connection, body, **members)
    held = await connection.invoke()
    failed = (await connection.expect(FAILED)).header
    assert failed["errorType"] == kind
    assert failed["message"]
    assert held.refused is not None
    assert held.refused["reason"] == "not-assigned"
    assert (await connection.until("failed"))["served"] == 0
    assert not (init.root / "var/out.py").exists()


async def test_state_changes_and_events_may_come_in_any_pieces(launch: Launch) -> None:
    """Frames cut into single bytes are frames all the same."""
    running = await launch("def lambda_handler(e, c):\n    return e")
    connection = running.connection
    event = json.dumps({"k": "v" * 100}).encode()
    header = {"attempt": "slow", "requestId": "r", "functionArn": "a", "mode": "buffered"}
    queue: asyncio.Queue[object] = asyncio.Queue()
    connection.attempts["slow"] = queue  # type: ignore[assignment]
    frame = encode(5, header | {"size": len(event), "remaining": 30000}, event[:10])
    frame += encode(6, {"attempt": "slow"}, event[10:])
    for offset in range(len(frame)):
        connection.writer.write(frame[offset : offset + 1])
        if offset % 50 == 0:
            await asyncio.sleep(0.001)
    outcome = await connection.collect("slow", queue, 30)  # type: ignore[arg-type]
    assert outcome.body == event
