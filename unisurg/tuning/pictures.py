"""Pictures of a search: what mattered, how it went, where good trials lie, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import MUTED, PRETRAINED, RANDOM, SECOND_STAGE
from unisurg.tuning.space import Space
from unisurg.tuning.study import Row, scored

COLUMNS = 5


def pictures(
    rows: Sequence[Row],
    space: Space,
    importances: Mapping[str, float],
    front: Sequence[int],
    metric: str,
) -> dict[str, Figure]:
    """Figures by name: `history` and `slices`, `importance` where it can be told, and `front` of a
    search for one."""
    found = {"history": _history(rows, metric), "slices": _slices(rows, space, metric)}
    if importances:
        found["importance"] = _importance(importances)
    if front:
        found["front"] = _front(rows, front, metric)
    return found


@styled
def _history(rows: Sequence[Row], metric: str) -> Figure:
    """Every trial's score, the best so far, and what was stopped before its end."""
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    axes = figure.subplots()
    done = [(row.number, score) for row, score in scored(rows)]
    best = list(accumulate((score for _, score in done), max))
    axes.step([number for number, _ in done], best, where="post", color=PRETRAINED, linewidth=1.2)
    _points(axes, done, "o", PRETRAINED, "came to its end; line: best so far")
    stopped = [(row.number, score) for row, score in _stopped(rows)]
    _points(axes, stopped, "x", MUTED, "stopped, last score")
    default = [(row.number, score) for row, score in scored(rows) if row.default]
    _points(axes, default, "D", SECOND_STAGE, "the default")
    for _, score in default:
        axes.axhline(score, color=SECOND_STAGE, linewidth=0.8, linestyle="--", zorder=0)
    axes.set(title="Trials in their order", xlabel="trial", ylabel=_spelled(metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def _slices(rows: Sequence[Row], space: Space, metric: str) -> Figure:
    """Score over each dimension by itself; later trials are darker, stopped ones are crosses."""
    lines = -(-len(space) // COLUMNS)
    figure = Figure(figsize=(WIDTH_IN, 2.1 * lines), layout="constrained")
    done = scored(rows)
    shades = np.linspace(0.35, 1.0, len(done))
    grid = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, space, strict=False):
        for row, score in _stopped(rows):
            axes.plot(row.point[name], score, "x", color=MUTED, markersize=3.5)
        for (row, score), shade in zip(done, shades, strict=True):
            axes.plot(row.point[name], score, "o", color=PRETRAINED, alpha=shade, markersize=4)
            if row.default:
                axes.plot(row.point[name], score, "D", color=SECOND_STAGE, markersize=4)
        axes.set_title(name)
        axes.set_xlim(*_padded(space[name].low, space[name].high))
    for axes in grid.flat[len(space) :]:
        axes.set_axis_off()
    figure.supylabel(_spelled(metric), fontsize=9, color=MUTED)
    return figure


@styled
def _importance(importances: Mapping[str, float]) -> Figure:
    """Share of the score's variance that each dimension explains (fANOVA)."""
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 0.26 * len(importances)), layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: importances[name])
    shares = [100 * importances[name] for name in names]
    axes.barh(names, shares, color=PRETRAINED, height=0.6)
    for place, share in enumerate(shares):
        axes.text(share, place, f" {share:.0f} %", va="center", fontsize=8.5)
    axes.set(title="What the score depends on", xlabel="% of its variance over the trials")
    axes.set_xlim(0, 1.1 * max(shares))
    return figure


@styled
def _front(rows: Sequence[Row], front: Sequence[int], metric: str) -> Figure:
    """Score over seconds; the trials that none beats in both are joined."""
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    axes = figure.subplots()
    done = [(row, (row.seconds or 0.0, score)) for row, score in scored(rows)]
    _points(axes, [place for _, place in done], "o", RANDOM, "trial")
    best = sorted(place for row, place in done if row.number in front)
    _points(axes, best, "o-", PRETRAINED, "the front")
    _points(axes, [place for row, place in done if row.default], "D", SECOND_STAGE, "the default")
    axes.set(title="Score and cost", xlabel="seconds of the trial's steps", ylabel=_spelled(metric))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _stopped(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Trials that were stopped on their way, each with the last score that it reported."""
    return [
        (row, [*row.reported.values()][-1]) for row in rows if row.score is None and row.reported
    ]


def _points(
    axes: Axes, points: Sequence[tuple[float, float]], style: str, colour: str, label: str
) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), style, color=colour, markersize=4.5, label=label)


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _spelled(metric: str) -> str:
    return f"{metric}\non validation cases"
