"""How much there is of each data set, against how often it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import PRETRAINED, RANDOM, RULE

ROW_IN = 0.3


@dataclass(frozen=True)
class Weighed:
    """A data set: its share of all kept time, and of the draws, 0..1."""

    name: str
    of_time: float
    of_draws: float


@styled
def weight_figure(data_sets: Sequence[Weighed]) -> Figure:
    """A line per data set, from its share of the time to its share of the draws, in per cent."""
    figure = Figure(figsize=(WIDTH_IN, 1.1 + ROW_IN * len(data_sets)), layout="constrained")
    axes = figure.subplots()
    rows = range(len(data_sets))[::-1]
    time, draws = ([100 * getattr(one, of) for one in data_sets] for of in ("of_time", "of_draws"))
    axes.hlines(rows, time, draws, color=RULE, linewidth=2.5)
    axes.scatter(time, rows, s=42, color=RANDOM, label="of the time that is kept", zorder=2)
    axes.scatter(draws, rows, s=42, color=PRETRAINED, label="of stage 1’s draws", zorder=2)
    axes.set_yticks(rows, [one.name for one in data_sets])
    axes.set(xlim=(-2, 102), ylim=(-0.7, len(data_sets) - 0.3), xlabel="per cent")
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=2)
    return figure
