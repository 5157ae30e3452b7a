"""What an instance is told: inline code from a bounded cache, or a URL."""

from __future__ import annotations

import asyncio
import json

import pytest

from klambda_gateway.instances.assignment import (
    INLINE_LIMIT,
    Assignments,
    CodeCache,
    NoAssignment,
)
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts

KEY = DeploymentKey("default", "area-latest-1")
POD = PodFacts(namespace="default", name="p", uid="u", deployment="area-latest-1")


def facts(size: int = 3, assignment: str | None = None) -> DeploymentFacts:
    document = {
        "digest": "d",
        "code": {"sha256": "ab", "size": size},
        "layers": [{"sha256": "cd", "size": 1}],
    }
    return DeploymentFacts(
        key=KEY,
        uid="u",
        resource_version="1",
        replicas=0,
        function="area",
        assignment=assignment if assignment is not None else json.dumps(document),
    )


class Store:
    def __init__(self) -> None:
        self.reads = 0
        self.broken = False

    async def get(self, namespace: str, sha256: str) -> bytes:
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("away")
        return f"{namespace}/{sha256}".encode()

    def url(self, namespace: str, sha256: str) -> str:
        return f"http://store/{namespace}/{sha256}"


def assignments(store: Store, found: DeploymentFacts | None) -> Assignments:
    async def lookup(_: DeploymentKey) -> DeploymentFacts | None:
        return found

    return Assignments(
        deployment=lookup,
        blobs=store,
        credentials=lambda pod, assignment: {"accessKeyId": f"{pod.uid}/{assignment['digest']}"},
        endpoints={"AWS_ENDPOINT_URL_LAMBDA": "http://gateway"},
    )


async def test_small_code_comes_along_and_is_fetched_once() -> None:
    store = Store()
    made = assignments(store, facts())
    await made.prepare(KEY)
    packages = await asyncio.gather(*(made.package(POD) for _ in range(5)))
    assert {each.body for each in packages} == {b"default/ab"}
    assert store.reads == 1
    assert packages[0].digest == "d"
    assert packages[0].header == {
        "assignment": json.loads(facts().assignment or ""),
        "initializationType": "on-demand",
        "endpoints": {"AWS_ENDPOINT_URL_LAMBDA": "http://gateway"},
        "code": {"inline": True},
        "layers": [{"url": "http://store/default/cd"}],
        "credentials": {"accessKeyId": "u/d"},
    }


async def test_large_code_is_behind_a_url() -> None:
    store = Store()
    package = await assignments(store, facts(INLINE_LIMIT + 1)).package(POD)
    assert package.header["code"] == {"url": "http://store/default/ab"}
    assert (package.body, store.reads) == (b"", 0)


async def test_a_store_that_does_not_answer_us_may_answer_the_instance() -> None:
    store = Store()
    store.broken = True
    package = await assignments(store, facts()).package(POD)
    assert package.header["code"] == {"url": "http://store/default/ab"}


@pytest.mark.parametrize("found", [None, facts(assignment="{"), facts(assignment='{"code": {}}')])
async def test_without_a_readable_assignment_there_is_none(found: DeploymentFacts | None) -> None:
    made = assignments(Store(), found)
    with pytest.raises(NoAssignment):
        await made.package(POD)
    await made.prepare(KEY)


def test_the_cache_is_bounded_in_bytes_and_keeps_what_is_used() -> None:
    cache = CodeCache(limit=10)
    for name in ("a", "b"):
        cache.put("n", name, b"12345")
    cache.put("n", "a", b"12345")
    assert cache.get("n", "a") == b"12345"
    cache.put("n", "c", b"12345")
    assert cache.get("n", "b") is None
    assert cache.get("n", "a") is not None
    assert cache.get("other", "a") is None, "nobody reads another account's code"
