"""Services whose certificate a private authority signed: with the bundle they are read and written,
without it each part refuses them in its own words."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from klambda_core.crd.code import S3Source, Sources
from klambda_core.s3 import Place
from klambda_core.signer import Credentials
from klambda_gateway.code.fetching import Allowed, Fetcher, Unfetched
from klambda_gateway.events.deliver.post import Session
from klambda_gateway.images.finder import ImageFinder, ImageSettings
from klambda_gateway.images.trouble import ImageTrouble
from klambda_kube.trust import Trust, trusting
from klambda_store.blobs.bucket import Bucket as BlobBucket
from klambda_store.blobs.bucket import session
from klambda_store.blobs.port import Unavailable
from klambda_store.blobs.s3 import S3Blobs
from tests.integration.store.test_blob_contract import own_place, put
from tests.support import bucket as bucket_keys
from tests.support.bucket import Bucket
from tests.support.objectstore import ObjectStore
from tools.cluster import pki
from tools.cluster.pki import Pki


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority, and a certificate of its for 127.0.0.1 (``apiserver``)."""
    return pki.create(
        tmp_path_factory.mktemp("authority"), addresses=["127.0.0.1"], identities=[],
        now=datetime.datetime.now(datetime.UTC),
    )  # fmt: skip


@pytest.fixture
def tls(keys: Pki) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys.certificate("apiserver"), keys.key("apiserver"))
    return context


@pytest.fixture(params=[True, False], ids=["with the bundle", "without"])
def trust(request: pytest.FixtureRequest, keys: Pki) -> Trust:
    return trusting(str(keys.ca) if request.param else "")


@pytest.fixture
def bucket(tls: ssl.SSLContext) -> Iterator[Bucket]:
    with Bucket(tls) as bucket:
        bucket.objects["packages", "code.zip", None] = b"a package"
        bucket.files["/web/code.zip"] = b"a package"
        yield bucket


async def test_code_from_buckets_and_addresses(bucket: Bucket, trust: Trust) -> None:
    key = Credentials(access_key_id=bucket_keys.KEY_ID, secret_access_key=bucket_keys.SECRET)
    allowed = Allowed(
        endpoint=bucket.endpoint, region=bucket_keys.REGION, credentials=key, buckets=("*",),
        hosts=("*",),
    )  # fmt: skip
    digest = hashlib.sha256(b"a package").hexdigest()
    async with Fetcher(allowed, trust=trust) as fetcher:
        sources = (
            Sources(s3=S3Source(bucket="packages", key="code.zip")),
            Sources(url=f"{bucket.endpoint}/web/code.zip", sha256=digest),
        )
        for source in sources:
            if trust is True:
                with pytest.raises(Unfetched, match="ClientConnectorCertificateError"):
                    await fetcher.get(source)
            else:
                with await fetcher.get(source) as upload:
                    assert upload.file().read() == b"a package"


async def test_blobs(tls: ssl.SSLContext, trust: Trust, tmp_path: Path) -> None:
    with ObjectStore(tls=tls) as service:
        place: Place = own_place(service)
        async with session(trust) as http:
            blobs = S3Blobs(tmp_path, BlobBucket(place, http))
            blobs.open()
            if trust is True:
                with pytest.raises(Unavailable, match="certificate verify failed"):
                    await put(blobs)
            else:
                assert (await put(blobs))[1]
            assert blobs.away() is (trust is True)
            blobs.close()


async def test_destinations_and_registries(tls: ssl.SSLContext, trust: Trust) -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", _nothing)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=tls)
    destinations = Session(trust)
    finder = ImageFinder(ImageSettings(), _no_secrets, trust=trust)
    uri = f"127.0.0.1:{server.port}/orders:1"
    try:
        if trust is True:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await destinations().post(f"https://127.0.0.1:{server.port}/sink")
            with pytest.raises(ImageTrouble, match=r"127\.0\.0\.1"):
                await finder.find(uri, None, "x86_64")
        else:
            async with destinations().post(f"https://127.0.0.1:{server.port}/sink") as answer:
                assert answer.status == 404
            with pytest.raises(ImageTrouble) as caught:
                await finder.find(uri, None, "x86_64")
            assert caught.value.reason == "ImageNotFound"
    finally:
        await destinations.close()
        await server.close()


async def _nothing(_: web.Request) -> web.Response:
    return web.json_response({}, status=404)


async def _no_secrets(_: Sequence[str]) -> list[Mapping[str, Any]]:
    return []
