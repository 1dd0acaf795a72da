"""Scripts of short operations: which of a benchmark's steps an operation shows, and for how long.

Every operation leaves some steps out, and which ones goes round from one operation to the next:
each step is then shown about equally often, in training as in the test. Half of the operations take
two neighbouring steps in the other order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unisurg.synthetic.operation import Script

SHOWN = 5
WEIGHTS = (750, 1251)  # of a step's length, beside the others of its operation


def usual_order(rng: np.random.Generator, number: int, steps: int, shown: int = SHOWN) -> list[int]:
    """Indices of the steps that operation `number` shows, of `steps` in their usual order."""
    left_out = max(0, steps - shown)
    skipped = {(number * left_out + i) % steps for i in range(left_out)}
    order = [step for step in range(steps) if step not in skipped]
    if rng.integers(2):
        turn = int(rng.integers(len(order) - 1))
        order[turn], order[turn + 1] = order[turn + 1], order[turn]
    return order


def fill(
    rng: np.random.Generator,
    motifs: Sequence[int],
    span_ms: int,
    before: Sequence[int] = (),
    after: Sequence[int] = (),
) -> Script:
    """The motifs one after the other until `span_ms`, none much longer than another.

    Those of `before` and `after` last a third as long.
    """
    every = [*before, *motifs, *after]
    weights = rng.integers(*WEIGHTS, len(every))
    weights[: len(before)] //= 3
    weights[len(before) + len(motifs) :] //= 3
    ends = np.cumsum(weights)
    starts = np.concatenate([[0], ends[:-1]]) * span_ms // int(ends[-1])
    return Script(starts.astype(np.int64), np.array(every, np.int64))


def in_turn(motifs: Sequence[int], lengths_ms: Sequence[int], lead_ms: int) -> Script:
    """The motifs one after the other, each that long; the first begins `lead_ms` earlier."""
    starts = lead_ms + np.concatenate([[0], np.cumsum(lengths_ms)[:-1]])
    starts[0] = 0
    return Script(starts.astype(np.int64), np.array(motifs, np.int64))
