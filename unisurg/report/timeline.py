"""The axis of time that ribbons and timelines share: even steps, gaps left empty, marks in m:ss."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

UNLABELLED = -1


def on_time_line(labels: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Labels (S, ...) in even steps of time (L, ...), -1 in gaps; first moment and step in seconds.

    The step is the commonest distance of two moments.
    """
    distances = np.diff(moments).round(3)
    step = 1.0
    if len(distances):
        values, counts = np.unique(distances, return_counts=True)
        step = float(values[counts.argmax()])
    places = np.round((moments - moments[0]) / step).astype(int)
    line = np.full((places[-1] + 1, *labels.shape[1:]), UNLABELLED, labels.dtype)
    line[places] = labels
    return line, float(moments[0]), step


def dress_time_axis(axes: Axes) -> None:
    """Marks at whole seconds, as `1:30`, each once however short the video; no frame."""
    axes.tick_params(length=0, pad=3)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}"))
    axes.spines[:].set_visible(False)
