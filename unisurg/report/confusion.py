"""Confusion matrices: of all that is of a true class, the share that went to each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import INK, MUTED, PAPER, SHARES

SIDE_BY_SIDE = 12  # more classes than this, and the matrices stand below each other
WITH_NUMBERS = 26  # more, and a cell is too small for its number


@styled
def confusion_figure(
    counts: Mapping[str, np.ndarray], classes: Sequence[str], what: str, unit: str
) -> Figure:
    """A matrix per encoder, `counts[encoder]` (C, C): true class by predicted class.

    Classes that no truth and no prediction names are left out. `what` is what a class is called,
    `unit` what is counted, in the plural.
    """
    seen = [i for i in range(len(classes)) if any(m[i].any() or m[:, i].any()
            for m in counts.values())]  # fmt: skip
    names = [classes[i] for i in seen]
    wide = len(names) <= SIDE_BY_SIDE
    height_in = min(5.4, 2.2 + 0.5 * len(names)) if wide else 7.0 * len(counts) + 1.4
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="compressed")
    shape = (1, len(counts)) if wide else (len(counts), 1)
    grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).flat
    panels = list(grid)
    for axes, (encoder, matrix) in zip(panels, counts.items(), strict=True):
        _matrix(axes, matrix[np.ix_(seen, seen)])
        axes.set_title(encoder)
    size = 8.5 if len(names) <= WITH_NUMBERS else 6.5
    for axes in panels if wide else panels[-1:]:
        axes.set_xticks(
            range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size
        )
        axes.set_xlabel(f"predicted {what}, % of the true {what}’s {unit}", color=MUTED)
    for axes in panels[:1] if wide else panels:
        axes.set_yticks(range(len(names)), names, color=INK, fontsize=size)
        axes.set_ylabel(f"true {what}")
    return figure


def count(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """Pairs of true and predicted class over all cases, shape (C, C); a truth of -1 is no class."""
    truth, found = np.concatenate(truths).astype(np.int64), np.concatenate(predictions)
    labelled = truth >= 0
    pairs = truth[labelled] * classes + found[labelled]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _matrix(axes: Axes, matrix: np.ndarray) -> None:
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    axes.imshow(share, cmap=SHARES, vmin=0, vmax=1)
    if len(matrix) <= WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                colour = PAPER if value > 0.5 else INK
                text = f"{100 * value:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    between = np.arange(len(matrix) - 1) + 0.5
    for lines in (axes.hlines, axes.vlines):
        lines(between, -0.5, len(matrix) - 0.5, color=PAPER, linewidth=1.5)
