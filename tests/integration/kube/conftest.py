"""A real API server, the proxy in front of it, and clients of both."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from klambda_core.kinds import NAMESPACE, Kind
from klambda_kube.api import Api, Object
from klambda_kube.config import ClusterConfig, TokenSource, from_kubeconfig
from tests.support.apiserver import ApiServer, running_apiserver
from tests.support.faultproxy import FaultProxy

CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        yield server


@pytest.fixture
async def direct(apiserver: ApiServer) -> AsyncIterator[Api]:
    """Straight to the server: what the rest of the world does."""
    async with Api(from_kubeconfig(apiserver.kubeconfig)) as api:
        yield api


@pytest.fixture
async def proxy(apiserver: ApiServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(apiserver.url, apiserver.ssl_context()) as proxy:
        yield proxy


@pytest.fixture
async def api(apiserver: ApiServer, proxy: FaultProxy) -> AsyncIterator[Api]:
    """Through the proxy: what is being tested."""
    config = ClusterConfig(server=proxy.url, token=TokenSource(constant=apiserver.token))
    async with Api(config) as api:
        yield api


@pytest.fixture
async def namespace(direct: Api) -> str:
    name = f"t-{secrets.token_hex(5)}"
    await direct.create(NAMESPACE, None, {"metadata": {"name": name}}, field_manager="test")
    return name


@pytest.fixture
def config_map() -> Callable[..., Object]:
    def build(name: str, **data: str) -> Object:
        return {"metadata": {"name": name, "labels": {"made-by": "test"}}, "data": data}

    return build


async def eventually(holds: Callable[[], bool], *, within: float = 60.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
