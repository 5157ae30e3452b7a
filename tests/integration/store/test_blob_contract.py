"""What every adapter promises: one suite, held to a directory, our S3 service, a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from klambda_core.s3 import Place
from klambda_core.signer import Credentials
from klambda_store.blobs.bucket import Bucket, session
from klambda_store.blobs.directory import DirectoryBlobs
from klambda_store.blobs.move import move
from klambda_store.blobs.port import Blobs, DigestMismatch, TooLarge
from klambda_store.blobs.s3 import S3Blobs
from tests.support import objectstore, versity
from tests.support.objectstore import ObjectStore

LIMIT = 3_000_000
BODY = os.urandom(1_000_017)
DIGEST = hashlib.sha256(BODY).hexdigest()
PREFIX = "team/blobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An adapter, and what it left in `incoming`."""

    blobs: Blobs
    root: Path

    def leftovers(self) -> list[str]:
        return [path.name for path in (self.root / "incoming").iterdir()]


def versity_place(endpoint: str, bucket: str) -> Place:
    key = Credentials(access_key_id=versity.KEY_ID, secret_access_key=versity.SECRET)
    return Place(endpoint=endpoint, bucket=bucket, region=versity.REGION, credentials=key)


def own_place(service: ObjectStore, **changes: Any) -> Place:
    key = Credentials(access_key_id=objectstore.KEY_ID, secret_access_key=objectstore.SECRET)
    members: dict[str, Any] = {
        "endpoint": service.endpoint, "bucket": objectstore.BUCKET, "region": objectstore.REGION,
        "credentials": key,
    }  # fmt: skip
    return Place(**members | changes)


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with versity.running_versity(tmp_path_factory.mktemp("s3")) as endpoint:
        versity.client_of(endpoint).create_bucket(
            Bucket="blobs", CreateBucketConfiguration={"LocationConstraint": versity.REGION}
        )
        yield endpoint


FULL = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture(params=["directory", "s3", pytest.param("versitygw", marks=FULL)])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    async with AsyncExitStack() as stack:
        blobs: Blobs
        if request.param == "directory":
            blobs = DirectoryBlobs(tmp_path, max_blob=LIMIT)
        else:
            http = await stack.enter_async_context(session())
            if request.param == "s3":
                service = stack.enter_context(ObjectStore(page=3))
                place, prefix = own_place(service), PREFIX
            else:
                endpoint = request.getfixturevalue("real_server")
                # A test's own part of the bucket.
                place, prefix = versity_place(endpoint, "blobs"), tmp_path.name
            blobs = S3Blobs(tmp_path, Bucket(place, http), prefix=prefix, max_blob=LIMIT)
        assert blobs.open() == 0
        yield Kept(blobs=blobs, root=tmp_path)
        blobs.close()


async def put(
    blobs: Blobs, body: bytes = BODY, expected: str | None = None, namespace: str = "ns"
) -> tuple[str, bool]:
    async with blobs.upload(namespace) as upload:
        for start in range(0, len(body), 300_000):
            await upload.write(body[start : start + 300_000])
        stored = await upload.commit(expected)
    assert stored.size == len(body)
    return stored.sha256, stored.created


async def read(
    blobs: Blobs, sha256: str, namespace: str = "ns", *, start: int = 0, stop: int | None = None
) -> bytes | None:
    async with blobs.download(namespace, sha256) as blob:
        if blob is None:
            return None
        end = blob.size if stop is None else stop
        return b"".join([piece async for piece in blob.read(start, end)])


async def test_what_goes_in_comes_out(kept: Kept) -> None:
    assert await put(kept.blobs, expected=DIGEST) == (DIGEST, True)
    assert await read(kept.blobs, DIGEST) == BODY
    assert await kept.blobs.size("ns", DIGEST) == len(BODY)
    assert await put(kept.blobs) == (DIGEST, False)
    assert await read(kept.blobs, DIGEST) == BODY
    assert kept.leftovers() == []


async def test_an_empty_blob(kept: Kept) -> None:
    digest, created = await put(kept.blobs, b"")
    assert created
    assert await read(kept.blobs, digest) == b""
    assert await kept.blobs.size("ns", digest) == 0


async def test_what_is_not_there(kept: Kept) -> None:
    assert await read(kept.blobs, DIGEST) is None
    assert await kept.blobs.size("ns", DIGEST) is None
    assert await kept.blobs.list("ns") == []
    assert await kept.blobs.namespaces() == []
    assert await kept.blobs.delete("ns", DIGEST)
    await put(kept.blobs)
    assert await read(kept.blobs, DIGEST, "other") is None, "another account does not see it"
    assert await kept.blobs.size("other", DIGEST) is None


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (5, 600_000), (999_999, 1_000_017), (0, 700_000), (7, 7)]
)
async def test_parts(kept: Kept, start: int, stop: int) -> None:
    await put(kept.blobs)
    assert await read(kept.blobs, DIGEST, start=start, stop=stop) == BODY[start:stop]


