"""Fixtures of the end-to-end tests: the cluster of `make up`, and functions that clean up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, wait_until


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def name(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a fresh function name; afterwards the function is deleted and leaves nothing."""
    word = request.function.__name__.removeprefix("test_").replace("_", "-")[:30].strip("-")
    fresh = f"{word}-{secrets.token_hex(3)}"
    yield fresh
    cluster.kubectl("delete", "functions.klambda.io", fresh, "--ignore-not-found")
    wait_until(
        f"nothing is left of {fresh}",
        lambda: not any(cluster.children(fresh).values()),
        timeout=90,
    )
