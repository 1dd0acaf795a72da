"""Loss and health curves of both stages of pretraining, one axis of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import MUTED, PRETRAINED, RULE, SECOND_STAGE

COLOURS = (PRETRAINED, SECOND_STAGE)
LINES = ("-", (0, (4, 1.5)))


@dataclass(frozen=True)
class Panel:
    title: str
    columns: tuple[str, ...]
    reading: str


PANELS = (
    Panel("Loss", ("loss",), "should fall"),
    Panel("Prediction", ("motion", "pixel"), "of hidden latents, or pixels"),
    Panel("Affinity, diversity", ("affinity", "diversity"), "the two regularisers"),
    Panel("Source by k-NN", ("knn_source", "knn_chance"), "falls to chance on collapse"),
    Panel("Rank (RankMe)", ("rank_me",), "falls to 1 on collapse"),
    Panel("Deviation", ("feature_std",), "falls to 0 on collapse"),
    Panel("Cosine", ("token_cosine", "temporal_cosine"), "rises to 1 on collapse"),
    Panel("Waiting for data", ("waiting",), "share of a step"),
)


@styled
def curve_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Eight panels; `histories` maps a stage to its history.csv, in the order they ran."""
    figure = Figure(figsize=(WIDTH_IN, 4.9), layout="constrained")
    grid = figure.subplots(2, 4, sharex=True).flat
    for axes, panel in zip(grid, PANELS, strict=True):
        _panel(axes, panel, histories)
    figure.supxlabel("step", fontsize=9, color=MUTED)
    stages = zip(histories, COLOURS, strict=False)
    handles = [Axes.plot(axes, [], [], color=c, linewidth=2, label=s)[0] for s, c in stages]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def _panel(axes: Axes, panel: Panel, histories: Mapping[str, pd.DataFrame]) -> None:
    start = 0
    for (_, history), colour in zip(histories.items(), COLOURS, strict=False):
        for column, line in zip(panel.columns, LINES, strict=False):
            values = history[["step", column]].dropna() if column in history else history[:0]
            if len(values):
                _curve(axes, start + values["step"], values[column], colour, line)
        if start:
            axes.axvline(start, color=RULE, linewidth=0.9, zorder=0)
        start += int(history["step"].max()) + 1 if len(history) else 0
    axes.set_title(panel.title, pad=16)
    axes.text(0, 1.03, panel.reading, transform=axes.transAxes, fontsize=8.5, color=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    shown = [
        c for c in panel.columns if any(c in h and h[c].notna().any() for h in histories.values())
    ]
    if len(shown) > 1:
        for column, line in zip(panel.columns, LINES, strict=False):
            axes.plot([], [], color=MUTED, linestyle=line, label=column.replace("_", " "))
        axes.legend(loc="best", handlelength=2.2)


def _curve(axes: Axes, steps: pd.Series, values: pd.Series, colour: str, line: object) -> None:
    """Many values: a faint line below their running median. Few: the values themselves."""
    smooth = values
    if len(values) > 40:
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.28)
        smooth = values.rolling(max(5, len(values) // 40), center=True, min_periods=1).median()
    axes.plot(steps, smooth, color=colour, linewidth=1.6, linestyle=line)
