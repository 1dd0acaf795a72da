"""Which clips make a batch: balanced over specialties and data sets, a pure function of the step.

A video is drawn with the weights of `corpus.balance` (UniSurg, 1.8), then a window in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisurg.pretrain.draws import generator
from unisurg.video.sampling import random_window


@dataclass(frozen=True)
class Draw:
    """One clip of a batch: a row of the manifest, and the numbers of its frames `(T,)`."""

    row: int
    frames: NDArray[np.int64]


def draw_batch(
    weights: NDArray[np.float64],
    n_frames: Sequence[int],
    frames: int,
    batch: int,
    seed: int,
    step: int,
) -> list[Draw]:
    """The clips of one batch.

    Args:
        weights: probability of each video, at any scale.
        n_frames: length of each video.
        frames: per clip; a shorter video is padded by its last frame.

    Raises:
        ValueError: weights that do not belong to the videos, or are all zero.
    """
    if len(weights) != len(n_frames) or not np.sum(weights) > 0:
        raise ValueError(
            f"{len(weights)} weights for {len(n_frames)} videos; need one each, not all 0"
        )
    rng = generator(seed, "clips", step)
    rows = rng.choice(len(weights), size=batch, p=weights / np.sum(weights))
    return [Draw(int(row), random_window(n_frames[row], frames, rng)) for row in rows]
