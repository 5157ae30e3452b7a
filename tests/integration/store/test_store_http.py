"""The store over HTTP: every row of the contract's table, and a client that behaves badly."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from klambda_core.tickets import ticket
from klambda_obs.metrics import Metrics
from klambda_store.app import Access, Traffic, build_app
from klambda_store.blobs.directory import PIECE, DirectoryBlobs

KEY = "ab" * 32
NOW = 1_790_000_000.0
BODY = os.urandom(3 * PIECE + 17)
DIGEST = hashlib.sha256(BODY).hexdigest()
LIMIT = 1_000_000


class Store:
    def __init__(self, server: TestServer, session: aiohttp.ClientSession, access: Access) -> None:
        self.server = server
        self.session = session
        self.access = access

    def url(self, method: str, path: str, key: str = KEY) -> str:
        return str(self.server.make_url(path)) + "?" + ticket(key, method, path, now=NOW)

    async def call(
        self, method: str, path: str, data: Any = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        signed_as = "GET" if method == "HEAD" else method
        async with self.session.request(
            method, self.url(signed_as, path), data=data, headers=headers
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    async def error(self, method: str, path: str, data: Any = None) -> tuple[int, str]:
        async with self.session.request(method, self.url(method, path), data=data) as answer:
            document = await answer.json()
            assert set(document) == {"error", "message"}
            return answer.status, document["error"]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    blobs = DirectoryBlobs(tmp_path, max_blob=LIMIT)
    blobs.open()
    access = Access(key=KEY, now=lambda: NOW)
    server = TestServer(
        build_app(blobs, access=access, metrics=Metrics("store"), traffic=Traffic())
    )
    async with server, aiohttp.ClientSession() as session:
        yield Store(server, session, access)
    blobs.close()


def path(digest: str = DIGEST, namespace: str = "default") -> str:
    return f"/v1/blobs/{namespace}/{digest}"


async def test_a_blob_that_was_uploaded_again_is_not_swept(store: Store) -> None:
    assert (await store.call("GET", "/v1/blobs/"))[1] == b'{"namespaces": []}'
    await store.call("PUT", path(), BODY)
    assert (await store.call("GET", "/v1/blobs/"))[1] == b'{"namespaces": ["default"]}'
    blobs = json.loads((await store.call("GET", "/v1/blobs/default"))[1])["blobs"]
    modified = blobs[0]["modified"]

    async def delete(unmodified: object) -> tuple[int, bytes]:
        url = f"{store.url('DELETE', path())}&unmodified={unmodified}"
        async with store.session.delete(url) as answer:
            return answer.status, await answer.read()

    for text in ("x", "-1", "1" * 13):
        assert (await delete(text))[0] == 400
    status, body = await delete(modified - 1)
    assert (status, json.loads(body)["error"]) == (412, "Modified")
    assert (await store.call("HEAD", path()))[0] == 200
    assert await delete(modified) == (204, b"")
    assert (await store.call("HEAD", path()))[0] == 404
    assert await delete(modified) == (204, b"")


async def test_put_get_head_delete(store: Store) -> None:
    assert (await store.call("PUT", path(), BODY))[:2] == (201, b"")
    assert (await store.call("PUT", path(), BODY))[0] == 200
    status, body, headers = await store.call("GET", path())
    assert (status, body) == (200, BODY)
    assert headers["Content-Length"] == str(len(BODY))
    assert headers["ETag"] == f'"{DIGEST}"'
    status, body, headers = await store.call("HEAD", path())
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(BODY)))
    assert (await store.call("DELETE", path()))[0] == 204
    assert (await store.call("DELETE", path()))[0] == 204
    assert await store.error("GET", path()) == (404, "NotFound")
    assert (await store.call("HEAD", path()))[0] == 404


async def test_post_names_the_digest(store: Store) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 1000):
            yield BODY[start : start + 1000]

    async with store.session.post(store.url("POST", "/v1/blobs/default"), data=pieces()) as answer:
        assert answer.status == 201
        assert await answer.json() == {"sha256": DIGEST, "size": len(BODY)}
    assert (await store.call("GET", path()))[1] == BODY


async def test_the_list(store: Store) -> None:
    await store.call("PUT", path(), BODY)
    await store.call("PUT", path(namespace="other"), BODY)
    async with store.session.get(store.url("GET", "/v1/blobs/default")) as answer:
        (blob,) = (await answer.json())["blobs"]
    assert blob.pop("modified") > 1_700_000_000
    assert blob == {"sha256": DIGEST, "size": len(BODY)}


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, len(BODY)),
        ("bytes=-10", len(BODY) - 10, len(BODY)),
        (f"bytes=5-{len(BODY) * 2}", 5, len(BODY)),
    ],
)
async def test_ranges(store: Store, wanted: str, start: int, stop: int) -> None:
    await store.call("PUT", path(), BODY)
    status, body, headers = await store.call("GET", path(), headers={"Range": wanted})
    assert (status, body) == (206, BODY[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"


async def test_ranges_that_are_none(store: Store) -> None:
    await store.call("PUT", path(), BODY)
    assert (await store.call("GET", path(), headers={"Range": "lines=1-2"}))[:2] == (200, BODY)
    beyond = {"Range": f"bytes={len(BODY)}-"}
    assert (await store.call("GET", path(), headers=beyond))[0] == 416


async def test_what_is_refused(store: Store) -> None:
    assert await store.error("PUT", path("0" * 64), BODY) == (400, "DigestMismatch")
    assert await store.error("PUT", path("xyz"), BODY) == (400, "BadDigest")
    assert await store.error("POST", "/v1/blobs/No_Name", BODY) == (400, "BadNamespace")
    assert await store.error("POST", "/v1/blobs/default", b"x" * (LIMIT + 1)) == (413, "TooLarge")
    assert (await store.call("POST", path(), BODY))[0] == 405
    async with store.session.get(store.url("GET", "/v1/blobs/default")) as answer:
        assert (await answer.json())["blobs"] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_no_ticket_no_answer(store: Store, method: str) -> None:
    await store.call("PUT", path(), BODY)
    for url in (
        str(store.server.make_url(path())),
        store.url("GET", path("1" * 64)).replace("1" * 64, DIGEST),
        store.url(method, path(), key="cd" * 32),
    ):
        async with store.session.request(method, url, data=b"") as answer:
            assert answer.status == 403
    store.access.now = lambda: NOW + 3600
    url = store.url("GET" if method == "HEAD" else method, path())
    async with store.session.request(method, url, data=b"") as answer:
        assert answer.status == 403
        if method != "HEAD":
            assert (await answer.json())["error"] == "ExpiredTicket"
    store.access.now = lambda: NOW
    assert (await store.call("GET", path()))[0] == 200


async def test_before_the_key_is_known(store: Store) -> None:
    store.access.key = ""
    assert await store.error("GET", path()) == (503, "NotReady")
    async with store.session.get(store.server.make_url("/readyz")) as answer:
        assert answer.status == 503
        assert (await answer.json())["failures"] == {"key": "waiting for the installation key"}
    async with store.session.get(store.server.make_url("/healthz")) as answer:
        assert answer.status == 200
    store.access.key = KEY
    async with store.session.get(store.server.make_url("/readyz")) as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})


async def test_what_passed_is_counted(store: Store) -> None:
    await store.call("PUT", path(), BODY)
    await store.call("GET", path())
    async with store.session.get(store.server.make_url("/metrics")) as answer:
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'klambda_store_requests_total{method="PUT",status="201"} 1.0' in text
    assert f"klambda_store_received_bytes_total {float(len(BODY))}" in text
    assert f"klambda_store_sent_bytes_total {float(len(BODY))}" in text


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_breaks_off_leaves_nothing(
    store: Store, tmp_path: Path, chunked: bool
) -> None:
    target = store.url("POST", "/v1/blobs/default").split("/", 3)[3]
    reader, writer = await asyncio.open_connection("127.0.0.1", store.server.port)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
    writer.write(f"POST /{target} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    part = BODY[: 2 * PIECE]
    writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
    await writer.drain()
    incoming = tmp_path / "incoming"
    async with asyncio.timeout(60):
        while not any(incoming.iterdir()):  # noqa: ASYNC110 - another's doing
            await asyncio.sleep(0.01)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    async with asyncio.timeout(60):
        while any(incoming.iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with store.session.get(store.url("GET", "/v1/blobs/default")) as answer:
        assert (await answer.json())["blobs"] == []
    del reader


async def test_uploads_side_by_side(store: Store) -> None:
    bodies = [os.urandom(300_000 + number) for number in range(16)] * 2
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]
    pairs = list(zip(digests, bodies, strict=True))
    answers = await asyncio.gather(*(store.call("PUT", path(d), body) for d, body in pairs))
    assert {status for status, _, _ in answers} <= {200, 201}
    for digest, body in pairs:
        assert (await store.call("GET", path(digest)))[1] == body