async def test_an_open_blob_is_read_more_than_once(kept: Kept) -> None:
    await put(kept.blobs)
    async with kept.blobs.download("ns", DIGEST) as blob:
        assert blob is not None
        for start, stop in ((10, 20), (0, blob.size), (5, 9)):
            pieces = [piece async for piece in blob.read(start, stop)]
            assert b"".join(pieces) == BODY[start:stop]
            assert max(map(len, pieces)) <= 256 * 1024


@pytest.mark.parametrize("how", ["digest", "large", "dropped"])
async def test_what_is_no_blob_leaves_nothing(kept: Kept, how: str) -> None:
    if how == "digest":
        with pytest.raises(DigestMismatch, match=DIGEST):
            await put(kept.blobs, expected="0" * 64)
    elif how == "large":
        with pytest.raises(TooLarge):
            await put(kept.blobs, b"y" * (LIMIT + 1))
    else:
        async with kept.blobs.upload("ns") as upload:
            await upload.write(BODY)
            assert len(kept.leftovers()) == 1
    assert await kept.blobs.list("ns") == []
    assert kept.leftovers() == []


async def test_many_uploads_and_readers_of_one_blob_at_once(kept: Kept) -> None:
    results = await asyncio.gather(*(put(kept.blobs) for _ in range(8)))
    assert {digest for digest, _ in results} == {DIGEST}
    assert any(created for _, created in results)
    reads = await asyncio.gather(*(read(kept.blobs, DIGEST) for _ in range(8)))
    assert set(reads) == {BODY}
    assert kept.leftovers() == []


async def test_listings_are_whole_sorted_and_of_one_namespace(kept: Kept) -> None:
    digests = sorted([(await put(kept.blobs, bytes([number]) * 10))[0] for number in range(8)])
    await put(kept.blobs, b"other", namespace="other")
    await put(kept.blobs, b"longer", namespace="ns-2")
    found = await kept.blobs.list("ns")
    assert [blob.sha256 for blob in found] == digests
    assert {blob.size for blob in found} == {10}
    assert await kept.blobs.namespaces() == ["ns", "ns-2", "other"]


async def test_a_sweep_spares_what_was_uploaded_again(kept: Kept) -> None:
    await put(kept.blobs)
    (blob,) = await kept.blobs.list("ns")
    assert not await kept.blobs.delete("ns", DIGEST, unmodified=blob.modified - 1)
    assert await kept.blobs.size("ns", DIGEST) is not None
    assert await kept.blobs.delete("ns", DIGEST, unmodified=blob.modified)
    assert await kept.blobs.size("ns", DIGEST) is None
    assert await kept.blobs.delete("ns", DIGEST, unmodified=blob.modified)


async def test_a_blob_deleted_while_it_is_read_is_read_to_its_end(kept: Kept) -> None:
    await put(kept.blobs, BODY[:200_000])
    digest = hashlib.sha256(BODY[:200_000]).hexdigest()
    async with kept.blobs.download("ns", digest) as blob:
        assert blob is not None
        await kept.blobs.delete("ns", digest)
        assert b"".join([piece async for piece in blob.read(0, blob.size)]) == BODY[:200_000]
    assert await read(kept.blobs, digest) is None


async def test_blobs_move_between_places(kept: Kept, tmp_path: Path) -> None:
    old = DirectoryBlobs(tmp_path / "old", max_blob=LIMIT)
    old.open()
    small, _ = await put(old, b"small")
    await put(old, namespace="other")
    await put(kept.blobs, b"small")
    assert await move(old, kept.blobs) == (1, 1)
    assert await move(old, kept.blobs) == (0, 2)
    assert await read(kept.blobs, DIGEST, "other") == BODY
    back = DirectoryBlobs(tmp_path / "back", max_blob=LIMIT)
    back.open()
    assert await move(kept.blobs, back) == (2, 0)
    assert await read(back, small) == b"small"
    path = tmp_path / "old" / "blobs" / "other" / DIGEST[:2] / DIGEST
    path.write_bytes(b"damaged")
    shutil.rmtree(tmp_path / "back" / "blobs" / "other")
    with pytest.raises(DigestMismatch, match=f"other/{DIGEST} is damaged"):
        await move(old, back)
    for place in (old, back):
        place.close()
