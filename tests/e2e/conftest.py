"""Fixtures of the end-to-end tests: the cluster of `make up`, and functions that clean up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, all_gone


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture(scope="module")
def deleted(cluster: Cluster) -> Iterator[set[str]]:
    """Functions that a module's tests have deleted: at its end nothing is left of any.

    Their instances end while the next test runs; who needs the room waits for `all_gone`.
    """
    names: set[str] = set()
    yield names
    all_gone(cluster, names)


@pytest.fixture
def name(cluster: Cluster, request: pytest.FixtureRequest, deleted: set[str]) -> Iterator[str]:
    """Yield a fresh function name; afterwards the function is deleted and leaves nothing."""
    word = request.function.__name__.removeprefix("test_").replace("_", "-")[:30].strip("-")
    fresh = f"{word}-{secrets.token_hex(3)}"
    yield fresh
    cluster.kubectl("delete", "functions.klambda.io", fresh, "--ignore-not-found")
    deleted.add(fresh)
