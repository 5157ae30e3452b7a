"""The hot modules behave the same as machine code: the tests that concern them, on the compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.compiled import NotCompiled, Refused, compiled_tree
from tools.cluster.layout import REPOSITORY
from tools.compiled.modules import MODULES

HERE = "tests/integration/gateway_dataplane"
TESTS = (
    f"{HERE}/test_broken_off.py",
    f"{HERE}/test_connections.py",
    f"{HERE}/test_dataplane_simulated.py",
    f"{HERE}/test_generated_traffic.py",
    f"{HERE}/test_smuggling.py",
    f"{HERE}/test_streams_simulated.py",
    f"{HERE}/test_two_lanes.py",
    "tests/unit/gateway/admission",
    "tests/unit/gateway/auth",
    "tests/unit/gateway/instances",
    "tests/unit/gateway/routing",
    "tests/unit/gateway/urls",
    "tests/unit/gateway_api/test_sigv4.py",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    try:
        tree = compiled_tree(tmp_path_factory.mktemp("compiled"))
    except Refused as error:
        pytest.fail(f"refused: {error}")
    except NotCompiled as error:
        pytest.skip(f"nothing compiled: {error}")
    return os.environ | {"PYTHONPATH": str(tree)}


def run(environment: dict[str, str], *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-10_000:]


@pytest.mark.timeout(1200)  # compiling, on a busy machine, once
def test_all_of_them_are_machine_code(environment: dict[str, str]) -> None:
    names = ", ".join(MODULES)
    run(
        environment,
        "-c",
        f"import {names}\nassert not [each for each in ({names}) if each.__file__.endswith('.py')]",
    )


@pytest.mark.timeout(1200)
def test_they_pass_their_tests(environment: dict[str, str]) -> None:
    run(environment, "-m", "pytest", "-q", *TESTS)
