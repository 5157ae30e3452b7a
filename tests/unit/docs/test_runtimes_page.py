"""docs/runtimes.md says what tests show, and nothing else."""

from __future__ import annotations

import ast
import os

import pytest

from tests.support import matrix
from tools.cluster.layout import REPOSITORY

PAGE = REPOSITORY / "docs" / "runtimes.md"
NAMED = sorted(
    {test for row in matrix.ROWS for test in row.tests.values()}
    | {test for _, tests in matrix.PLATFORM for test in tests}
)


@pytest.mark.parametrize("named", NAMED)
def test_every_test_named_is_there(named: str) -> None:
    file, _, function = named.partition("::")
    tree = ast.parse((REPOSITORY / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert function in {each.name for each in tree.body if isinstance(each, kinds)}


def test_golden_page() -> None:
    if os.environ.get("KLAMBDA_GOLDEN") == "write":
        PAGE.write_text(matrix.render())
    assert PAGE.read_text() == matrix.render(), "`make golden` rewrites it"


def test_every_cell_is_shown_or_absent_for_a_reason() -> None:
    for row in matrix.ROWS:
        assert sorted([*row.tests, *row.absent]) == sorted(matrix.LANGUAGES), row.behaviour
        assert bool(row.absent) == bool(row.because), row.behaviour
