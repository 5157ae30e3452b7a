"""A real API server, a real store process, the real application on uvicorn; boto3 as the client.

There is no operator: ``Rig.settle`` writes the status that it would write.
"""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
import uvicorn

from klambda_core.crd import Function, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.kinds import FUNCTION, SECRET, VERSION, Kind
from klambda_core.names import object_name
from klambda_core.signer import Credentials
from klambda_core.urls import UrlPlace, url_id
from klambda_gateway.api.app import build_app
from klambda_gateway.api.call import Services
from klambda_gateway.api.grants import Grants
from klambda_gateway.api.links import CodeLinks
from klambda_gateway.api.objects import Objects
from klambda_gateway.auth.accounts import Accounts
from klambda_gateway.auth.bearer import Bearer
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.keys import Keys, ensure_default_key
from klambda_gateway.auth.rbac import Rbac
from klambda_gateway.blobs import Blobs
from klambda_gateway.code.fetching import Allowed, Fetcher
from klambda_gateway.code.resolver import CodeResolver
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.events.client import StoreEvents
from klambda_gateway.events.intake import Intake
from klambda_gateway.images.finder import ImageFinder, ImageSettings
from klambda_gateway.images.secrets import PullSecrets
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, InvokeStream, Resolved
from klambda_kube import config
from klambda_kube.api import Api
from tests.support import bucket as bucket_keys
from tests.support.apiserver import ApiServer, free_ports, running_apiserver
from tests.support.bucket import Bucket
from tests.support.objectstore import ObjectStore
from tests.support.registry import Registry, running_registry
from tests.support.rights import install_roles

KEY = "0123456789abcdef" * 4
REGION = "us-east-1"
HOME = "klambda"


class Echo:
    """A data plane that gives back what it was given."""

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        return InvokeAnswer(
            payload=request.payload or b"{}",
            executed_version="$LATEST",
            log_tail=b"START\nEND\n" if request.log_tail else None,
        )

    async def stream(self, request: InvokeRequest) -> InvokeStream:
        raise NotImplementedError

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        return Resolved(executed_version="$LATEST", deployment=f"{namespace}-{name}-{qualifier}")


