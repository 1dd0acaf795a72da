"""Depth: millimetres per pixel of every frame. Metrics: `unisurg.tasks.depth_metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks import depth_metrics
from unisurg.tasks.base import Drawn, Grid, Loss
from unisurg.tasks.dense import Resized, resize
from unisurg.tasks.depth_loss import depth_loss
from unisurg.tasks.heads import DenseDecoder

# A head gives the logarithm of the depth in units of the first, which is where it starts from.
MIDDLE_MM, NEAREST_MM, FARTHEST_MM = 20.0, 0.1, 1000.0
# A pixel of a training target is known where this share of what lies under it is.
KNOWN = 0.5


@dataclass(frozen=True)
class DepthTask:
    """Depth of the last frame of every clip, which is causal; see `unisurg.tasks.base.Task`.

    The truth of a case is a sequence of (H, W) float maps in mm, 0 where the depth is not known,
    all of one size; a prediction is one of the same length. Heads are trained on squares of half
    of `size_px`, whatever the shape of the frame, which is finer than their logits, and predict at
    the size of the frame.
    """

    size_px: int
    family: ClassVar[str] = "depth"

    def head(self, dim: int, grid: Grid) -> nn.Module:
        return DenseDecoder(dim, grid, "newest")

    def targets(self, truths: Sequence[Any]) -> Tensor:
        """Mean known depth under every pixel in mm, 0 where unknown, (frames, px, px)."""
        size = (self.size_px // 2, self.size_px // 2)
        return torch.stack([reduced(frame, size) for truth in truths for frame in truth])

    def loss(self, targets: Tensor) -> Loss:
        def of_logits(logits: Tensor, depths: Tensor) -> Tensor:
            wanted = torch.where(depths > 0, (depths / MIDDLE_MM).clamp(min=1e-6).log(), 0.0)
            return depth_loss(resize(logits, depths.shape[-2:]), wanted, depths > 0)

        return of_logits

    def predict(self, logits: Tensor, truth: Any) -> Any:
        """Depth of every frame in mm at the size of its truth, (H, W), when read."""
        height, width = truth[0].shape
        maps = logits.float().cpu().numpy()
        return [Resized(of_frame, (height, width), millimetres) for of_frame in maps]

    def tables(self, truths: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
        return depth_metrics.tables(truths, map(_each, predictions))

    def table(self, name: str, truths: Sequence[Any], predictions: Sequence[Any]) -> Any:
        return depth_metrics.tables(truths, map(_each, predictions), [name])[name]

    def drawn(self, truths: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Drawn]:
        return {}


def millimetres(logits: Tensor) -> Tensor:
    """Depth of logits, kept within what an endoscope may see."""
    return (MIDDLE_MM * logits.exp()).clamp(NEAREST_MM, FARTHEST_MM)


def reduced(depth: np.ndarray, size: tuple[int, int]) -> Tensor:
    """A map (H, W) at another size: the mean of the known depths, 0 where few are known."""
    values = torch.as_tensor(np.ascontiguousarray(depth), dtype=torch.float32)[None, None]
    known = F.interpolate((values > 0).float(), size, mode="area")[0, 0]
    total = F.interpolate(values, size, mode="area")[0, 0]
    return torch.where(known >= KNOWN, total / known.clamp(min=KNOWN), 0.0)


def _each(of_case: Sequence[Any]) -> Any:
    return (np.asarray(frame) for frame in of_case)
