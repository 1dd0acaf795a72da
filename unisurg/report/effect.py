"""The main result: the same probe on the pretrained and on a random encoder, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unisurg.evaluation.reported import Comparison, Estimate, Results, known
from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.inputs import Inputs
from unisurg.report.palette import ENCODERS, INK, MUTED, PRETRAINED, RANDOM, RULE
from unisurg.report.wording import FAMILIES, group_of, title_of

ROW_IN = 0.52
HEADING = 0.75  # rows that the name of a group takes


@dataclass(frozen=True)
class Effect:
    """The main metric of one benchmark; rows of one `group` stand together.

    `tuned` says that the whole encoder was trained, not a head on a frozen one.
    """

    group: str
    title: str
    metric: str
    pretrained: Estimate
    random: Estimate | None
    difference: Estimate | None
    tuned: bool = False


def effects_of(inputs: Inputs) -> list[Effect]:
    """The main metric of every benchmark, frozen and, below it, fine-tuned; family by family."""
    effects = []
    for benchmark, found in _by_family(inputs.metrics):
        group, title = group_of(benchmark, found.task), title_of(benchmark, inputs)
        effects.append(_effect(group, title, found.main, found, tuned=False))
        if tuned := inputs.tuned.get(benchmark):
            title = f"{title}, fine-tuned"
            effects.append(_effect(group, title, tuned.main, tuned, tuned=True))
    return effects


def _effect(group: str, title: str, main: str, found: Comparison, tuned: bool) -> Effect:
    return Effect(
        group,
        title,
        main,
        found.pretrained[main],
        found.random.get(main),
        found.difference.get(main),
        tuned,
    )


def _by_family(metrics: Mapping[str, Results]) -> list[tuple[str, Results]]:
    families = [*FAMILIES, *(found.task for found in metrics.values())]
    return sorted(metrics.items(), key=lambda row: families.index(row[1].task))


@styled
def effect_figure(effects: Sequence[Effect]) -> Figure:
    """A row per benchmark: both encoders on the left, their paired difference on the right."""
    groups = list(dict.fromkeys(effect.group for effect in effects))
    effects = sorted(effects, key=lambda effect: groups.index(effect.group))
    places, headings, end = _places(effects)
    figure = Figure(figsize=(WIDTH_IN, 0.85 + ROW_IN * end), layout="constrained")
    value, gain = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for row, effect in zip(places, effects, strict=True):
        if effect.random is not None:
            _interval(value, effect.random, row + 0.17, RANDOM)
        _interval(value, effect.pretrained, row - 0.17, PRETRAINED)
        if effect.difference is not None:
            _interval(gain, effect.difference, row, INK)
    value.set_yticks(places, [f"{e.title}\n{e.metric}" for e in effects], color=INK)
    value.set_ylim(end - 0.4, -0.3)
    for group, row in headings.items():
        across = value.get_yaxis_transform()
        value.text(0, row, group, transform=across, color=MUTED, fontweight="bold", va="center")
    value.set_title("Test result, %")
    gain.set_title("Pretrained − random weights, points")
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


def _places(effects: Sequence[Effect]) -> tuple[list[float], dict[str, float], float]:
    """Where each row, and each group's heading, stands from the top; and where the last one ends.

    A single group needs no heading.
    """
    several = len({effect.group for effect in effects}) > 1
    places: list[float] = []
    headings: dict[str, float] = {}
    row = 0.0
    for effect in effects:
        if several and effect.group not in headings:
            headings[effect.group] = row
            row += HEADING
        places.append(row)
        row += 1
    return places, headings, row


def _interval(axes: Axes, estimate: Estimate, y: float, colour: str) -> None:
    """95 % interval as a bar, mean as a disc with its value, seeds as rings."""
    low, mean, high = (100 * bound for bound in (estimate.low, estimate.mean, estimate.high))
    seeds = [100 * seed for seed in known(estimate.seeds)]
    axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.3, solid_capstyle="round")
    axes.scatter(seeds, [y] * len(seeds), s=16, color="white", edgecolors=colour, linewidths=0.9)
    axes.scatter([mean], [y], s=40, color=colour, zorder=3)
    right = max([high, *seeds])
    axes.annotate(
        f"{mean:.1f}", (right, y), (7, 0), textcoords="offset points", va="center", fontsize=8
    )


def _legend(figure: Figure, axes: Axes) -> None:
    for title, colour in ENCODERS.values():
        axes.scatter([], [], s=40, color=colour, label=title)
    axes.scatter([], [], s=16, color="white", edgecolors=MUTED, label="one seed")
    axes.plot([], [], color=MUTED, linewidth=5, alpha=0.3, label="95 % interval over cases")
    figure.legend(loc="outside lower center", ncols=4, handletextpad=0.5)
