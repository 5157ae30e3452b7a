"""`python -m klambda_store.blobs.move FROM TO`: copy all blobs from one place to another.

A place is a directory (the store's data directory) or `s3`, the bucket that the store's environment
names (`KLAMBDA_BLOBS_S3_…`). It may run beside a store: what is copied is only read (blobs never
change), and a bucket takes what comes from several. A directory that is copied *to* must have no
store of its own at that time: that one owns it. Running it again goes on: what is there already is
left as it is. Each blob is read through its adapter and written under its digest, so a damaged one
is refused and named. Nothing is deleted at the old place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from klambda_kube.trust import BadBundle, trusting
from klambda_store.blobs.bucket import Bucket, session
from klambda_store.blobs.directory import DirectoryBlobs
from klambda_store.blobs.incoming import InUse
from klambda_store.blobs.port import BlobError, Blobs, DigestMismatch
from klambda_store.blobs.s3 import S3Blobs
from klambda_store.settings import from_environment

USAGE: Final = "usage: python -m klambda_store.blobs.move FROM TO (each a directory or `s3`)"


class Unplaced(Exception):
    """A place that cannot be used."""


def place_of(text: str, environ: Mapping[str, str], http: aiohttp.ClientSession) -> Blobs:
    """The adapter for a place. Uploads to a bucket wait in a folder of their own."""
    if text != "s3":
        return DirectoryBlobs(Path(text))
    settings = from_environment(environ)
    if settings.bucket is None:
        raise Unplaced("KLAMBDA_BLOBS_S3_ENDPOINT is not set")
    waiting = settings.data / "moving"
    return S3Blobs(waiting, Bucket(settings.bucket, http), prefix=settings.prefix)


async def move(source: Blobs, target: Blobs) -> tuple[int, int]:
    """Copy all blobs; how many were copied, and how many were there. Raises BlobError."""
    copied = there = 0
    for namespace in await source.namespaces():
        known = {(each.sha256, each.size) for each in await target.list(namespace)}
        for blob in await source.list(namespace):
            if (blob.sha256, blob.size) in known:
                there += 1
            elif await _copy(source, target, namespace, blob.sha256):
                copied += 1
    return copied, there


async def _copy(source: Blobs, target: Blobs, namespace: str, sha256: str) -> bool:
    async with source.download(namespace, sha256) as blob:
        if blob is None:  # deleted meanwhile
            return False
        async with target.upload(namespace) as upload:
            async for piece in blob.read(0, blob.size):
                await upload.write(piece)
            try:
                await upload.commit(sha256)
            except DigestMismatch as error:
                raise DigestMismatch(f"{namespace}/{sha256} is damaged: {error}") from error
    return True


async def run(source: str, target: str, environ: Mapping[str, str]) -> int:
    """The program."""
    try:
        trust = trusting(environ.get("KLAMBDA_CA_BUNDLE", ""))
    except BadBundle as error:
        return _not_moved(error)
    async with session(trust) as http:
        try:
            given, place = (place_of(text, environ, http) for text in (source, target))
            await asyncio.to_thread(place.open)
            with contextlib.closing(place):
                copied, there = await move(given, place)
        except (BlobError, InUse, OSError, Unplaced) as error:
            return _not_moved(error)
    sys.stdout.write(f"{copied} blobs copied, {there} were there\n")
    return 0


def _not_moved(error: Exception) -> int:
    sys.stderr.write(f"not moved: {type(error).__name__}: {error}\n")
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(USAGE)
    sys.exit(asyncio.run(run(sys.argv[1], sys.argv[2], os.environ)))
