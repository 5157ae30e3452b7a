"""The store's process, which `python -m klambda_store` runs.

It listens at once and becomes ready when it knows the installation key: from
KLAMBDA_INSTALLATION_KEY, or from the Secret, which the gateway makes at its first start. SIGTERM:
not ready, no new connections, requests in flight are finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import aiohttp
import uvloop
from aiohttp import web

from klambda_kube import config
from klambda_kube.api import Api
from klambda_kube.installation import wait_for_key
from klambda_kube.trust import BadBundle, trusting
from klambda_obs import logs
from klambda_obs.ending import call_when_told
from klambda_obs.metrics import Metrics
from klambda_store.app import Access, Traffic, build_app
from klambda_store.blobs.bucket import Bucket, session
from klambda_store.blobs.directory import DirectoryBlobs
from klambda_store.blobs.port import Blobs
from klambda_store.blobs.s3 import S3Blobs
from klambda_store.events.api import EventsApi
from klambda_store.events.port import EventStore, Retention
from klambda_store.events.sqlite import SqliteEvents
from klambda_store.settings import Settings, from_environment

SHUTDOWN_S = 25.0
"""Below the pod's grace of 30 s."""

_log = logs.get("klambda.store")


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    call_when_told(stop.set)
    async with session(trusting(settings.ca_bundle)) as http:
        await _serve(settings, blobs_of(settings, http), stop)


def blobs_of(settings: Settings, http: aiohttp.ClientSession) -> Blobs:
    """Where the settings say that blobs are kept."""
    if settings.bucket is None:
        return DirectoryBlobs(settings.data)
    # A folder of its own: the data directory's blobs stay free to be moved while this store runs.
    waiting = settings.data / "passing"
    return S3Blobs(waiting, Bucket(settings.bucket, http), prefix=settings.prefix)


async def _serve(settings: Settings, blobs: Blobs, stop: asyncio.Event) -> None:
    metrics = Metrics("store")
    swept = await asyncio.to_thread(blobs.open)
    metrics.gauge_of("free_bytes", "Bytes free on the volume.", blobs.free_bytes)
    metrics.gauge_of("blobs_away", "1 while the S3 service does not do as asked.", blobs.away)
    access = Access(key=settings.installation_key)
    traffic = Traffic()
    kept = _events(settings)
    events = EventsApi(kept)
    metrics.gauge_of("events_closed", "1 while no events are served.", lambda: bool(events.closed))
    app = build_app(blobs, access=access, metrics=metrics, traffic=traffic, events=events)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    try:
        await runner.setup()
        site = web.TCPSite(runner, port=settings.port)
        await site.start()
        _log.info("listening", port=settings.port, swept=swept, blobs=_where(settings))
        async with asyncio.TaskGroup() as group:
            tasks = (
                group.create_task(_learn_key(settings, access)),
                group.create_task(events.run()),
            )
            await stop.wait()
            for task in tasks:
                task.cancel()
        _log.info("stopping")
        traffic.stopping = True
        events.arrivals.stop()
        await site.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(traffic.idle(), SHUTDOWN_S)
    finally:
        await runner.cleanup()
        await kept.close()
        blobs.close()


def _events(settings: Settings) -> EventStore:
    retention = Retention(
        succeeded=settings.event_retention_s, failed=settings.failed_event_retention_s
    )
    if not settings.events_database_url:
        return SqliteEvents(settings.data, retention=retention)
    from klambda_store.events.postgres import PostgresEvents  # an optional dependency

    return PostgresEvents(settings.events_database_url, retention=retention)


def _where(settings: Settings) -> str:
    if settings.bucket is None:
        return str(settings.data)
    return f"{settings.bucket.endpoint} {settings.bucket.bucket} {settings.prefix}".strip()


async def _learn_key(settings: Settings, access: Access) -> None:
    if access.key:
        return
    async with Api(config.load()) as api:
        access.key = await wait_for_key(
            api, namespace=settings.namespace, name=settings.installation_secret
        )
    _log.info("ready")


def main() -> None:
    """The entry point."""
    settings = from_environment(os.environ)
    logs.setup(settings.log_level)
    try:
        uvloop.run(serve(settings))
    except BadBundle as error:
        _log.error("bad-settings", error=str(error))
        sys.exit(2)
