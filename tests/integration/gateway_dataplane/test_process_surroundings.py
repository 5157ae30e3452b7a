"""What surrounds a gateway process goes wrong: its clock, its watches, its instances' greetings.

Real processes under load; what callers were told is compared with what the function itself did.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.gateway_dataplane.conftest import ControlPlane
from tests.integration.gateway_dataplane.test_gateway_process import code, create, settled
from tests.integration.gateway_dataplane.test_process_faults import Scene, play  # noqa: F401
from tests.support.apiserver import ApiServer
from tests.support.faultproxy import FaultProxy, status
from tests.support.load import Load, Signer, assert_exact, source
from tests.support.wallclock import WallClock, compiler

CALLS = 20
HOUR = 3600
WITHIN_S = 60.0


@contextlib.asynccontextmanager
async def changed(plane: ControlPlane, number: int, **environment: str) -> AsyncIterator[None]:
    """Let a gateway run with another environment meanwhile."""
    gateway = plane.gateways[number]
    before = gateway.environment

    async def again() -> None:
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.process.wait, WITHIN_S)
        await asyncio.to_thread(plane.restart, number)

    gateway.environment = before | environment
    await again()
    try:
        yield
    finally:
        gateway.environment = before
        await again()


def assert_nothing_failed(scene: Scene) -> None:
    for load in scene.loads:
        assert load.statuses.keys() == {"200"}, load.bodies
        assert_exact(load, scene.seen)


async def seen(condition: Callable[[], bool], what: str) -> None:
    """Wait until something real has happened."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  processes announce nothing
            await asyncio.sleep(0.02)
    assert condition(), what


# --- the clock ------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.skipif(compiler() is None, reason="no C compiler on this machine")
async def test_a_clock_that_jumps_by_minutes_and_by_hours(
    control_plane: ControlPlane,
    play: Scene,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Only signatures are judged by the time of day; warm, cold and asynchronous requests run."""
    clock, variables = WallClock(tmp_path), {"Variables": {"WITNESS": play.seen.address}}
    cold = ["clock-forward", "clock-back"]
    for name in cold:
        await asyncio.to_thread(create, control_plane, name, source(), Environment=variables)
    async with changed(control_plane, 0, **clock.environment):

        async def minutes() -> None:
            for offset in (200, -200, 0):
                clock.put(offset)
                await play.calls(CALLS)

        await play.during(minutes(), callers=2)
        for number, (name, offset) in enumerate(zip(cold, (3 * HOUR, -5 * HOUR), strict=True)):
            await _by_hours(play, clock, offset, long_run=900_000_000 + number)
            await _cold_and_event(control_plane, play, name, offset, 800_000_000 + 2 * number)
    assert_nothing_failed(play)
    for name in cold:
        await asyncio.to_thread(control_plane.client().delete_function, FunctionName=name)


async def _by_hours(scene: Scene, clock: WallClock, offset: int, *, long_run: int) -> None:
    """Jump while a request runs, and go on."""
    load = scene.loads[0]
    load.signer.put(clock.offset)
    running = asyncio.create_task(load.once(long_run, seconds=1.0))
    await seen(lambda: long_run in scene.seen.begun, "it runs")
    clock.put(offset)
    assert await running == "200"
    assert await load.once(long_run + 100) == "403", "signed for another hour"
    assert b"Signature" in load.bodies.pop(long_run + 100)
    del load.told[long_run + 100]
    load.signer.put(offset)
    await scene.during(scene.calls(CALLS), callers=2)


async def _cold_and_event(
    plane: ControlPlane, scene: Scene, name: str, offset: int, number: int
) -> None:
    """A first request, for which code must be fetched, and an event, which the store must take."""
    keys = await asyncio.to_thread(plane.keys)
    told = []
    for event in (False, True):
        signer = Signer(
            f"http://127.0.0.1:{plane.gateways[0].http}",
            name,
            key=keys["accessKeyId"],
            secret=keys["secretAccessKey"],
            event=event,
        )
        signer.put(offset)
        told.append(await Load(signer).once(number + event))
    assert told == ["200", "202"]
    await seen(lambda: number + 1 in scene.seen.ended, "the event runs")
    assert scene.seen.begun[number] == scene.seen.begun[number + 1] == 1


# --- the watches ----------------------------------------------------------------------------------


def through(proxy: FaultProxy, server: ApiServer, path: Path) -> Path:
    """Write a kubeconfig that leads through the proxy."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] = {"server": proxy.url}
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.timeout(300)
async def test_watches_cut_expired_and_replayed_late_while_code_changes(
    control_plane: ControlPlane,
    play: Scene,  # noqa: F811
    tmp_path: Path,
) -> None:
    server = control_plane.server
    generations = iter(range(1, 10))
    name = play.loads[0].signer.function

    def update() -> None:
        client = control_plane.client(1)
        client.update_function_code(FunctionName=name, ZipFile=code(source(next(generations))))
        settled(client, name)

    async with FaultProxy(server.url, server.ssl_context()) as proxy:
        path = through(proxy, server, tmp_path / "kubeconfig")
        async with changed(control_plane, 0, KUBECONFIG=str(path)):
            first, second = play.loads

            async def faults() -> None:
                await play.calls(CALLS)
                proxy.refusing = True
                proxy.cut_streams()
                await asyncio.to_thread(update)
                await second.answered(CALLS)
                proxy.refusing = False
                await play.calls(CALLS)
                proxy.fail(status(410, "Expired"), query="watch=true", times=6)
                proxy.cut_streams()
                await asyncio.to_thread(update)
                await play.calls(CALLS)
                proxy.stall_streams()
                await asyncio.to_thread(update)
                await second.answered(CALLS)
                proxy.resume_streams()
                await play.calls(CALLS)

            await play.during(faults(), callers=2)
            assert first.told
    assert_nothing_failed(play)


# --- greetings ------------------------------------------------------------------------------------


class Recorder:
    """Stands between instances and a gateway; keeps what the first of them said first."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.said = bytearray()
        self.made = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        first = self.made == 1
        self._writers.append(writer)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(_pass(up_reader, writer))
        self._tasks.add(back)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if first and len(self.said) < 4096:
                    self.said += data
                up_writer.write(data)
                await up_writer.drain()
        # The gateway hears nothing of this end: its connection stays, half open.

    def cut(self) -> None:
        """End the connections on the instances' side only."""
        for writer in self._writers:
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def test_greetings_that_come_twice(control_plane: ControlPlane, play: Scene) -> None:  # noqa: F811
    """A recorded hello proves nothing; an instance that dials anew takes its own place."""
    gateway, kubelet = control_plane.gateways[0], control_plane.kubelet
    assert kubelet is not None
    recorder, addresses = Recorder(gateway.frames), kubelet.gateways
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kubelet.gateways = [f"127.0.0.1:{port}", *addresses[1:]]

    async def replay() -> None:
        await play.calls(CALLS)
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.frames)
            writer.write(bytes(recorder.said))
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(WITHIN_S):
                    while await reader.read(65536):
                        pass
            writer.transport.abort()
        await play.calls(CALLS)

    try:
        await play.during(replay(), callers=2)
        before = recorder.made
        recorder.cut()
        await seen(lambda: recorder.made > before, "the instance dials anew")
        await play.during(play.calls(CALLS), callers=2)
    finally:
        kubelet.gateways = addresses
        server.close()
    assert_nothing_failed(play)
