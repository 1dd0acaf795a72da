"""Factorised rotary positions in time, height and width (V-JEPA 2, arXiv 2506.09985, 2.1).

A head's features are taken in pairs, and each pair is turned by an angle that grows with the
token's position. The first third of the pairs is turned by the time index, the second by the row,
the last by the column; what does not divide by six stays as it is. Turning a query and a key leaves
their product a function of the *difference* of their positions alone.

The table is made once for a forward pass and handed to every block: angles do not depend on block
or head.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Grid = tuple[int, int, int]
BASE = 10_000.0


def axis_dim(head_dim: int) -> int:
    """Features of a head that one axis turns: V-JEPA 2's `2 * ((head_dim // 3) // 2)`."""
    return 2 * ((head_dim // 3) // 2)


@lru_cache(maxsize=16)
def rotary_table(grid: Grid, head_dim: int, device: torch.device) -> Tensor:
    """Turns of every token of a grid `(t, h, w)`: complex64 `(t * h * w, head_dim // 2)`.

    Tokens run with time outermost and width innermost. Pairs that no axis owns have the turn 1.

    Raises:
        ValueError: `head_dim` is odd, or below 6 so that an axis would own nothing.
    """
    if head_dim % 2 or head_dim < 6:
        raise ValueError(f"head dimension {head_dim}: rotary positions need an even number >= 6")
    dim = axis_dim(head_dim)
    # float32 throughout: in bfloat16 the frequencies are off by up to 1.75 %.
    exponent = torch.arange(0, dim, 2, dtype=torch.float32) / dim
    frequency = BASE**-exponent
    index = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float32) for n in grid))
    angle = (index.unsqueeze(-1) * frequency).flatten(1)
    angle = torch.nn.functional.pad(angle, (0, head_dim // 2 - angle.shape[1]))
    return torch.polar(torch.ones_like(angle), angle).to(device)


def take_positions(table: Tensor, index: Tensor | None) -> Tensor:
    """The turns at token indices `(B, K)`, or of all tokens: `(B or 1, K or N, 1, head_dim // 2)`.

    The axis of size one is there for the heads.
    """
    chosen = table.unsqueeze(0) if index is None else table[index]
    return chosen.unsqueeze(-2)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the feature pairs of `x (B, N, heads, head_dim)`; same shape and dtype out.

    `turns` broadcasts against `(B, N, heads, head_dim // 2)`. Written as a complex product because
    that is one pass over memory, three to six times faster on a CPU than sines and cosines apart.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