class Index:
    """Knows nothing, and counts what it is shown."""

    def __init__(self) -> None:
        self.observed: list[Mapping[str, Any]] = []

    def find(self, namespace: str, function_name: str) -> str | None:
        return None

    def observe(self, obj: Mapping[str, Any]) -> None:
        self.observed.append(obj)

    def forget(self, obj: Mapping[str, Any]) -> None:
        self.observed.append(obj)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What a test needs: the endpoint, the cluster behind it."""

    server: ApiServer
    port: int
    store: str = ""
    """The store's address."""

    def key(self, secret: str = "klambda-credentials") -> dict[str, str]:
        """The access key in a Secret, as environment variables of AWS's clients."""
        _, body = self.server.request("GET", SECRET.path(HOME, secret))
        data = {key: base64.b64decode(value).decode() for key, value in body["data"].items()}
        return {
            "AWS_ACCESS_KEY_ID": data["accessKeyId"],
            "AWS_SECRET_ACCESS_KEY": data["secretAccessKey"],
        }

    def client(self, service: str = "lambda", *, secret: str = "klambda-credentials") -> Any:
        """A boto3 client with the keys of a Secret."""
        key = self.key(secret)
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
            config=botocore.config.Config(retries={"max_attempts": 0}),
        )

    def objects(self, kind: Kind, namespace: str = "default") -> list[dict[str, Any]]:
        """All objects of a kind."""
        items: list[dict[str, Any]] = self.server.request("GET", kind.path(namespace))[1]["items"]
        return items

    def settle(self, namespace: str = "default") -> None:
        """Write what the operator would: the wanted configuration is the active one."""
        for obj in self.objects(FUNCTION, namespace):
            self._activate(FUNCTION, obj, function_digest(Function.read(obj)))
        for obj in self.objects(VERSION, namespace):
            self._activate(VERSION, obj, snapshot_digest(Version.read(obj).spec.snapshot))

    def _activate(self, kind: Kind, obj: dict[str, Any], digest: str) -> None:
        path = kind.path(obj["metadata"]["namespace"], obj["metadata"]["name"]) + "/status"
        active = {"configDigest": digest, "revision": digest, "deployment": "d"}
        patch = {"status": {"active": active}}
        status, answer = self.server.request("PATCH", path, patch, "application/merge-patch+json")
        assert status == 200, answer


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        server.create_namespace(HOME)
        install_roles(server)
        yield server


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    with Bucket() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def objects() -> Iterator[ObjectStore]:
    """The S3 service that keeps the blobs."""
    with ObjectStore() as objects:
        yield objects


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def rig(
    apiserver: ApiServer,
    bucket: Bucket,
    registry: Registry,
    objects: ObjectStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    port, store_port = free_ports(2)
    environment = {
        **os.environ,
        **objects.environ(KLAMBDA_BLOBS_S3_PREFIX="klambda"),
        "KLAMBDA_DATA": str(tmp_path_factory.mktemp("store")),
        "KLAMBDA_STORE_PORT": str(store_port),
        "KLAMBDA_INSTALLATION_KEY": KEY,
    }
    store = subprocess.Popen([sys.executable, "-m", "klambda_store"], env=environment)
    allowed = sources_of(bucket)
    gateway = _Gateway(apiserver.kubeconfig, port, store_port, allowed, registry.host)
    try:
        wait_ready(f"http://127.0.0.1:{store_port}/readyz")
        gateway.start()
        yield Rig(server=apiserver, port=port, store=f"http://127.0.0.1:{store_port}")
    finally:
        gateway.stop()
        store.kill()  # nobody needs an orderly end
        store.wait()


def sources_of(bucket: Bucket) -> Allowed:
    """What the chart would allow."""
    return Allowed(
        endpoint=bucket.endpoint,
        region=bucket_keys.REGION,
        credentials=Credentials(
            access_key_id=bucket_keys.KEY_ID, secret_access_key=bucket_keys.SECRET
        ),
        buckets=("packages", "empty-bucket"),
        hosts=(f"127.0.0.1:{bucket.port}", "*.example.com"),
    )


def wait_ready(url: str) -> None:
    """Wait until the process behind the URL is ready."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} is not ready")


class _Gateway:
    """The application on uvicorn in a thread of its own."""

    def __init__(
        self, kubeconfig: Path, port: int, store_port: int, sources: Allowed, registry: str
    ) -> None:
        self._sources = sources
        self._registry = registry
        self._config = config.from_kubeconfig(kubeconfig)
        self._port = port
        self._store = f"http://127.0.0.1:{store_port}"
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 90
        while self._server is None or not self._server.started:
            assert time.monotonic() < deadline, "the gateway did not start"
            assert self._thread.is_alive()
            time.sleep(0.05)

    def stop(self) -> None:
        if self._server is not None:
            self._server.force_exit = self._server.should_exit = True
        self._thread.join(60)

    async def _run(self) -> None:
        async with Api(self._config) as api, Blobs(self._store, KEY) as blobs:
            await ensure_default_key(api, namespace=HOME)
            async with self._services(api, blobs) as services:
                settings = uvicorn.Config(
                    build_app(services), port=self._port, log_config=None, lifespan="off"
                )
                self._server = uvicorn.Server(settings)
                await self._server.serve()

    @asynccontextmanager
    async def _services(self, api: Api, blobs: Blobs) -> AsyncIterator[Services]:
        keys, index = Keys(api, HOME), Index()
        events = StoreEvents(self._store, KEY)
        fetcher = Fetcher(self._sources)
        insecure = (self._registry, self._registry.replace("127.0.0.1", "localhost"))
        settings = ImageSettings(insecure=insecure, pull_secrets=("registry",))
        images = ImageFinder(settings, PullSecrets(api, HOME))
        shelf = Shelf(api, blobs, region=REGION, account_of=Accounts().of)
        tasks = [
            asyncio.create_task(keys.run()),
            asyncio.create_task(CodeResolver(api, blobs, shelf, fetcher, images).run()),
        ]
        await keys.synced.wait()
        try:
            yield Services(
                objects=Objects(
                    api,
                    index=index,
                    observer=index,
                    new_id=lambda: str(uuid.uuid4()),
                    now=lambda: datetime.now(UTC),
                ),
                blobs=blobs,
                images=images,
                invoker=Echo(),
                events=Intake(events, Echo(), entry=lambda *_: None),
                gate=Gate(keys, region=REGION, account_of=Accounts().of),
                bearer=Bearer(api, account_of=Accounts().of),
                roles=keys,
                authorizer=Rbac(api, name_of=lambda _, name: object_name(name)),
                grants=Grants(namespace_of=lambda _: None, entry=lambda *_: None),
                links=CodeLinks(KEY, time.time),
                shelf=shelf,
                fetcher=fetcher,
                urls=lambda *what: UrlPlace(region=REGION).address(url_id(KEY, *what)),
                region=REGION,
                now=lambda: datetime.now(UTC),
                new_id=lambda: str(uuid.uuid4()),
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await fetcher.close()
            await events.close()


@pytest.fixture
def client(rig: Rig) -> Any:
    return rig.client()


@pytest.fixture
def name() -> str:
    """A function name of the test's own, not a DNS label."""
    return f"Fn_{uuid.uuid4().hex[:8]}"
