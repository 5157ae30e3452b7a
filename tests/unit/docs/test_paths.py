"""What the documents name is there: files in backticks, and the targets of links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cluster.layout import REPOSITORY

PAGES = sorted(
    path
    for place in (".", "docs", "runtimes", "docs/adr")
    for path in (REPOSITORY / place).glob("*.md")
)
OF_TODAY = [page for page in PAGES if page.parent.name != "adr"]
"""Decisions tell of their own day."""
OURS = ("common", "gateway", "operator", "store", "runtimes", "tests", "tools", "helm", "docs")
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|go|md|tpl|ya?ml))`")
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.fixture(scope="module")
def files() -> set[str]:
    found = (each for place in OURS for each in (REPOSITORY / place).rglob("*") if each.is_file())
    return {f"/{each.relative_to(REPOSITORY)}" for each in found}


def named(page: Path) -> Iterator[str]:
    """Paths, which may leave out how they begin: `scale/decide.py`."""
    return (each[1] for each in NAMED.finditer(page.read_text()))


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: page.name)
def test_the_files_are_there(page: Path, files: set[str]) -> None:
    assert [each for each in named(page) if not any(f.endswith(f"/{each}") for f in files)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [each[1] for each in LINK.finditer(page.read_text()) if "://" not in each[1]]
    assert [each for each in targets if not (page.parent / each).exists()] == []
