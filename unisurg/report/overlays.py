"""Segmentation drawn on the pictures: the true outline, the prediction, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unisurg.report.drawing import WIDTH_IN, mosaic, panel, styled
from unisurg.report.palette import ENCODERS, INK, MISSED, MUTED, RULE, SPURIOUS, TRUTH

THRESHOLD = 0.5
TINT = 0.62
GAP = 0.12  # between the two pictures of a row, as a share of a panel


@styled
def overlay_figure(cases: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Two pictures in a row, each as it is and with each encoder's errors in colour.

    A case maps `image` to (H, W, 3) uint8, `truth` to (H, W) bool, `pretrained` and perhaps
    `random` to the foreground's probability, (H, W).
    """
    encoders = [name for name in ENCODERS if all(name in case for case in cases.values())]
    wide = 1 + len(encoders)
    pairs = [list(cases.values())[i : i + 2] for i in range(0, len(cases), 2)]
    cell_in = WIDTH_IN / (2 * wide + GAP)
    heights = [cell_in * max(c["image"].shape[0] / c["image"].shape[1] for c in p) for p in pairs]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.85), layout=mosaic())
    ratios = [*[1] * wide, GAP, *[1] * wide]
    grid = figure.subplots(
        len(pairs), 2 * wide + 1, squeeze=False, height_ratios=heights, width_ratios=ratios
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for row, pair in zip(grid, pairs, strict=True):
        for case, columns in zip(pair, (row[:wide], row[wide + 1 :]), strict=False):
            _case(columns, case, encoders)
    titles = ["Picture", *(ENCODERS[name][0].capitalize() for name in encoders)]
    for columns in (grid[0, :wide], grid[0, wide + 1 :])[: len(pairs[0])]:
        for axes, title in zip(columns, titles, strict=True):
            axes.set_title(title)
    figure.legend(handles=_legend(), loc="outside lower left", ncols=3)
    return figure


def _case(columns: Sequence[Axes], case: Mapping[str, np.ndarray], encoders: list[str]) -> None:
    panel(columns[0], case["image"])
    for axes, encoder in zip(columns[1:], encoders, strict=True):
        found = case[encoder] >= THRESHOLD
        panel(axes, _with_errors(case["image"], case["truth"], found))
        _outline(axes, case["truth"])
        _label(axes, f"Dice {dice(case['truth'], found):.2f}")


def _legend() -> list[Patch]:
    return [
        Patch(facecolor=MUTED, edgecolor=RULE, linewidth=1.6, label="true outline (white)"),
        Patch(color=SPURIOUS, label="predicted, but not there"),
        Patch(color=MISSED, label="there, but missed"),
    ]


def dice(truth: np.ndarray, found: np.ndarray) -> float:
    """Twice the overlap over the sum of two (H, W) bool masks; 1 where both are empty."""
    total = np.count_nonzero(truth) + np.count_nonzero(found)
    return 2 * np.count_nonzero(truth & found) / total if total else 1.0


def _with_errors(image: np.ndarray, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    picture = image.astype(np.float32) / 255
    for where, colour in ((found & ~truth, SPURIOUS), (truth & ~found, MISSED)):
        picture[where] = (1 - TINT) * picture[where] + TINT * np.array(to_rgb(colour))
    return picture


def _label(axes: Axes, text: str) -> None:
    box = {"facecolor": INK, "alpha": 0.65, "linewidth": 0, "pad": 2.5}
    axes.text(0.03, 0.04, text, transform=axes.transAxes, color=TRUTH, fontsize=8.5, bbox=box)


def _outline(axes: Axes, truth: np.ndarray) -> None:
    if truth.any() and not truth.all():
        axes.contour(truth, levels=[0.5], colors=[INK], linewidths=2.4, alpha=0.6)
        axes.contour(truth, levels=[0.5], colors=[TRUTH], linewidths=1.2)
