"""Factorised rotary positions in time, height and width (V-JEPA 2, arXiv 2506.09985, 2.1).

A head's features are taken in pairs, and each pair is turned by an angle that grows with the
token's position. The first third of the pairs is turned by the time index, the second by the row,
the last by the column; what does not divide by six stays as it is.

Two conventions:

- `exact`: a pair `(x, y)` is turned by one angle. The product of a query and a key is then a
  function of the *difference* of their positions alone.
- `vjepa2`: as the published code of V-JEPA 2 does it. The two features of a pair take their sines
  and cosines from two different angles, `f` and `g` (the list of angles is laid out twice in a row,
  the pairs are neighbours): `x cos f - y sin f` and `y cos g + x sin g`. That is no rotation, but
  the published weights were trained with it.

Both are one form. With the pair as a complex number `z`, any linear map of the plane is
`a z + b conj(z)`, and a rotation is the case `b = 0`. The table holds `a` and `b`; it is made once
for a forward pass and handed to every block, because it depends neither on the block nor the head.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int, int]
Rotary = Literal["exact", "vjepa2"]
RotaryDtype = Literal["float32", "bfloat16"]
BASE = 10_000.0


class Turns(NamedTuple):
    """The map `z -> a z + b conj(z)` of every token and feature pair.

    Both are float32 `(..., head_dim // 2, 2)`, real and imaginary part last; `b` is None for
    rotations.
    """

    a: Tensor
    b: Tensor | None


def axis_dim(head_dim: int) -> int:
    """Features of a head that one axis turns: V-JEPA 2's `2 * ((head_dim // 3) // 2)`."""
    return 2 * ((head_dim // 3) // 2)


def frequencies(dim: int, dtype: RotaryDtype) -> Tensor:
    """`10000 ** (-2 i / dim)`, float32 `(dim // 2,)`.

    With `bfloat16` the exponents are rounded to bfloat16 before the power is taken in float32, as
    V-JEPA 2's code does under autocast on a GPU. That moves them by up to 1.5 %; the published
    weights were trained so, and are evaluated in float32 with exact ones.
    """
    steps = torch.arange(dim // 2, dtype=getattr(torch, dtype))
    return BASE ** -(steps / (dim / 2)).float()


@lru_cache(maxsize=16)
def rotary_table(
    grid: Grid,
    head_dim: int,
    device: torch.device,
    rotary: Rotary = "exact",
    dtype: RotaryDtype = "float32",
) -> Turns:
    """Turns of every token of a grid `(t, h, w)`, each `(t * h * w, head_dim // 2, 2)`.

    Tokens run with time outermost and width innermost. Pairs that no axis owns stay as they are.

    Raises:
        ValueError: `head_dim` is odd, or below 6 so that an axis would own nothing.
    """
    if head_dim % 2 or head_dim < 6:
        raise ValueError(f"head dimension {head_dim}: rotary positions need an even number >= 6")
    # A table made for an evaluation serves a training step too, which inference mode would forbid.
    with torch.inference_mode(False):
        index = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float32) for n in grid))
        angles = index.unsqueeze(-1) * frequencies(axis_dim(head_dim), dtype)
        first, second = (_unit(part, head_dim // 2) for part in _pair_angles(angles, rotary))
        a = torch.view_as_real((first + second) / 2).to(device)
        if rotary == "exact":
            return Turns(a, None)
        b = ((first - second) / 2).conj().resolve_conj()
        return Turns(a, torch.view_as_real(b).to(device))


def _pair_angles(angles: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    """The angles of a pair's first and second feature, each like `angles (N, 3, axis_dim // 2)`."""
    if rotary == "exact":
        return angles, angles
    first, second = torch.cat([angles, angles], dim=-1).unflatten(-1, (-1, 2)).unbind(-1)
    return first, second


def _unit(angles: Tensor, pairs: int) -> Tensor:
    """`exp(i angle)` of all axes in a row, then 1 up to `pairs`: complex64 `(N, pairs)`."""
    flat = angles.flatten(1)
    flat = F.pad(flat, (0, pairs - flat.shape[1]))
    return torch.polar(torch.ones_like(flat), flat)


def take_positions(table: Turns, index: Tensor | None) -> Turns:
    """The turns at token indices `(B, K)`, or of all tokens.

    Each is `(B or 1, K or N, 1, head_dim // 2, 2)`; the axis of size one is there for the heads.
    """

    def take(part: Tensor) -> Tensor:
        return (part.unsqueeze(0) if index is None else part[index]).unsqueeze(2)

    return Turns(take(table.a), None if table.b is None else take(table.b))


def rotate(x: Tensor, turns: Turns) -> Tensor:
    """Turn the feature pairs of `x (B, N, heads, head_dim)`; same shape and dtype out.

    `turns` broadcasts against `(B, N, heads, head_dim // 2, 2)`. Eagerly it is a complex product,
    one pass over memory and several times faster on a CPU than sines and cosines apart; the
    compiler knows no complex numbers and fuses the real form into one pass by itself.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    form = _real if torch.compiler.is_compiling() else _complex
    return form(pairs, turns).flatten(-2).to(x.dtype)


def _complex(pairs: Tensor, turns: Turns) -> Tensor:
    z = torch.view_as_complex(pairs)
    turned = z * torch.view_as_complex(turns.a)
    if turns.b is not None:
        turned = torch.addcmul(turned, z.conj(), torch.view_as_complex(turns.b))
    return torch.view_as_real(turned)


def _real(pairs: Tensor, turns: Turns) -> Tensor:
    x, y = pairs.unbind(-1)
    real, imaginary = turns.a.unbind(-1)
    u, v = x * real - y * imaginary, y * real + x * imaginary
    if turns.b is not None:
        real, imaginary = turns.b.unbind(-1)
        u, v = u + x * real + y * imaginary, v + x * imaginary - y * real
    return torch.stack([u, v], dim=-1)
