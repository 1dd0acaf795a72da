"""Depth drawn beside the pictures: the true one, the predicted ones, and by how much they err."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from unisurg.report.drawing import WIDTH_IN, mosaic, panel, styled
from unisurg.report.palette import DEPTH, ENCODERS, ERROR, RULE

# Colours of the error end there; the scale says so.
MOST_ERROR = 0.5


@styled
def depth_figure(cases: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """A picture in a row: as it is, its true depth, and each encoder's depth and its error.

    A case maps `image` to (H, W, 3) uint8 and `truth`, `pretrained` and perhaps `random` to depths
    (H, W) in mm; a truth of 0 is none, and the error there is left out. All pictures share one
    scale of depth, which runs over what is true of 98 % of them.
    """
    encoders = [name for name in ENCODERS if all(name in case for case in cases.values())]
    columns = 2 + 2 * len(encoders)
    cell_in = WIDTH_IN / columns
    heights = [cell_in * c["image"].shape[0] / c["image"].shape[1] for c in cases.values()]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 1.2), layout=mosaic())
    grid = figure.subplots(len(cases), columns, squeeze=False, height_ratios=heights)
    depth = ScalarMappable(LogNorm(*depth_range(cases)), _with_gaps(DEPTH))
    error = ScalarMappable(Normalize(-MOST_ERROR, MOST_ERROR), _with_gaps(ERROR))
    for row, case in zip(grid, cases.values(), strict=True):
        panel(row[0], case["image"])
        _map(row[1], np.ma.masked_equal(case["truth"], 0), depth)
        for place, encoder in enumerate(encoders):
            _map(row[2 + 2 * place], case[encoder], depth)
            _map(row[3 + 2 * place], relative_error(case["truth"], case[encoder]), error)
    said = [text for name in encoders for text in (ENCODERS[name][0].capitalize(), "its error")]
    titles = ["Picture", "True depth", *said]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    scale = _scale(figure, depth, grid[:, :3], "depth, mm")
    scale.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    scale.xaxis.set_major_formatter("{x:g}")
    scale.xaxis.set_minor_locator(NullLocator())
    _scale(figure, error, grid[:, 3:], "error as a share of depth: too near (blue), too far (red)")
    return figure


def depth_range(cases: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[float, float]:
    """First and 99th percentile of all true depths, in mm."""
    known = np.concatenate([case["truth"][case["truth"] > 0] for case in cases.values()])
    if not known.size:
        return 1.0, 100.0
    low, high = np.percentile(known, (1, 99))
    return float(low), max(float(high), float(low) * 1.01)


def relative_error(truth: np.ndarray, found: np.ndarray) -> np.ma.MaskedArray:
    """(found - truth) / truth, (H, W), masked where there is no truth."""
    known = truth > 0
    return np.ma.masked_where(~known, (found - truth) / np.where(known, truth, 1.0))


def _scale(figure: Figure, colours: ScalarMappable, above: np.ndarray, label: str) -> Axes:
    """The scale of some maps, below them."""
    under = list(above.flat)
    bar = figure.colorbar(
        colours, ax=under, label=label, location="bottom", aspect=40, pad=0.02, extend="both"
    )
    return bar.ax


def _map(axes: Axes, values: np.ndarray, colours: ScalarMappable) -> None:
    image = axes.imshow(values, cmap=colours.cmap, aspect="equal")
    image.set_norm(colours.norm)
    axes.set_axis_off()
    axes.set_anchor("N")


def _with_gaps(name: str) -> Colormap:
    return mpl.colormaps[name].with_extremes(bad=RULE)
