"""Labels of a recording that need no picture file of their own: phases, tools, triplets, skill."""

from __future__ import annotations

from typing import Any

import numpy as np

from unisurg.synthetic.exact import ONE, SUB, Array
from unisurg.synthetic.motifs import PHASE_NAMES
from unisurg.synthetic.operation import Operation, States
from unisurg.synthetic.render import Renderer

CHOLEC80_TOOLS = (
    "Grasper",
    "Bipolar",
    "Hook",
    "Scissors",
    "Clipper",
    "Irrigator",
    "SpecimenBag",
)
NULL = "null_verb", "null_target"
MOVING = 6 * SUB  # per fifth of a second
MOMENT_MS = 200
Triplet = tuple[str, str, str]


def frame_times(count: int, rate: tuple[int, int]) -> Array:
    """Times in ms of the first `count` frames at rate[0] / rate[1] frames per second."""
    return np.arange(count, dtype=np.int64) * 1000 * rate[1] // rate[0]


def tools(operation: Operation, states: States) -> Array:
    """(N, 7) 0 or 1: which of Cholec80's tools are in the picture."""
    names = [instrument.name for instrument in operation.world.instruments]
    seen = np.zeros((len(states), len(CHOLEC80_TOOLS)), np.int64)
    for hand in range(2 - operation.world.hands, 2):
        for index, name in enumerate(names):
            here = (states.kind[:, hand] == index) & (states.inserted[:, hand] > ONE // 2)
            seen[here, CHOLEC80_TOOLS.index(name)] = 1
    return seen


def triplets(operation: Operation, renderer: Renderer, ms: int) -> list[Triplet]:
    """(instrument, verb, target) of every instrument in the picture, as in CholecT50."""
    before = max(0, ms - MOMENT_MS)
    pair = operation.at(np.array([before, ms]))
    state, found = pair[1], []
    for hand in range(2 - operation.world.hands, 2):
        if state.inserted[hand] <= ONE // 2:
            continue
        kind = operation.world.instruments[state.kind[hand]]
        if state.grip[hand] <= ONE // 2:
            found.append((kind.name.lower(), *NULL))
            continue
        moved = int(np.abs(state.tip[hand] - pair[0].tip[hand]).max())
        verb = "retract" if kind.verb == "grasp" and moved > MOVING else kind.verb
        target = operation.world.targets[renderer.region_at(state, hand)]
        found.append((kind.name.lower(), verb, target))
    return found


def describe(operation: Operation, renderer: Renderer, source: str) -> dict[str, Any]:
    """Everything that is known of a recording, per second, ready for JSON."""
    seconds = frame_times(operation.seconds, (1, 1))
    states = operation.at(seconds)
    skill = operation.skill
    return {
        "source": source,
        "specialty": operation.world.specialty,
        "seed": operation.seed,
        "seconds": operation.seconds,
        "phases": list(PHASE_NAMES),
        "phase_per_second": states.phase.tolist(),
        "triplets_per_second": [triplets(operation, renderer, int(ms)) for ms in seconds],
        "skill": {
            "steadiness": skill.steadiness,
            "economy": skill.economy,
            "grs": skill.grs,
            "path_px_per_s": path_per_second(operation).tolist(),
        },
    }


def path_per_second(operation: Operation) -> Array:
    """(2,) mean length of the tips' paths, in pixels of a 256-pixel view per second."""
    states = operation.at(frame_times(operation.seconds * 10, (10, 1)))
    steps = np.abs(np.diff(states.tip, axis=0)).max(axis=-1)
    inside = (states.inserted == ONE).all(axis=1)[1:]
    return steps[inside].sum(axis=0) * 10 // (SUB * max(1, int(inside.sum())))
