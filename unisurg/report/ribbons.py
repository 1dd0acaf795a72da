"""Phase ribbons: a test video as a band of colours, truth above prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import INK, MUTED, category

# Bottom and top of the bands in a ribbon, and the thin strip of wrong seconds between them.
TRUTH_BAND = (0.64, 1.0)
WRONG_STRIP = (0.575, 0.625)
PRETRAINED_BAND = (0.20, 0.56)
RANDOM_BAND = (0.0, 0.13)


@styled
def ribbon_figure(cases: Mapping[str, Mapping[str, np.ndarray]], classes: Sequence[str]) -> Figure:
    """A ribbon per case; a case maps `truth`, `pretrained` and perhaps `random` to (S,) int."""
    figure = Figure(figsize=(WIDTH_IN, 0.62 + 1.12 * len(cases)), layout="constrained")
    rows = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for axes, (case, bands) in zip(rows, cases.items(), strict=True):
        _ribbon(axes, case, bands, len(classes))
    handles = [Patch(color=category(i), label=name) for i, name in enumerate(classes)]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, handlelength=1.1)
    return figure


def _ribbon(axes: Axes, case: str, bands: Mapping[str, np.ndarray], classes: int) -> None:
    truth, ours = bands["truth"], bands["pretrained"]
    seconds = len(truth)
    _band(axes, truth, TRUTH_BAND, classes)
    _band(axes, ours, PRETRAINED_BAND, classes)
    wrong = np.ma.masked_equal((truth != ours).astype(int), 0)
    axes.imshow(
        wrong[None],
        cmap=ListedColormap([INK]),
        aspect="auto",
        extent=(0, seconds, *WRONG_STRIP),
        interpolation="nearest",
    )
    names = [("truth", TRUTH_BAND), ("prediction", PRETRAINED_BAND)]
    if "random" in bands:
        _band(axes, bands["random"], RANDOM_BAND, classes)
        names.append(("random", RANDOM_BAND))
    axes.set_yticks([sum(band) / 2 for _, band in names], [name for name, _ in names])
    axes.set_xlim(0, seconds)
    axes.set_ylim(0, 1)
    axes.tick_params(length=0, pad=3)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}"))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(case, pad=4)
    right = f"{100 * np.mean(truth == ours):.0f} % of the seconds right"
    axes.set_title(right, loc="right", pad=4, color=MUTED, fontweight="normal", fontsize=9)


def _band(axes: Axes, labels: np.ndarray, band: tuple[float, float], classes: int) -> None:
    axes.imshow(
        labels[None],
        cmap=ListedColormap([category(i) for i in range(classes)]),
        vmin=-0.5,
        vmax=classes - 0.5,
        aspect="auto",
        extent=(0, len(labels), *band),
        interpolation="nearest",
    )
