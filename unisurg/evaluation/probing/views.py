"""What a probe's head sees of a clip's frozen tokens: a view, standardised on training clips.

An attentive head sums over tokens; to subtract one moment from another it would have to learn from
its few labels. Where a class is a way of moving, the `change` view does that beforehand, alike for
every encoder. Standardising per feature is the batch norm without parameters before the linear
probe of MAE (arXiv 2111.06377, appendix A): encoders differ in the scale of their features, and
pretrained ones share a large common offset that drowns what tells tokens apart.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unisurg.settings import ViewName
from unisurg.tasks.base import Grid

SMALLEST = 1e-6  # deviation of a feature that does not vary


class View(nn.Module):
    """Tokens (B, N, D) of clips with `grid` (t, h, w) -> (B, N, `width`), standardised.

    - `tokens`: as they are; `width` is D.
    - `change`: each token less the mean over the clip of its place, which is the still scene, and
      beside it how far each feature moved since the time step before, which has no sign to cancel
      in a sum; `width` is 2 D. The first time step has not moved.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: ViewName, dim: int, grid: Grid) -> None:
        super().__init__()
        self.name, self.grid = name, grid
        self.width = 2 * dim if name == "change" else dim
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("deviation", torch.ones(self.width))

    def forward(self, tokens: Tensor) -> Tensor:
        return (self.raw(tokens) - self.mean) / self.deviation

    def raw(self, tokens: Tensor) -> Tensor:
        """The view (B, N, `width`) before it is standardised."""
        if self.name == "tokens":
            return tokens
        steps = tokens.unflatten(1, (self.grid[0], -1))
        moved = torch.zeros_like(steps)
        moved[:, 1:] = (steps[:, 1:] - steps[:, :-1]).abs()
        return torch.cat([steps - steps.mean(dim=1, keepdim=True), moved], dim=-1).flatten(1, 2)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> View:
        """Take mean and deviation per feature over all tokens of the `batches`; returns itself."""
        count = 0
        total, squares = torch.zeros(2, self.width, dtype=torch.float64)
        for tokens in batches:
            rows = self.raw(tokens).flatten(0, 1).double()
            count += len(rows)
            total += rows.sum(0)
            squares += rows.square().sum(0)
        mean = total / count
        variance = (squares / count - mean**2).clamp(min=0)
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt().clamp(min=SMALLEST))
        return self


class PooledView(nn.Module):
    """Mean tokens (..., `means_of`) of clips -> (..., `width`), standardised over training clips.

    The columns of the view that `means_of` keeps: D of them for either view.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: ViewName, means: Tensor, dim: int) -> None:
        super().__init__()
        self.width = dim
        self.columns = slice(dim, 2 * dim) if name == "change" else slice(0, dim)
        seen = means[:, self.columns].double()
        self.register_buffer("mean", seen.mean(0).float())
        deviation = seen.std(0, correction=0).clamp(min=SMALLEST)
        self.register_buffer("deviation", deviation.float())

    def forward(self, means: Tensor) -> Tensor:
        return (means[..., self.columns] - self.mean) / self.deviation


def means_of(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens (B, N, D) of clips -> (B, 2 D): the mean token, and how far features moved on average.

    They are the means over tokens of both views of a clip; the half of `change` that is each token
    less its place's mean is left out, since its mean is 0.
    """
    steps = tokens.unflatten(1, (grid[0], -1))
    moved = (steps[:, 1:] - steps[:, :-1]).abs().sum((1, 2)) / tokens.shape[1]
    return torch.cat([tokens.mean(1), moved], dim=1)


def views_for(wanted: Iterable[ViewName], grid: Grid) -> list[ViewName]:
    """The wanted views that clips of that grid have: one time step does not change.

    Raises:
        ValueError: none is left.
    """
    left = [name for name in wanted if name == "tokens" or grid[0] > 1]
    if not left:
        raise ValueError(
            f"probe.view: clips of {grid[0]} time step have no change in time; add `tokens`"
        )
    return left
