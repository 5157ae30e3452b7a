"""One API server and one operator for the operator's tests; a namespace for each test."""

import uuid
from collections.abc import Iterator

import pytest

from klambda_core.kinds import FUNCTION
from tests.integration.operator.rig import OWN_NAMESPACE, Hands, OperatorProcess
from tests.support.apiserver import ApiServer, running_apiserver


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        server.create_namespace(OWN_NAMESPACE)
        yield server


@pytest.fixture(scope="session")
def operator(
    apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    log = tmp_path_factory.mktemp("operator") / "log"
    process = OperatorProcess(apiserver, log)
    process.start()
    yield process
    if process.process is not None:
        process.stop()


@pytest.fixture
def hands(apiserver: ApiServer, operator: OperatorProcess) -> Iterator[Hands]:
    """Hands in a namespace of their own; what they made must not trouble a later restart."""
    own = Hands(apiserver, f"op-{uuid.uuid4().hex[:8]}")
    yield own
    for function in own.list(FUNCTION):
        own.delete(FUNCTION, function["metadata"]["name"])
