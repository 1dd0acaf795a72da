"""Rated trials: the predicted rating against the true one, exercise by exercise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.benchmarks.jigsaws import GRS_RANGE
from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import ENCODERS, MUTED, RULE

Bands = Mapping[str, np.ndarray]
MARGIN = 1  # points beside the scale


@styled
def rating_figure(cases: Mapping[str, Bands]) -> Figure:
    """A panel per exercise, a dot per trial and encoder; on the line both ratings are equal.

    A case maps `truth`, `pretrained` and perhaps `random` to the rows of a trial's clips, see
    `unisurg.tasks.skill`; all rows of a trial have its rating.
    """
    exercises = list(dict.fromkeys(_exercise(bands) for bands in cases.values()))
    figure = Figure(
        figsize=(WIDTH_IN, 0.9 + WIDTH_IN / max(len(exercises), 3)), layout="constrained"
    )
    panels = figure.subplots(1, len(exercises), sharex=True, sharey=True, squeeze=False)[0]
    for axes, exercise in zip(panels, exercises, strict=True):
        _panel(axes, [bands for bands in cases.values() if _exercise(bands) == exercise])
        axes.set_title(exercise.replace("_", " "))
        axes.set_xlabel("true rating, points")
    panels[0].set_ylabel("predicted rating, points")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def best_constant(cases: Mapping[str, Bands]) -> float:
    """`closeness_grs_over_trials` of the one answer to all trials that would get the most, in 0..1.

    That answer is the median of the true ratings.
    """
    ratings = np.array([bands["truth"]["rating"][0] for bands in cases.values()], float)
    error = np.abs(ratings - np.median(ratings)).mean()
    return float(1 - error / (GRS_RANGE[1] - GRS_RANGE[0]))


def gestures_of(cases: Mapping[str, Bands]) -> dict[str, dict[str, np.ndarray]]:
    """Gestures (S,) and their moments as one camera has them, of the trials that have any."""
    found = {}
    for case, bands in cases.items():
        camera = bands["truth"]["camera"]
        here = camera == camera[0]
        if (bands["truth"]["gesture"][here] >= 0).any():
            found[case] = {
                name: rows[here] if name == "moments" else rows["gesture"][here]
                for name, rows in bands.items()
            }
    return found


def _exercise(bands: Bands) -> str:
    return str(bands["truth"]["exercise"][0])


def _panel(axes: Axes, trials: list[Bands]) -> None:
    low, high = GRS_RANGE[0] - MARGIN, GRS_RANGE[1] + MARGIN
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.9, label="as rated")
    for encoder, (title, colour) in reversed(ENCODERS.items()):
        rated = [
            (bands["truth"]["rating"][0], bands[encoder]["rating"][0])
            for bands in trials
            if encoder in bands
        ]
        if rated:
            true, found = zip(*rated, strict=True)
            axes.scatter(true, found, s=26, color=colour, linewidths=0, alpha=0.85, label=title)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
