"""docs/api.md is generated, and tells of every operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from klambda_gateway.api.model import MODEL
from klambda_gateway.api.operations import HANDLERS
from tools import apitable


def test_the_committed_table_is_fresh() -> None:
    assert apitable.main(["--check"]) == 0, "run `python -m tools.apitable`"


def test_a_stale_table_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "api.md"
    monkeypatch.setattr(apitable, "TARGET", target)
    assert apitable.main(["--check"]) == 1
    assert "+| Invoke | " in capsys.readouterr().err
    assert apitable.main([]) == 0
    assert apitable.main(["--check"]) == 0


def test_every_operation_has_a_row_and_a_state() -> None:
    rows = [line.split(" | ") for line in apitable.render().splitlines() if line.startswith("| ")]
    found = {row[0].removeprefix("| "): row[2] for row in rows[2:]}
    assert list(found) == sorted(MODEL.operations)
    assert {name for name, state in found.items() if state == "not yet"} == (
        set(MODEL.operations) - set(HANDLERS)
    )


def test_remarks_are_about_operations() -> None:
    assert set(apitable.REMARKS) <= set(HANDLERS)
