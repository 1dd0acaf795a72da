"""Where the time of each source went: a bar per source, all of it, by state."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unisurg.report.amounts import Unit
from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import MUTED, PAPER
from unisurg.report.states import STATES

BAR_IN = 0.34
WRITTEN_FROM = 5.0
"""Per cent of a bar in which its number has room."""


@styled
def funnel_figure(intervals: pd.DataFrame, unit: Unit) -> Figure:
    """A bar for all sources and one for each, from what is kept to what went first.

    Args:
        intervals: rows with `source`, `state` and `seconds`.
        unit: in which the length beside a bar is told.
    """
    table = intervals.pivot_table(
        index="source", columns="state", values="seconds", aggfunc="sum", fill_value=0.0
    )
    if len(table) > 1:
        table = pd.concat([table, table.sum().to_frame("all sources").T])
    states = [state for state in reversed(STATES) if state in table.columns]
    figure = Figure(figsize=(WIDTH_IN, 1.3 + BAR_IN * len(table)), layout="constrained")
    axes = figure.subplots()
    for row, (_, seconds) in enumerate(table.iterrows()):
        left, total = 0.0, float(seconds.sum())
        for state in states:
            width = 100 * float(seconds[state]) / total
            axes.barh(
                row, width, left=left, height=0.72, color=STATES[state].colour, edgecolor=PAPER,
                linewidth=0.6,
            )  # fmt: skip
            if width >= WRITTEN_FROM:
                axes.text(
                    left + width / 2, row, f"{width:.0f}", ha="center", va="center", fontsize=8,
                    color=_on(STATES[state].colour),
                )  # fmt: skip
            left += width
        axes.text(101, row, f"{unit.of(total)} {unit.name}", va="center", fontsize=8.5, color=MUTED)
    axes.set_yticks(range(len(table)), [str(source) for source in table.index])
    axes.set(xlim=(0, 100), xlabel="per cent of the source’s time")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    keys = [Patch(color=STATES[state].colour, label=STATES[state].name) for state in states]
    figure.legend(handles=keys, loc="outside upper left", ncols=min(len(keys), 6))
    return figure


def _on(colour: str) -> str:
    """Black or white, whichever is read better on a colour (ITU-R BT.601 luma)."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "#000000"
