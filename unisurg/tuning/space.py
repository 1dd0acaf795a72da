"""What a trial may vary, and what its numbers mean in params.yaml.

A point is flat: `ratio_low`, `ratio_width`, `temporal`, `count_0` and `scale_0` of the first row of
blocks, ..., `top_k`, `gamma`, `base_weight`. What the settings in use have no room for is no part
of it: a ratio where masks have none, blocks of tubes, the temporal extent where the objective
follows a position through the whole clip, motion where it has no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unisurg.settings import Settings

Point = Mapping[str, float]
Values = dict[str, Any]

MOST_MASKED = 0.98  # something must be left to see


class SpaceError(ValueError):
    """A range of `tune.space` leaves out the setting in use; the message says which."""


@dataclass(frozen=True)
class Dimension:
    """Numbers from `low` to `high`, both included; `whole` ones alone, or any."""

    low: float
    high: float
    whole: bool = False

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


Space = Mapping[str, Dimension]


def space_of(settings: Settings) -> dict[str, Dimension]:
    """The ranges of `tune.space` that the masks and the objective in use have room for.

    Raises:
        SpaceError: naming the setting in use that its range leaves out.
    """
    ranges, masks = settings.tune.space, settings.pretrain.masks
    objective = settings.pretrain.objective
    space: dict[str, Dimension] = {}
    if masks.ratio is not None:
        space["ratio_low"] = Dimension(*ranges.ratio_low)
        space["ratio_width"] = Dimension(*ranges.ratio_width)
    if masks.kind == "multiblock":
        for row in range(len(masks.blocks)):
            space[f"count_{row}"] = Dimension(*ranges.count, whole=True)
            space[f"scale_{row}"] = Dimension(*ranges.scale)
        if objective.span != "clip":
            space["temporal"] = Dimension(*ranges.temporal)
    if objective.motion_weight:
        space["top_k"] = Dimension(*ranges.top_k, whole=True)
        space["gamma"] = Dimension(*ranges.gamma)
        space["base_weight"] = Dimension(*ranges.base_weight)
    for name, value in default_point(settings).items():
        if name in space and not space[name].holds(value):
            raise SpaceError(
                f"tune.space: {name} is {value:g} in the settings in use, outside of"
                f" {space[name].low:g} to {space[name].high:g}; widen the range, so that the"
                " default can be compared"
            )
    return space


def default_point(settings: Settings) -> dict[str, float]:
    """Where the settings in use lie; of a temporal extent that rows do not share, the first's."""
    masks, objective = settings.pretrain.masks, settings.pretrain.objective
    point: dict[str, float] = {
        "temporal": masks.blocks[0].temporal,
        "top_k": objective.top_k,
        "gamma": objective.gamma,
        "base_weight": objective.base_weight,
    }
    if masks.ratio is not None:
        point["ratio_low"] = masks.ratio[0]
        point["ratio_width"] = round(masks.ratio[1] - masks.ratio[0], 6)
    for row, blocks in enumerate(masks.blocks):
        point[f"count_{row}"] = blocks.count
        point[f"scale_{row}"] = blocks.scale
    return point


def values_of(point: Point, settings: Settings) -> Values:
    """Settings at a point of the space, by their names in params.yaml, as `best.yaml` has them."""
    masks, name = settings.pretrain.masks, settings.pretrain.objective.name
    values: Values = {}
    if "ratio_low" in point:
        low = _short(point["ratio_low"])
        high = min(_short(low + point["ratio_width"]), MOST_MASKED)
        values["pretrain.masks.ratio"] = [low, max(low, high)]
    if "count_0" in point:
        values["pretrain.masks.blocks"] = [
            {
                "count": int(point[f"count_{row}"]),
                "scale": _short(point[f"scale_{row}"]),
                "aspect": list(blocks.aspect),
                "temporal": _short(point.get("temporal", blocks.temporal)),
            }
            for row, blocks in enumerate(masks.blocks)
        ]
    if "top_k" in point:
        values[f"objectives.{name}.top_k"] = int(point["top_k"])
        values[f"objectives.{name}.gamma"] = _short(point["gamma"])
        values[f"objectives.{name}.base_weight"] = _short(point["base_weight"])
    return values


def _short(value: float) -> float:
    """Four digits behind the point: a person reads them, and none of them matters more."""
    return round(float(value), 4)
