"""Confusion matrices: of all seconds of a true class, the share that went to each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import INK, MUTED, PAPER, SHARES


@styled
def confusion_figure(counts: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """A matrix per encoder, `counts[encoder]` (C, C): true class by predicted class."""
    figure = Figure(figsize=(WIDTH_IN, 5.4 if len(counts) > 1 else 7.5), layout="compressed")
    columns = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, (encoder, matrix) in zip(columns, counts.items(), strict=True):
        _matrix(axes, matrix, classes)
        axes.set_title(encoder)
    columns[0].set_yticks(range(len(classes)), classes, color=INK)
    columns[0].set_ylabel("true phase")
    return figure


def count(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """Pairs of true and predicted class over all cases, shape (C, C)."""
    pairs = np.concatenate(truths).astype(np.int64) * classes + np.concatenate(predictions)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _matrix(axes: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    axes.imshow(share, cmap=SHARES, vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.005:
            colour = PAPER if value > 0.5 else INK
            text = f"{100 * value:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted phase, % of the true phase's seconds", color=MUTED)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=1.5)
    axes.tick_params(which="minor", length=0)
