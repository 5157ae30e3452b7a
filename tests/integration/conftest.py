"""What all integration tests share.

Peers are killed and connections cut in these tests; what the garbage collector says about such
sockets it says in the middle of some other test. Unit tests keep the strict rule.
"""

from __future__ import annotations

import pytest

TOLERATED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/integration" in item.path.as_posix():
            item.add_marker(TOLERATED)
