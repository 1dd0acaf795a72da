"""Multi-block tube masks (V-JEPA): spatial blocks that run through all of the clip's time.

A mask is a pure function of (seed, step, row, sample), so it does not depend on workers or history.

V-JEPA cuts the masks of a batch to its shortest, which drops the *last frames*. Here one number of
masked positions is drawn for the whole batch and every sample is brought to exactly that number, so
nothing is cut and every visible or hidden token is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unisurg.pretrain.draws import generator
from unisurg.settings import BlockRow, Masks

Mask = NDArray[np.bool_]


def batch_masks(
    settings: Masks, row: int, seed: int, step: int, batch: int, area: tuple[int, int]
) -> Mask:
    """Spatial masks `(batch, h, w)`, True = masked, for one row of `settings.blocks`.

    Every sample has the same number of masked positions, a share of `h * w` within
    `settings.ratio`, never none and never all.

    Raises:
        ValueError: no whole number of positions falls within the ratio.
    """
    count = masked_positions(settings.ratio, generator(seed, "mask ratio", step, row), area)
    blocks = settings.blocks[row]
    return np.stack(
        [
            block_mask(blocks, count, generator(seed, "mask", step, row, sample), area)
            for sample in range(batch)
        ]
    )


def masked_positions(
    ratio: Sequence[float], rng: np.random.Generator, area: tuple[int, int]
) -> int:
    """How many of the `h * w` positions to mask: uniform over the whole numbers in the ratio."""
    positions = area[0] * area[1]
    # The small term keeps 0.95 * 20 = 18.999... at 19.
    least = max(1, math.ceil(ratio[0] * positions - 1e-6))
    most = min(positions - 1, math.floor(ratio[1] * positions + 1e-6))
    if least > most:
        raise ValueError(
            f"pretrain.masks.ratio {tuple(ratio)}: no number of the {area[0]} x {area[1]} "
            "positions falls within; widen the range or enlarge pretrain.size_px"
        )
    return int(rng.integers(least, most + 1))


def block_mask(
    blocks: BlockRow, count: int, rng: np.random.Generator, area: tuple[int, int]
) -> Mask:
    """The union of random blocks `(h, w)`, brought to exactly `count` masked positions.

    `blocks.count` blocks are drawn, and more of the same kind while their union is too small. What
    is then too much is given back position by position at random.
    """
    mask = np.zeros(area, dtype=bool)
    drawn = 0
    while drawn < blocks.count or mask.sum() < count:
        mask[random_block(blocks, rng, area)] = True
        drawn += 1
    masked = np.flatnonzero(mask)
    mask.flat[rng.permutation(masked)[: len(masked) - count]] = False
    return mask


def random_block(
    blocks: BlockRow, rng: np.random.Generator, area: tuple[int, int]
) -> tuple[slice, slice]:
    """A rectangle of about `scale * h * w` positions, height to width within `aspect`."""
    height, width = area
    aspect = rng.uniform(*blocks.aspect)
    positions = blocks.scale * height * width
    rows = min(height, max(1, round(math.sqrt(positions * aspect))))
    columns = min(width, max(1, round(math.sqrt(positions / aspect))))
    top = int(rng.integers(0, height - rows + 1))
    left = int(rng.integers(0, width - columns + 1))
    return slice(top, top + rows), slice(left, left + columns)


def token_indices(mask: Mask, time_steps: int) -> tuple[Tensor, Tensor]:
    """Visible and hidden token indices `(B, K)`, `(B, M)`, ascending, of a tube mask `(B, h, w)`.

    The same positions are hidden at every time step: `K + M = time_steps * h * w`.
    """
    tubes = np.repeat(mask.reshape(len(mask), 1, -1), time_steps, axis=1).reshape(len(mask), -1)

    def indices(chosen: Mask) -> Tensor:
        return torch.from_numpy(np.nonzero(chosen)[1].reshape(len(mask), -1))

    return indices(~tubes), indices(tubes)
