"""Predictions of a value per pixel, kept as small as the head makes them.

A head gives a few hundred numbers for a picture of a million pixels. They are brought to its size
one picture at a time, when a metric or a figure asks for it, so that the predictions of a whole
test list fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Resized:
    """One picture's prediction; `np.asarray` gives it at `size` (height, width), float32.

    `finish` makes the prediction of logits (1, H, W) that have been resized.
    """

    logits: np.ndarray
    size: tuple[int, int]
    finish: Callable[[Tensor], Tensor]

    @property
    def shape(self) -> tuple[int, int]:
        return self.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        small = torch.from_numpy(self.logits)[None]
        return np.asarray(self.finish(resize(small, self.size))[0].numpy(), dtype)


def resize(planes: Tensor, size: Sequence[int]) -> Tensor:
    """Planes (B, h, w) -> (B, *size), bilinear."""
    return F.interpolate(planes[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
