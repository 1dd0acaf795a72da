"""The main result: the same probe on the pretrained and on a random encoder, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import INK, MUTED, PRETRAINED, RANDOM, RULE

Estimate = Mapping[str, Any]


@dataclass(frozen=True)
class Effect:
    """One benchmark's main metric; estimates have mean, low, high and seeds, all in 0..1."""

    title: str
    metric: str
    pretrained: Estimate
    random: Estimate | None
    difference: Estimate | None


@styled
def effect_figure(effects: Sequence[Effect]) -> Figure:
    """A row per benchmark: both encoders on the left, their paired difference on the right."""
    figure = Figure(figsize=(WIDTH_IN, 0.75 + 0.85 * len(effects)), layout="constrained")
    value, gain = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for row, effect in enumerate(effects):
        for estimate, colour, offset in (
            (effect.random, RANDOM, -0.17),
            (effect.pretrained, PRETRAINED, 0.17),
        ):
            if estimate is not None:
                _interval(value, estimate, row - offset, colour)
        if effect.difference is not None:
            _interval(gain, effect.difference, row, INK)
    labels = [f"{effect.title}\n{effect.metric}" for effect in effects]
    value.set_yticks(range(len(effects)), labels, color=INK)
    value.set_ylim(len(effects) - 0.5, -0.5)
    value.set_title("Test result, %")
    gain.set_title("Pretrained − random, points")
    gain.axvline(0, color=MUTED, linewidth=0.9, zorder=0)
    low, high = gain.get_xlim()
    gain.set_xlim(min(low, -1.0), max(high, 1.0))
    for axes in (value, gain):
        axes.tick_params(left=False)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
    _legend(figure, value)
    return figure


def _interval(axes: Axes, estimate: Estimate, y: float, colour: str) -> None:
    """95 % interval as a bar, mean as a disc with its value, seeds as rings."""
    low, mean, high = (100 * estimate[key] for key in ("low", "mean", "high"))
    seeds = [100 * seed for seed in estimate["seeds"]]
    axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.3, solid_capstyle="round")
    axes.scatter(seeds, [y] * len(seeds), s=16, color="white", edgecolors=colour, linewidths=0.9)
    axes.scatter([mean], [y], s=44, color=colour, zorder=3)
    axes.annotate(
        f"{mean:.1f}", (max(high, *seeds), y), (7, 0), textcoords="offset points", va="center"
    )


def _legend(figure: Figure, axes: Axes) -> None:
    axes.scatter([], [], s=44, color=PRETRAINED, label="pretrained")
    axes.scatter([], [], s=44, color=RANDOM, label="random weights")
    axes.scatter([], [], s=16, color="white", edgecolors=MUTED, label="one seed")
    axes.plot([], [], color=MUTED, linewidth=5, alpha=0.3, label="95 % interval over cases")
    figure.legend(loc="outside lower center", ncols=4, handletextpad=0.5)
