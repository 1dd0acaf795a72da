"""What probing one encoder on one benchmark costs, counted by formula: `probing.py` measures it.

FLOPs are matrix products and attention, two for each multiplication with its addition. A head that
is trained costs three forward passes, four with checkpointing.

The official protocol is that of SurgMotion's release (eval.py, models.py, attentive_pooler.py): the
encoder on a clip for every labelled second; 20 heads, each three blocks of self-attention over all
tokens and one of cross-attention, checkpointed, for one epoch; all 20 on every test clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unisurg.evaluation.extraction.windows import hop
from unisurg.models.sizes import Size
from unisurg.settings import Probe, Protocol

CHANNELS = 3
MLP_RATIO = 4  # of a head's block
OFFICIAL_HEADS = 20  # four weight decays, five learning rates
OFFICIAL_DEPTH = 3  # blocks of self-attention before the cross-attention
TRAINED, CHECKPOINTED = 3, 4  # forward passes that a trained clip is worth


@dataclass(frozen=True)
class Shape:
    """An encoder and its clips: `frames` pictures of `height` x `width` pixels, `classes` asked."""

    encoder: Size
    frames: int
    height: int
    width: int
    classes: int
    tubelet: tuple[int, int, int] = (2, 16, 16)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens in time, height and width."""
        t, h, w = self.tubelet
        return self.frames // t, self.height // h, self.width // w

    @property
    def tokens(self) -> int:
        t, h, w = self.grid
        return t * h * w

    def pooled(self, grid: int) -> int:
        """Tokens that are left where each time step is pooled to grid x grid; 0 keeps all."""
        t, h, w = self.grid
        return t * min(h, grid) * min(w, grid) if grid else self.tokens


@dataclass(frozen=True)
class Counts:
    """How many clips there are.

    `train` and `test` are labelled seconds, as the official protocol takes them. `fit` and `val`
    are the clips of training and validation videos that ours takes, `windows` the half-overlapping
    windows over all videos. `refit`: a chosen head is trained again on train + val, which the
    official protocol trains on as well.
    """

    train: int
    test: int
    fit: int
    val: int
    windows: int
    refit: bool


@dataclass(frozen=True)
class Bill:
    """Amounts by what they are spent on, in FLOPs or in seconds."""

    encoder: float
    training: float
    testing: float

    @property
    def total(self) -> float:
        return self.encoder + self.training + self.testing


@dataclass(frozen=True)
class Prices:
    """What one clip costs: in the encoder, and in one head by its width, trained and not."""

    encoder: float
    trained: dict[int, float]
    tested: dict[int, float]


def encoder_flops(shape: Shape) -> float:
    """One clip through the encoder."""
    size, tokens = shape.encoder, shape.tokens
    t, h, w = shape.tubelet
    embedding = 2 * CHANNELS * t * h * w * size.dim * tokens
    block = (8 * size.dim**2 + 4 * size.dim * size.hidden) * tokens + 4 * size.dim * tokens**2
    return size.depth * block + embedding


def head_flops(width: int, tokens: int, depth: int, classes: int) -> float:
    """One clip forward through an attentive head on `tokens` tokens of `width` features."""
    mlp = 4 * MLP_RATIO * width**2
    block = (8 * width**2 + mlp) * tokens + 4 * width * tokens**2
    query = 4 * width**2 + mlp + 2 * width * classes
    return depth * block + 4 * width**2 * tokens + 4 * width * tokens + query


def official_prices(shape: Shape) -> Prices:
    """All official heads together, under the encoder's width."""
    dim = shape.encoder.dim
    heads = OFFICIAL_HEADS * head_flops(dim, shape.tokens, OFFICIAL_DEPTH, shape.classes)
    return Prices(encoder_flops(shape), {dim: CHECKPOINTED * heads}, {dim: heads})


def our_prices(shape: Shape, probe: Probe, grid: int) -> Prices:
    """One head of ours, under each width that a view of the tokens has."""
    tokens = shape.pooled(grid)
    once = {
        width: head_flops(width, tokens, probe.depth, shape.classes)
        for width in set(widths(probe, shape.encoder.dim))
    }
    return Prices(encoder_flops(shape), {w: TRAINED * flops for w, flops in once.items()}, once)


def widths(probe: Probe, dim: int) -> list[int]:
    """Width of each point of the grid, the widest first; `change` has two features for each one."""
    points = len(probe.lr) * len(probe.weight_decay)
    wide = {"tokens": dim, "change": 2 * dim}
    return sorted((wide[view] for view in probe.view for _ in range(points)), reverse=True)


def official(counts: Counts, prices: Prices) -> Bill:
    """The official protocol: every clip once through the encoder and through all heads."""
    (dim,) = prices.tested
    return Bill(
        (counts.train + counts.test) * prices.encoder,
        counts.train * prices.trained[dim],
        counts.test * prices.tested[dim],
    )


def ours(
    counts: Counts, prices: Prices, probe: Probe, dim: int, epochs: int, protocol: Protocol
) -> Bill:
    """Ours with one seed: the grid with its halvings, the choice, a refit, the chosen head's test.

    Which heads survive a halving is not known beforehand: the widest are taken.
    """
    alive = widths(probe, dim)
    rungs = {round(share * epochs) for share in probe.halving}
    training = 0.0
    for epoch in range(epochs):
        if epoch in rungs and len(alive) > 1:
            training += counts.val * sum(prices.tested[width] for width in alive)
            alive = alive[: len(alive) // 2]
        training += counts.fit * sum(prices.trained[width] for width in alive)
    training += counts.val * sum(prices.tested[width] for width in alive)
    widest = alive[0]
    if counts.refit:
        training += epochs * (counts.fit + counts.val) * prices.trained[widest]
    encoded = counts.fit + counts.val + counts.test if protocol == "dense" else counts.windows
    return Bill(encoded * prices.encoder, training, counts.test * prices.tested[widest])


def windows_over(seconds: Sequence[float], shape: Shape, fps: float) -> int:
    """Half-overlapping windows over videos of those lengths, as `fast` encodes them."""
    tubelet = shape.tubelet[0]
    step = hop(shape.frames, tubelet)
    filled = (-(-round(length * fps) // tubelet) * tubelet for length in seconds)
    return sum(-(-frames // step) for frames in filled)
