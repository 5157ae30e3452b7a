"""The decisions are numbered: one number each, none left out."""

from __future__ import annotations

from tools.cluster.layout import REPOSITORY


def test_decisions_are_numbered_once_and_by_their_titles() -> None:
    files = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for number, file in enumerate(files, 1):
        assert file.read_text().startswith(f"# {number}."), file.name
