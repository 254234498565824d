"""The picture of a sweep: r of each combination beside ridge and chance, seeds on one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.files import atomic_path
from pipeline.artifacts.pictures import Axes, Figure
from pipeline.report.figures import BLUE, GREY, ORANGE, styled

WIDTH_IN, LINE_IN, FRAME_IN = 6.5, 0.3, 1.0
DPI = 160


@styled
def draw_sweep(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw ``rows`` of the table of a sweep, as PNG.

    Rows that differ only in seeds share a line: a dot each, and a bar at their mean.  A
    row of its own shows its bootstrap interval.
    """
    lines = _lines(rows)
    figure = Figure(figsize=(WIDTH_IN, FRAME_IN + LINE_IN * len(lines)))
    axes = figure.subplots()
    for y, group in enumerate(lines.values()):
        _draw_line(axes, y, group, labelled=y == 0)
    axes.set_yticks(range(len(lines)), list(lines))
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("r over time, mean over bands (test blocks)")
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _lines(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by what sets them apart besides seeds."""
    keys = list(rows[0])[1 : list(rows[0]).index("state")]
    shown = [key for key in keys if not key.endswith(".seed") and len({row[key] for row in rows}) > 1]
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(", ".join(f"{key} = {row[key]}" for key in shown) or "all seeds", []).append(row)
    return lines


def _draw_line(axes: Axes, y: int, group: Sequence[Mapping[str, Any]], labelled: bool) -> None:
    def label(text: str) -> str:
        return text if labelled else "_"

    r = _numbers(group, "pearson_r")
    if len(group) == 1 and group[0]["pearson_r_low"] != "":
        ends = _numbers(group, "pearson_r_low"), _numbers(group, "pearson_r_high")
        axes.hlines([y], *ends, color=BLUE, linewidth=1.5, label=label("95 % interval"))
    elif len(group) > 1:
        axes.vlines([r.mean()], y - 0.3, y + 0.3, color=BLUE, linewidth=1.5, label=label("mean over seeds"))
    axes.plot(r, np.full(len(r), y), "o", color=BLUE, markersize=4.5, alpha=0.8, label=label("model"))
    ridge, chance = _numbers(group, "ridge_pearson_r"), _numbers(group, "chance_pearson_r_p95")
    axes.plot(ridge, np.full(len(ridge), y), "D", color=ORANGE, markersize=4, label=label("ridge"))
    axes.plot(chance, np.full(len(chance), y), "|", color=GREY, markersize=9, label=label("chance, 95 %"))


def _numbers(group: Iterable[Mapping[str, Any]], column: str) -> np.ndarray:
    return np.array([float(row[column]) for row in group if row[column] != ""])
