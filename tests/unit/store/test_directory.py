"""Blobs in a directory: whole or not there, whatever goes wrong."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from klambda_store.blobs.directory import PIECE, DirectoryBlobs
from klambda_store.blobs.incoming import InUse
from klambda_store.blobs.port import DigestMismatch, NoSpace, TooLarge, is_digest, is_namespace

BODY = b"x" * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[DirectoryBlobs]:
    directory = DirectoryBlobs(tmp_path, max_blob=2_000_000)
    directory.open()
    yield directory
    directory.close()


async def put(
    blobs: DirectoryBlobs, body: bytes = BODY, expected: str | None = None, namespace: str = "ns"
) -> tuple[str, bool]:
    async with blobs.upload(namespace) as upload:
        for start in range(0, len(body), 7_000):
            await upload.write(body[start : start + 7_000])
        stored = await upload.commit(expected)
    assert stored.size == len(body)
    return stored.sha256, stored.created


async def read(blobs: DirectoryBlobs, sha256: str, namespace: str = "ns") -> bytes | None:
    async with blobs.download(namespace, sha256) as blob:
        if blob is None:
            return None
        return b"".join([piece async for piece in blob.read(0, blob.size)])


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "incoming").iterdir())


async def test_what_goes_in_comes_out(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    assert await put(blobs, expected=DIGEST) == (DIGEST, True)
    assert await read(blobs, DIGEST) == BODY
    assert await read(blobs, DIGEST, "other") is None, "another account does not see it"
    assert leftovers(tmp_path) == []
    assert (tmp_path / "blobs" / "ns" / DIGEST[:2] / DIGEST).stat().st_mode & 0o077 == 0


async def test_an_empty_blob(blobs: DirectoryBlobs) -> None:
    digest, _ = await put(blobs, b"")
    assert await read(blobs, digest) == b""


async def test_a_second_upload_renews_the_age_of_the_first(
    blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    await put(blobs)
    path = tmp_path / "blobs" / "ns" / DIGEST[:2] / DIGEST
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    assert await put(blobs) == (DIGEST, False)
    assert path.stat().st_ino == inode
    (info,) = await blobs.list("ns")
    assert info.modified > 1_000_000
    assert leftovers(tmp_path) == []


async def test_a_wrong_digest_leaves_nothing(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match=DIGEST):
        await put(blobs, expected="0" * 64)
    assert await blobs.list("ns") == []
    assert leftovers(tmp_path) == []


async def test_too_large_is_noticed_on_the_way(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    assert await put(blobs, b"y" * 2_000_000)
    with pytest.raises(TooLarge):
        await put(blobs, b"y" * 2_000_001)
    assert leftovers(tmp_path) == []


async def test_an_upload_that_is_dropped_leaves_nothing(
    blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    async with blobs.upload("ns") as upload:
        await upload.write(BODY)
        assert len(leftovers(tmp_path)) == 1
    assert leftovers(tmp_path) == []
    assert await blobs.list("ns") == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_volume_while_writing(
    blobs: DirectoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.write

    def write(file: int, data: bytes) -> int:
        if len(data) == 1000:
            raise OSError(code, "full")
        return real(file, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(NoSpace):
        await put(blobs)
    assert leftovers(tmp_path) == []
    assert await blobs.list("ns") == []


async def test_a_full_volume_at_the_last_moment(
    blobs: DirectoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(NoSpace):
        await put(blobs)
    monkeypatch.undo()
    assert await blobs.list("ns") == []
    assert leftovers(tmp_path) == []


async def test_other_trouble_is_not_called_full(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(file: int, data: bytes) -> int:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="disk"):
        await put(blobs)


async def test_short_writes_are_continued(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:100]))
    assert await put(blobs, expected=DIGEST) == (DIGEST, True)
    monkeypatch.undo()
    assert await read(blobs, DIGEST) == BODY


async def test_everything_is_on_the_disk_before_it_has_its_name(
    blobs: DirectoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(file: int) -> None:
        order.append("fsync " + Path(f"/proc/self/fd/{file}").readlink().parent.name)
        fsync(file)

    def noted_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    await put(blobs)
    assert order[0] == "fsync incoming", "the bytes first"
    assert order[-2:] == ["rename", "fsync ns"], "the directory of the name last"
    assert order[1:-2] == [f"fsync {tmp_path.name}", "fsync blobs"], "new directories between"


async def test_many_uploads_of_one_blob_at_once(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    results = await asyncio.gather(*(put(blobs) for _ in range(20)))
    assert {digest for digest, _ in results} == {DIGEST}
    assert await read(blobs, DIGEST) == BODY
    assert leftovers(tmp_path) == []


async def test_parts_and_pieces(blobs: DirectoryBlobs) -> None:
    body = os.urandom(PIECE * 2 + 10)
    digest, _ = await put(blobs, body)
    async with blobs.download("ns", digest) as blob:
        assert blob is not None
        assert blob.size == len(body)
        pieces = [piece async for piece in blob.read(5, len(body))]
        assert max(map(len, pieces)) == PIECE
        assert b"".join(pieces) == body[5:]


async def test_a_blob_deleted_while_it_is_read_is_read_to_its_end(blobs: DirectoryBlobs) -> None:
    await put(blobs)
    async with blobs.download("ns", DIGEST) as blob:
        assert blob is not None
        await blobs.delete("ns", DIGEST)
        assert b"".join([piece async for piece in blob.read(0, blob.size)]) == BODY
    assert await read(blobs, DIGEST) is None
    await blobs.delete("ns", DIGEST)


async def test_the_list_is_of_one_namespace_and_sorted(blobs: DirectoryBlobs) -> None:
    digests = sorted([(await put(blobs, bytes([number]) * 10))[0] for number in range(20)])
    await put(blobs, b"other", namespace="other")
    assert [blob.sha256 for blob in await blobs.list("ns")] == digests
    assert {blob.size for blob in await blobs.list("ns")} == {10}
    assert await blobs.list("none") == []


def test_a_start_sweeps_what_was_broken_off(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir(parents=True)
    (tmp_path / "incoming" / "half").write_bytes(b"half")
    directory = DirectoryBlobs(tmp_path)
    assert directory.open() == 1
    assert leftovers(tmp_path) == []
    assert directory.free_bytes() > 0
    directory.close()
    directory.close()


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    first, second = DirectoryBlobs(tmp_path), DirectoryBlobs(tmp_path)
    first.open()
    (tmp_path / "incoming" / "busy").write_bytes(b"")
    with pytest.raises(InUse):
        second.open()
    assert leftovers(tmp_path) == ["busy"], "the second swept nothing"
    first.close()
    second.open()
    second.close()


@pytest.mark.parametrize(
    ("text", "good"),
    [("a" * 64, True), ("A" * 64, False), ("a" * 63, False), ("a" * 64 + "\n", False), ("", False)],
)
def test_digests(text: str, good: bool) -> None:
    assert is_digest(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("a", True), ("a-1", True), ("a" * 63, True), ("a" * 64, False), ("", False), ("..", False),
     ("A", False), ("-a", False), ("a-", False), ("a/b", False), ("a\n", False)],
)  # fmt: skip
def test_namespaces(text: str, good: bool) -> None:
    assert is_namespace(text) is good
