"""Phase ribbons: a test video as a band of colours, truth above prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import ENCODERS, INK, MUTED, category
from unisurg.report.timeline import UNLABELLED, dress_time_axis, on_time_line

# Bottom and top of the bands in a ribbon, and the thin strip of wrong moments between them.
TRUTH_BAND = (0.64, 1.0)
WRONG_STRIP = (0.575, 0.625)
PRETRAINED_BAND = (0.20, 0.56)
RANDOM_BAND = (0.0, 0.13)
LEGEND_COLUMNS = 4


@styled
def ribbon_figure(cases: Mapping[str, Mapping[str, np.ndarray]], classes: Sequence[str]) -> Figure:
    """A ribbon per case; a case maps `truth`, `pretrained` and perhaps `random` to (S,) int.

    `moments` (S,) are seconds from the start of the video; without them labels are 1 s apart.
    Moments without a label are left white. The legend names the classes that occur.
    """
    seen = _seen(cases)
    lines = -(-len(seen) // LEGEND_COLUMNS)
    height_in = 0.35 + 1.12 * len(cases) + 0.2 * lines
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    rows = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for axes, (case, bands) in zip(rows, cases.items(), strict=True):
        _ribbon(axes, case, bands, len(classes))
    handles = [Patch(color=category(i), label=classes[i]) for i in seen]
    figure.legend(handles=handles, loc="outside lower left", ncols=LEGEND_COLUMNS, handlelength=1.1)
    return figure


def _seen(cases: Mapping[str, Mapping[str, np.ndarray]]) -> list[int]:
    """Classes that a truth or a drawn prediction names, ascending."""
    drawn = ("truth", "pretrained", "random")
    labels = [bands[name] for bands in cases.values() for name in drawn if name in bands]
    found = np.unique(np.concatenate(labels)).tolist()
    return [int(label) for label in found if label != UNLABELLED]


def _ribbon(axes: Axes, case: str, bands: Mapping[str, np.ndarray], classes: int) -> None:
    truth, ours = bands["truth"], bands["pretrained"]
    moments = bands.get("moments", np.arange(len(truth), dtype=float))
    scored = truth != UNLABELLED
    _band(axes, truth, moments, TRUTH_BAND, classes)
    _band(axes, ours, moments, PRETRAINED_BAND, classes)
    wrong = np.where(scored & (truth != ours), 0, UNLABELLED)
    _strip(axes, wrong, moments, WRONG_STRIP, ListedColormap([INK]), 1)
    names = [("truth", TRUTH_BAND), (ENCODERS["pretrained"][0], PRETRAINED_BAND)]
    if "random" in bands:
        _band(axes, bands["random"], moments, RANDOM_BAND, classes)
        names.append((ENCODERS["random"][0], RANDOM_BAND))
    axes.set_yticks([sum(band) / 2 for _, band in names], [name for name, _ in names])
    axes.set_ylim(0, 1)
    axes.autoscale(axis="x", tight=True)
    dress_time_axis(axes)
    axes.set_title(case, pad=4)
    share = np.mean(truth[scored] == ours[scored]) if scored.any() else np.nan
    right = f"{100 * share:.0f} % of the labelled moments right"
    axes.set_title(right, loc="right", pad=4, color=MUTED, fontweight="normal", fontsize=9)


def _band(
    axes: Axes, labels: np.ndarray, moments: np.ndarray, band: tuple[float, float], classes: int
) -> None:
    colours = ListedColormap([category(i) for i in range(classes)])
    _strip(axes, labels, moments, band, colours, classes)


def _strip(
    axes: Axes,
    labels: np.ndarray,
    moments: np.ndarray,
    band: tuple[float, float],
    colours: ListedColormap,
    classes: int,
) -> None:
    line, start, step = on_time_line(labels, moments)
    axes.imshow(
        np.ma.masked_equal(line, UNLABELLED)[None],
        cmap=colours,
        vmin=-0.5,
        vmax=classes - 0.5,
        aspect="auto",
        extent=(start, start + step * len(line), *band),
        interpolation="nearest",
    )
