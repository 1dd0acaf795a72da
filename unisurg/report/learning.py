"""Learning curves of fine-tuning: loss and the main metric on validation cases, by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import ENCODERS, MUTED, RULE


@styled
def learning_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Two panels per benchmark: training loss, and the main metric on validation cases.

    A history has a row per epoch with `encoder`, `seed`, `epoch`, `train_loss` and `val` in 0..1.
    """
    figure = Figure(figsize=(WIDTH_IN, 0.4 + 2.3 * len(histories)), layout="constrained")
    grid = figure.subplots(len(histories), 2, squeeze=False)
    for (loss, val), (title, history) in zip(grid, histories.items(), strict=True):
        for (encoder, _), rows in history.groupby(["encoder", "seed"], sort=True):
            _, colour = ENCODERS.get(str(encoder), ("", MUTED))
            loss.plot(rows["epoch"], rows["train_loss"], color=colour, linewidth=1.6)
            val.plot(rows["epoch"], 100 * rows["val"], color=colour, linewidth=1.6, marker=".")
        _dressed(loss, f"{title}: training loss")
        _dressed(val, f"{title}: validation, %")
    handles = [
        Axes.plot(grid[0, 0], [], [], color=colour, linewidth=2, label=title)[0]
        for title, colour in ENCODERS.values()
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _dressed(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
