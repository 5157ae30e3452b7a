"""The tables of docs/performance.md, for the plots: what is drawn is what is told there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A cold start at its median, in milliseconds."""

    language: str
    total: float
    phases: dict[str, float]

    @property
    def rest(self) -> float:
        """What is not ours or the language's: Kubernetes and the container."""
        return max(0.0, self.total - sum(self.phases.values()))


def tables(page: str) -> Iterator[list[Row]]:
    """Every table of a page: rows by column name."""
    block: list[list[str]] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip("|").split("|")])
        elif block:
            head, *rows = block
            yield [dict(zip(head, row, strict=False)) for row in rows[1:]]
            block = []


def hops(page: str) -> list[tuple[str, str, float]]:
    """Rows of the warm hop: (body and connections, system, CPU µs per request)."""
    column = "CPU µs/request"
    found = [rows for rows in tables(page) if rows and column in rows[0]]
    return [
        (f"{row['body']} B, {row['connections']} conn.", row["system"], float(row[column]))
        for row in (found[0] if found else [])
    ]


def starts(page: str) -> list[Start]:
    """Cold starts by language, from the distributions of `make bench-cold`."""
    found: list[Start] = []
    for rows in tables(page):
        if not rows or not {"ms", "p50"} <= rows[0].keys():
            continue
        phases: dict[str, float] = {}
        for row in rows:
            language, colon, what = row["ms"].partition(": ")
            if colon and what.startswith("request to answer"):
                phases = {}
                name = language + what.removeprefix("request to answer")
                found.append(Start(language=name, total=float(row["p50"]), phases=phases))
            elif not colon:
                phases[row["ms"]] = float(row["p50"])
    return found
