"""One API server for the CRD tests."""

from collections.abc import Iterator

import pytest

from tests.support.apiserver import ApiServer, running_apiserver


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        yield server
