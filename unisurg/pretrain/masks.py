"""Which tokens of a clip are hidden: V-JEPA's blocks, or VideoMAE's tubes.

A mask is a pure function of (seed, step, row, sample), so it does not depend on workers, processes
or history. Masks are made for the global batch; a process takes its samples of it.

With a `ratio` one number of masked positions is drawn for the whole batch and every sample is
brought to exactly that number, so nothing is cut. Without one a sample's number is what its blocks
cover (V-JEPA 2), and `truncate` says how a batch of unequal lists becomes a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unisurg.pretrain.draws import generator
from unisurg.settings import BlockRow, Masks

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Grid = tuple[int, int, int]  # tokens in time, height, width
Block = tuple[int, int, int]  # size in tokens, likewise

REDRAWS = 1000  # of a mask that leaves nothing visible, before its settings are refused


@dataclass(frozen=True)
class TokenMasks:
    """Token indices of a batch, ascending in each sample.

    Where samples differ in length, a shorter one repeats its last index, and `valid` is False
    there; None where nothing is padded.

    Attributes:
        keep: what the context encoder sees `(B, K)`, int64.
        hidden: what is predicted `(B, M)`, int64.
        keep_valid, hidden_valid: bool of the same shapes, or None.
    """

    keep: Tensor
    hidden: Tensor
    keep_valid: Tensor | None = None
    hidden_valid: Tensor | None = None

    @property
    def valid(self) -> Tensor | None:
        """What is no padding of visible and hidden tokens together `(B, K + M)`, or None."""
        if self.keep_valid is None and self.hidden_valid is None:
            return None
        pairs = ((self.keep, self.keep_valid), (self.hidden, self.hidden_valid))
        return torch.cat(
            [
                torch.ones_like(x, dtype=torch.bool) if valid is None else valid
                for x, valid in pairs
            ],
            dim=1,
        )

    def take_hidden(self, tokens: Tensor) -> Tensor:
        """What belongs to the hidden tokens `(B, M, ...)` of something for all `(B, N, ...)`."""
        return tokens[torch.arange(len(tokens), device=tokens.device).unsqueeze(1), self.hidden]

    def of_rank(self, rank: int, world: int) -> TokenMasks:
        """Samples `rank::world`: those of one of `world` processes.

        Raises:
            ValueError: the batch does not divide into `world`.
        """
        self._divides(world, "processes")
        return self._of(slice(rank, None, world))

    def part(self, index: int, parts: int) -> TokenMasks:
        """Part `index` of `parts` runs of consecutive samples, for accumulated gradients.

        Raises:
            ValueError: the batch does not divide into `parts`.
        """
        self._divides(parts, "parts")
        size = len(self.keep) // parts
        return self._of(slice(index * size, (index + 1) * size))

    def to(self, device: torch.device) -> TokenMasks:
        return self._each(lambda x: x.to(device))

    def _of(self, samples: slice) -> TokenMasks:
        return self._each(lambda x: x[samples])

    def _each(self, change: Callable[[Tensor], Tensor]) -> TokenMasks:
        keep_valid = None if self.keep_valid is None else change(self.keep_valid)
        hidden_valid = None if self.hidden_valid is None else change(self.hidden_valid)
        return TokenMasks(change(self.keep), change(self.hidden), keep_valid, hidden_valid)

    def _divides(self, number: int, what: str) -> None:
        if len(self.keep) % number:
            raise ValueError(
                f"pretrain.batch: masks of {len(self.keep)} samples do not divide into "
                f"{number} {what}"
            )


def passes(settings: Masks) -> int:
    """Masks made of each clip, `row` 0 to one less: a row of blocks each, and one of tubes."""
    return 1 if settings.kind == "tube" else len(settings.blocks)


def make_masks(
    settings: Masks, row: int, seed: int, step: int, batch: int, grid: Grid
) -> TokenMasks:
    """Visible and hidden tokens of the global batch, neither ever empty.

    Args:
        row: of `settings.blocks`, below `passes(settings)`.
        batch: clips of the global batch; `TokenMasks.of_rank` gives a process its own.
        grid: tokens of the clip in time, height and width.

    Raises:
        ValueError: no whole number of positions falls within the ratio, or the blocks cover all.
    """
    mask = dense_mask(settings, row, seed, step, batch, grid).reshape(batch, -1)
    draws = [generator(seed, "mask cut", step, row, sample) for sample in range(batch)]
    keep, keep_valid = _evened([np.flatnonzero(~m) for m in mask], settings, draws)
    hidden, hidden_valid = _evened([np.flatnonzero(m) for m in mask], settings, draws)
    return TokenMasks(keep, hidden, keep_valid, hidden_valid)


def dense_mask(settings: Masks, row: int, seed: int, step: int, batch: int, grid: Grid) -> Mask:
    """The masks before anything is truncated `(B, t, h, w)`, True = masked; see `make_masks`."""
    draws = [generator(seed, "mask", step, row, sample) for sample in range(batch)]
    blocks = settings.blocks[row]
    if settings.ratio is None:
        size = block_size(
            blocks,
            math.floor(blocks.scale * grid[1] * grid[2]),
            generator(seed, "mask size", step, row),
            grid,
        )
        return np.stack([union_mask(size, blocks.count, rng, grid) for rng in draws])
    # A tube is drawn as a mask of one time step.
    drawn = (1, *grid[1:]) if settings.through_time else grid
    count = masked_positions(settings.ratio, generator(seed, "mask ratio", step, row), drawn)
    if settings.kind == "tube":
        masks = [scattered_mask(count, rng, drawn) for rng in draws]
    else:
        masks = [block_mask(blocks, count, rng, drawn) for rng in draws]
    return np.broadcast_to(np.stack(masks), (batch, *grid)).copy()


def masked_positions(ratio: Sequence[float], rng: np.random.Generator, grid: Grid) -> int:
    """How many positions of the grid to mask: uniform over the whole numbers in the ratio.

    Never none and never all.

    Raises:
        ValueError: no whole number falls within the ratio.
    """
    positions = math.prod(grid)
    # The small term keeps 0.95 * 20 = 18.999... at 19.
    least = max(1, math.ceil(ratio[0] * positions - 1e-6))
    most = min(positions - 1, math.floor(ratio[1] * positions + 1e-6))
    if least > most:
        raise ValueError(
            f"pretrain.masks.ratio {tuple(ratio)}: no number of the {' x '.join(map(str, grid))} "
            "positions falls within; widen the range or enlarge pretrain.size_px"
        )
    return int(rng.integers(least, most + 1))


def scattered_mask(count: int, rng: np.random.Generator, grid: Grid) -> Mask:
    """`count` single positions, each choice of them as likely as another (VideoMAE)."""
    mask = np.zeros(grid, dtype=bool)
    mask.flat[rng.permutation(mask.size)[:count]] = True
    return mask


def block_mask(blocks: BlockRow, count: int, rng: np.random.Generator, grid: Grid) -> Mask:
    """The union of random blocks, brought to exactly `count` masked positions of the grid.

    `blocks.count` blocks are drawn, and more of the same kind while their union is too small. What
    is then too much is given back position by position at random.
    """
    mask = np.zeros(grid, dtype=bool)
    area = blocks.scale * grid[1] * grid[2]
    drawn = 0
    while drawn < blocks.count or mask.sum() < count:
        mask[place_block(block_size(blocks, area, rng, grid), rng, grid)] = True
        drawn += 1
    masked = np.flatnonzero(mask)
    mask.flat[rng.permutation(masked)[: len(masked) - count]] = False
    return mask


def union_mask(size: Block, count: int, rng: np.random.Generator, grid: Grid) -> Mask:
    """The union of `count` blocks of one size, drawn anew while it covers all (V-JEPA 2).

    Raises:
        ValueError: the blocks never leave a position visible.
    """
    for _ in range(REDRAWS):
        mask = np.zeros(grid, dtype=bool)
        for _ in range(count):
            mask[place_block(size, rng, grid)] = True
        if not mask.all():
            return mask
    raise ValueError(
        f"pretrain.masks.blocks: {count} blocks of {' x '.join(map(str, size))} tokens cover all "
        f"{' x '.join(map(str, grid))}; lower count, scale or temporal, or set pretrain.masks.ratio"
    )


def block_size(blocks: BlockRow, area: float, rng: np.random.Generator, grid: Grid) -> Block:
    """Time steps, rows and columns of a block: about `area` positions for `temporal` of the clip.

    Height to width is uniform within `blocks.aspect`, up to rounding; at most the whole grid.
    """
    time, height, width = grid
    aspect = rng.uniform(*blocks.aspect)
    return (
        # The small term keeps 0.29 * 100 = 28.999... at 29.
        max(1, math.floor(blocks.temporal * time + 1e-6)),
        min(height, max(1, round(math.sqrt(area * aspect)))),
        min(width, max(1, round(math.sqrt(area / aspect)))),
    )


def place_block(size: Block, rng: np.random.Generator, grid: Grid) -> tuple[slice, slice, slice]:
    """A block of that size at a random place that lies within the grid."""
    time, height, width = grid
    top = int(rng.integers(0, height - size[1] + 1))
    left = int(rng.integers(0, width - size[2] + 1))
    start = int(rng.integers(0, time - size[0] + 1))
    return (
        slice(start, start + size[0]),
        slice(top, top + size[1]),
        slice(left, left + size[2]),
    )


def _evened(
    lists: Sequence[Indices], settings: Masks, draws: Sequence[np.random.Generator]
) -> tuple[Tensor, Tensor | None]:
    """Index lists of a batch as one tensor, and which entries are no padding."""
    lengths = np.array([len(indices) for indices in lists])
    least, most = lengths.min(), lengths.max()
    valid = None
    if settings.truncate == "none" and least < most:
        lists = [np.pad(indices, (0, most - len(indices)), mode="edge") for indices in lists]
        valid = torch.from_numpy(np.arange(most) < lengths[:, None])
    elif settings.truncate == "prefix":
        lists = [indices[:least] for indices in lists]
    elif settings.truncate == "random":
        lists = [
            np.sort(rng.permutation(indices)[:least])
            for indices, rng in zip(lists, draws, strict=True)
        ]
    return torch.from_numpy(np.stack(lists).astype(np.int64)), valid
