"""Blobs in a bucket when the service misbehaves: nothing half-written, clean errors, no memory."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from klambda_store.blobs import bucket as bucket_module
from klambda_store.blobs.bucket import Bucket, session
from klambda_store.blobs.directory import DirectoryBlobs
from klambda_store.blobs.move import run
from klambda_store.blobs.port import NoSpace, Unavailable
from klambda_store.blobs.s3 import S3Blobs
from tests.integration.store.conftest import Start
from tests.integration.store.test_blob_contract import own_place, put, read
from tests.support.apiserver import free_ports
from tests.support.objectstore import ObjectStore
from tests.support.s3_service import Answer, error
from tests.support.store import Process

BODY = os.urandom(1_000_017)
DIGEST = hashlib.sha256(BODY).hexdigest()
KEY = f"b/default/{DIGEST[:2]}/{DIGEST}"


@pytest.fixture
def service() -> Iterator[ObjectStore]:
    with ObjectStore() as service:
        yield service


@pytest.fixture
async def blobs(service: ObjectStore, tmp_path: Path) -> AsyncIterator[S3Blobs]:
    async with session() as http:
        found = S3Blobs(tmp_path, Bucket(own_place(service), http), prefix="/b/")
        found.open()
        yield found
        found.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "BACKOFF_S", 0.0)


def on(method: str, what: Answer | int) -> Callable[[str, str], Answer | int | None]:
    """A fault of the next request with this method."""
    return lambda asked, _: what if asked == method else None


async def test_keys_are_laid_out_as_the_directory_is(blobs: S3Blobs, service: ObjectStore) -> None:
    await put(blobs, namespace="default", body=BODY)
    assert {key: data for key, (data, _) in service.objects.items()} == {KEY: BODY}
    service.objects |= {
        "b/default/readme": (b"", service.now()),
        f"b/default/zz/{DIGEST}": (b"", service.now()),
        "b/Not a namespace/x": (b"", service.now()),
        "elsewhere/x": (b"", service.now()),
    }
    assert [blob.sha256 for blob in await blobs.list("default")] == [DIGEST]
    assert await blobs.namespaces() == ["default"]


async def test_a_second_upload_renews_the_age(blobs: S3Blobs, service: ObjectStore) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    service.now = lambda: began
    await put(blobs)
    service.now = lambda: began + timedelta(hours=3)
    assert not (await put(blobs))[1]
    (blob,) = await blobs.list("ns")
    assert blob.modified == int((began + timedelta(hours=3)).timestamp())
    assert not await blobs.delete("ns", blob.sha256, unmodified=int(began.timestamp()))


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
@pytest.mark.parametrize(
    "trouble", [error(503, "SlowDown"), error(500, "InternalError"), 0], ids=["503", "500", "cut"]
)
async def test_passing_trouble_is_waited_out(
    blobs: S3Blobs, service: ObjectStore, method: str, trouble: Answer | int
) -> None:
    if isinstance(trouble, int):
        trouble = error(502, "")  # a proxy's
    service.faults += [on(method, trouble), on(method, trouble)]
    await put(blobs, BODY, namespace="default")
    assert service.objects[KEY][0] == BODY
    assert await read(blobs, DIGEST, "default") == BODY


@pytest.mark.parametrize(
    ("answer", "tries", "text"),
    [
        (error(403, "AccessDenied", "no"), 1, "403 AccessDenied: no"),
        (error(403, "RequestTimeTooSkewed"), 1, "RequestTimeTooSkewed"),
        (error(404, "NoSuchBucket", "gone"), 1, "404 NoSuchBucket: gone"),
        (error(400, "XAmzContentSHA256Mismatch"), 1, "XAmzContentSHA256Mismatch"),
        (error(503, "SlowDown"), 3, "503 SlowDown"),
        ((301, {}, b""), 1, "301"),
    ],
)
async def test_what_the_service_refuses_is_not_there(
    blobs: S3Blobs, service: ObjectStore, tmp_path: Path, answer: Answer, tries: int, text: str
) -> None:
    service.faults += [on("PUT", answer)] * tries
    with pytest.raises(Unavailable, match=text):
        await put(blobs, BODY, namespace="default")
    assert service.objects == {}
    assert service.faults == []
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await put(blobs, BODY, namespace="default") == (DIGEST, True), "it is tried anew"


async def test_a_full_service(blobs: S3Blobs, service: ObjectStore) -> None:
    service.faults.append(on("PUT", error(507, "XMinioStorageFull", "full")))
    with pytest.raises(NoSpace, match="XMinioStorageFull"):
        await put(blobs)


async def test_a_download_that_breaks_is_taken_up_again(
    blobs: S3Blobs, service: ObjectStore
) -> None:
    await put(blobs, BODY, namespace="default")
    service.faults += [on("GET", 300_000), on("GET", 400_000), on("GET", 10)]
    assert await read(blobs, DIGEST, "default") == BODY
    ranges = [each for each in service.requests if each.startswith("GET")]
    assert len(ranges) == 4


async def test_a_download_that_always_breaks_ends(blobs: S3Blobs, service: ObjectStore) -> None:
    await put(blobs, BODY, namespace="default")
    service.faults += [on("GET", 1000)] * 4
    with pytest.raises(Unavailable, match="broke off"):
        await read(blobs, DIGEST, "default")
    assert service.faults == []


async def test_an_object_that_goes_while_it_is_read(blobs: S3Blobs, service: ObjectStore) -> None:
    await put(blobs, BODY, namespace="default")
    async with blobs.download("default", DIGEST) as blob:
        assert blob is not None
        service.objects.clear()
        with pytest.raises(Unavailable, match="gone"):
            [piece async for piece in blob.read(1, 9)]


async def test_a_bucket_that_is_not_there_is_not_an_empty_one(
    service: ObjectStore, tmp_path: Path
) -> None:
    async with session() as http:
        blobs = S3Blobs(tmp_path, Bucket(own_place(service, bucket="other"), http))
        for call in (
            blobs.size("ns", DIGEST), blobs.list("ns"), blobs.namespaces(),
            blobs.delete("ns", DIGEST), read(blobs, DIGEST),
        ):  # fmt: skip
            with pytest.raises(Unavailable):
                await call


@pytest.mark.parametrize(
    "answer", [(200, {}, b"<html>"), (200, {}, b"x" * 5_000_000), 40], ids=["html", "long", "cut"]
)
async def test_a_listing_that_is_none(
    blobs: S3Blobs, service: ObjectStore, answer: Answer | int
) -> None:
    await put(blobs)
    service.faults.append(on("GET", answer))
    with pytest.raises(Unavailable, match="no listing"):
        await blobs.list("ns")
    assert len(await blobs.list("ns")) == 1


async def test_a_service_that_is_away(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with session() as http:
        place = own_place(ObjectStore(), endpoint=f"http://127.0.0.1:{port}")
        bucket = Bucket(place, http)
        blobs = S3Blobs(tmp_path, bucket)
        blobs.open()
        for call in (put(blobs), blobs.size("ns", DIGEST), blobs.list("ns"), read(blobs, DIGEST)):
            with pytest.raises(Unavailable):
                await call
        assert bucket.away
        assert list((tmp_path / "incoming").iterdir()) == []
        blobs.close()


def blob_path(body: bytes) -> str:
    return f"/v1/blobs/default/{hashlib.sha256(body).hexdigest()}"


async def test_the_process_keeps_blobs_in_the_bucket(
    start: Start, service: ObjectStore, tmp_path: Path
) -> None:
    environ = service.environ(KLAMBDA_BLOBS_S3_PREFIX="b")
    store = start(tmp_path, **environ)
    await asyncio.to_thread(store.wait)
    body = os.urandom(1024) * 1024 * 20  # 20 MiB
    path, before = blob_path(body), store.peak_memory()
    calls = [asyncio.to_thread(store.call, "PUT", path, body) for _ in range(3)]
    assert {status for status, _ in await asyncio.gather(*calls)} <= {200, 201}
    reads = [asyncio.to_thread(store.call, "GET", path) for _ in range(3)]
    for status, answer in await asyncio.gather(*reads):
        assert (status, len(answer)) == (200, len(body))
        assert answer == body
    assert store.peak_memory() - before < 24 * 1024 * 1024
    assert await asyncio.to_thread(store.call, "HEAD", path, sign_as="GET") == (200, b"")
    assert not (tmp_path / "blobs").exists()
    assert await asyncio.to_thread(store.end) == 0
    again = start(tmp_path, **environ)
    await asyncio.to_thread(again.wait)
    assert (await asyncio.to_thread(again.call, "GET", path))[0] == 200, "it is still there"


def test_while_the_service_is_away_the_store_says_so(start: Start, tmp_path: Path) -> None:
    with ObjectStore() as service:
        (port,) = free_ports(1)
        environ = service.environ(KLAMBDA_BLOBS_S3_ENDPOINT=f"http://127.0.0.1:{port}")
        store = start(tmp_path, **environ)
        store.wait()  # ready nevertheless: events need no bucket
        path = blob_path(BODY)
        for method, target, body in (
            ("GET", path, None), ("PUT", path, BODY), ("GET", "/v1/blobs/default", None),
            ("GET", "/v1/blobs/", None), ("DELETE", path, None),
        ):  # fmt: skip
            status, answer = store.call(method, target, body)
            assert (status, b'"Unavailable"' in answer) == (503, True)
        assert store.call("HEAD", path, sign_as="GET")[0] == 503
        assert list((tmp_path / "passing" / "incoming").iterdir()) == []
        assert "klambda_store_blobs_away 1.0" in metrics_of(store)
        assert store.end() == 0


def test_a_download_that_breaks_for_good_is_cut(
    start: Start, service: ObjectStore, tmp_path: Path
) -> None:
    store = start(tmp_path, **service.environ(KLAMBDA_BLOBS_S3_PREFIX="b"))
    store.wait()
    assert store.call("PUT", blob_path(BODY), BODY)[0] == 201
    service.faults += [on("GET", 1000)] * 4
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        store.call("GET", blob_path(BODY))
    assert store.call("GET", blob_path(BODY)) == (200, BODY), "the next one is whole"


def metrics_of(store: Process) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def test_the_mover_is_a_program(
    service: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = DirectoryBlobs(tmp_path / "old")
    old.open()
    await put(old, BODY, namespace="default")
    source, environ = str(tmp_path / "old"), service.environ(
        KLAMBDA_BLOBS_S3_PREFIX="b", KLAMBDA_DATA=str(tmp_path / "waiting")
    )  # fmt: skip
    assert await run("s3", source, environ) == 1
    assert "held by another process" in capsys.readouterr().err, "a store lives there"
    assert await run(source, "s3", {}) == 1
    assert "KLAMBDA_BLOBS_S3_ENDPOINT is not set" in capsys.readouterr().err
    assert await run(source, "s3", environ) == 0, "its store may go on meanwhile"
    old.close()
    assert capsys.readouterr().out == "1 blobs copied, 0 were there\n"
    assert service.objects[KEY][0] == BODY
    assert await run("s3", str(tmp_path / "new"), environ) == 0
    assert (tmp_path / "new" / "blobs" / "default" / DIGEST[:2] / DIGEST).read_bytes() == BODY
    service.faults += [on("GET", error(403, "AccessDenied", "no"))]
    assert await run(source, "s3", environ) == 1
    assert "Unavailable: the S3 service did not do GET: 403" in capsys.readouterr().err
