"""Timelines of triplets: which ones a test video shows, above what the probe says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import INK, MUTED, RULE, SHARES
from unisurg.report.timeline import UNLABELLED, dress_time_axis, on_time_line
from unisurg.tasks.triplet_metrics import ap_videowise
from unisurg.tasks.triplet_parts import NULL_VERB

MOST = 6  # triplets that are drawn
ROW_IN, TITLE_IN = 0.27, 0.42
# Two lines of a triplet, truth above prediction, and the gap to the next one.
LINES = 3


@styled
def triplet_figure(cases: Mapping[str, Mapping[str, np.ndarray]], classes: Sequence[str]) -> Figure:
    """A panel per case, and in it two lines per triplet, of those that the cases show most often.

    A case maps `truth` (S, C) of 0 and 1, `pretrained` (S, C) in 0..1 and `moments` (S,) in
    seconds. Triplets that do nothing are left out.
    """
    shown = most_frequent([bands["truth"] for bands in cases.values()], classes)
    height_in = 0.3 + len(cases) * (TITLE_IN + ROW_IN * len(shown))
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    panels = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    scores = np.concatenate([bands["pretrained"][:, shown] for bands in cases.values()])
    highest = scores.max(0).clip(min=np.finfo(scores.dtype).tiny)
    for axes, (case, bands) in zip(panels, cases.items(), strict=True):
        _panel(axes, bands, shown, highest)
        axes.set_title(case, pad=4)
        names = [classes[i].replace(",", " · ") for i in shown]
        axes.set_yticks([_middle(row) for row in range(len(shown))], names, color=INK, fontsize=7.5)
    return figure


def most_frequent(truths: Sequence[np.ndarray], classes: Sequence[str]) -> list[int]:
    """Up to `MOST` triplets that are shown at the most moments, of truths (S, C), most often first.

    Of equal ones the first; none that does nothing. One at least, even if no moment shows it.
    """
    counts = np.sum([(truth > 0).sum(0) for truth in truths], axis=0)
    acting = [i for i, name in enumerate(classes) if NULL_VERB not in name.split(",")]
    often = sorted(acting, key=lambda i: -counts[i])
    return [i for i in often[:MOST] if counts[i]] or often[:1]


def _panel(
    axes: Axes, bands: Mapping[str, np.ndarray], shown: Sequence[int], highest: np.ndarray
) -> None:
    truth, ours, moments = (bands[name] for name in ("truth", "pretrained", "moments"))
    said, start, step = on_time_line(ours[:, shown] / highest, moments)
    seen, _, _ = on_time_line(truth[:, shown].astype(float), moments)
    lines = np.full((LINES * len(shown), len(seen)), float(UNLABELLED))
    lines[0::LINES], lines[1::LINES] = seen.T, said.T
    end = start + step * len(seen)
    axes.imshow(
        np.ma.masked_equal(lines, UNLABELLED),
        cmap=SHARES,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(start, end, len(lines), 0),
        interpolation="nearest",
    )
    precision = ap_videowise([truth[:, shown]], [ours[:, shown]], np.arange(len(shown)))[0]
    for row, value in enumerate(precision.tolist()):
        text = f"AP {100 * value:.0f} %" if np.isfinite(value) else "not shown"
        axes.annotate(
            text, (1.006, _middle(row)), xycoords=("axes fraction", "data"), va="center",
            fontsize=7.5, color=MUTED,
        )  # fmt: skip
    axes.hlines(np.arange(0, len(lines), LINES) - 0.5, start, end, color=RULE, linewidth=0.5)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    dress_time_axis(axes)


def _middle(row: int) -> float:
    """Height of a triplet's two lines."""
    return LINES * row + 1.0
