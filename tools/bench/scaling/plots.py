"""Drawing: SVG files that are the same for the same numbers (no dates, no random ids)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from tools.bench.scaling.pages import Start
from tools.bench.scaling.scenarios import Scenario
from tools.bench.scaling.simulation import SAMPLE_S, Sample, Trace

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "klambda",
        "svg.fonttype": "none",
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)

from matplotlib import pyplot as plt  # noqa: E402  after the choice of its backend

PER_POINT: Final = round(1 / SAMPLE_S)
COLOURS: Final = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def scaling(traces: Mapping[Scenario, Trace], path: Path) -> None:
    """Requests and instances over time, a panel per scenario."""
    rows = (len(traces) + 1) // 2
    figure, panels = plt.subplots(rows, 2, figsize=(9, 1.9 * rows), layout="constrained")
    for panel, (scenario, trace) in zip(panels.flat, traces.items(), strict=False):
        seconds, requests, instances = _thinned(trace.samples)
        panel.fill_between(
            seconds, requests,
            color=COLOURS[0], alpha=0.35, linewidth=0, label="requests in the house",
        )  # fmt: skip
        panel.step(
            seconds, instances,
            where="post", color=COLOURS[1], linewidth=1, label="instances",
        )  # fmt: skip
        panel.set_title(scenario.name, loc="left", fontsize=8, fontweight="bold")
        panel.set_xlim(0, scenario.seconds)
        panel.set_ylim(bottom=0)
        panel.locator_params(axis="y", integer=True)
    panels.flat[0].legend(fontsize=7)
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    _save(figure, path)


def _thinned(samples: Sequence[Sample]) -> tuple[list[float], list[int], list[int]]:
    """Moments, requests and instances: of each second the most."""
    groups = [samples[at : at + PER_POINT] for at in range(0, len(samples), PER_POINT)]
    return (
        [group[0].at for group in groups],
        [max(each.requests for each in group) for group in groups],
        [max(each.instances for each in group) for group in groups],
    )


def hops(rows: Sequence[tuple[str, str, float]], path: Path) -> None:
    """CPU per request by system, a group of bars per body and connections."""
    groups = list(dict.fromkeys(group for group, _, _ in rows))
    systems = list(dict.fromkeys(system for _, system, _ in rows))
    figure, panel = plt.subplots(figsize=(9, 3), layout="constrained")
    width = 0.8 / len(systems)
    for number, system in enumerate(systems):
        mine = {group: cpu for group, name, cpu in rows if name == system}
        panel.bar(
            [groups.index(group) + (number - (len(systems) - 1) / 2) * width for group in mine],
            list(mine.values()), width, label=system, color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
    panel.set_yscale("log")
    panel.set_ylabel("CPU µs per request")
    panel.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    panel.legend(fontsize=7)
    _save(figure, path)


def starts(found: Sequence[Start], path: Path) -> None:
    """Where a cold start's time goes, a bar per language."""
    figure, panel = plt.subplots(figsize=(9, 0.9 + 0.35 * len(found)), layout="constrained")
    names = ["Kubernetes and container", *dict.fromkeys(p for each in found for p in each.phases)]
    left = [0.0] * len(found)
    for number, name in enumerate(names):
        widths = [each.phases.get(name, 0.0) if number else each.rest for each in found]
        colour = COLOURS[number % len(COLOURS)]
        panel.barh([e.language for e in found], widths, left=left, label=name, color=colour)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    panel.invert_yaxis()
    panel.set_xlabel("ms at the median")
    figure.legend(fontsize=7, ncols=len(names), loc="outside upper left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
    # Trailing blanks are matplotlib's; what checks the sources minds them.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
