"""Scaling traces, and the plots of docs/performance.md. Run by `make bench-scaling`; no cluster.

Prints the table of the scenarios (virtual time: the numbers are the same on every machine) and
draws docs/plots/: the traces, and from the page's own tables CPU per request and cold starts.
"""

from __future__ import annotations

from pathlib import Path

from tools.bench.scaling import pages, plots
from tools.bench.scaling.scenarios import SCENARIOS, Scenario, run
from tools.bench.scaling.simulation import Trace

DOCS = Path(__file__).parents[3] / "docs"


def table(traces: dict[Scenario, Trace]) -> str:
    """Render what came of the scenarios as a Markdown table."""
    names = ("scenario", "requests", "throttled", "most at once", "instances, most", "starts")
    head = (*names, "wait p50 ms", "p99 ms", "busy s / instance s")
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    for scenario, trace in traces.items():
        cells = (
            f"{scenario.name}: {scenario.what}",
            len(scenario.arrivals),
            trace.throttled,
            trace.requests,
            trace.instances,
            trace.starts,
            f"{trace.wait(0.5) * 1000:.0f}",
            f"{trace.wait(0.99) * 1000:.0f}",
            f"{trace.busy_seconds:.0f} / {trace.instance_seconds:.0f}",
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run, print, draw."""
    traces = {scenario: run(scenario) for scenario in SCENARIOS}
    print(table(traces))
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    plots.scaling(traces, DOCS / "plots" / "scaling.svg")
    plots.hops(pages.hops(page), DOCS / "plots" / "hop.svg")
    plots.starts(pages.starts(page), DOCS / "plots" / "cold.svg")


if __name__ == "__main__":
    main()
