"""Curves of label efficiency: the main metric by the share of training cases that was used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.evaluation.reported import Estimate, Fewer, Results
from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import ENCODERS, INK, MUTED, RULE

COLUMNS = 2


def curve_of(results: Results) -> list[Fewer]:
    """Results by share of the training cases, ascending; empty where none was left out."""
    return sorted(results.label_efficiency, key=lambda row: row.fraction)


@styled
def efficiency_figure(curves: Mapping[str, Sequence[Fewer]], metrics: Sequence[str]) -> Figure:
    """A panel per benchmark: lines of the means, bands of their 95 % intervals, in %."""
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(WIDTH_IN, 0.4 + 3.1 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes, (title, curve), metric in zip(panels, curves.items(), metrics, strict=False):
        _panel(axes, curve)
        axes.set_title(title, pad=16)
        axes.text(0, 1.03, metric, transform=axes.transAxes, fontsize=8.5, color=MUTED)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Axes, curve: Sequence[Fewer]) -> None:
    both = [row for row in curve if row.random is not None]
    _line(axes, [(row.fraction, row.random) for row in both], "random")
    _line(axes, [(row.fraction, row.pretrained) for row in curve], "pretrained")
    shares = [100 * row.fraction for row in curve]
    axes.set_xticks(shares, [f"{s:g} %\n{row.cases}" for s, row in zip(shares, curve, strict=True)])
    axes.set_xlim(0, 104)
    axes.set_xlabel("share of the training cases, and their number")
    axes.set_ylabel("test result, %", color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _line(axes: Axes, points: Sequence[tuple[float, Estimate | None]], encoder: str) -> None:
    known = [(100 * fraction, found) for fraction, found in points if found is not None]
    if not known:
        return
    title, colour = ENCODERS[encoder]
    shares = [share for share, _ in known]
    low, mean, high = (
        [100 * getattr(found, bound) for _, found in known] for bound in ("low", "mean", "high")
    )
    axes.fill_between(shares, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(shares, mean, color=colour, linewidth=1.8, marker="o", markersize=5, label=title)
