"""Segmentation: a foreground mask per picture. Metrics: `unisurg.tasks.mask_metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks import mask_metrics
from unisurg.tasks.base import Drawn, Grid, Loss
from unisurg.tasks.dense import Resized, resize
from unisurg.tasks.heads import DenseDecoder
from unisurg.tasks.losses import bce_dice


@dataclass(frozen=True)
class SegmentationTask:
    """One foreground mask per picture; see `unisurg.tasks.base.Task`.

    Heads are trained at `size_px` x `size_px`, the squashed size the encoder saw, and predict at
    the size of the mask.
    """

    size_px: int
    family: ClassVar[str] = "segmentation"

    def head(self, dim: int, grid: Grid) -> nn.Module:
        return DenseDecoder(dim, grid, "mean")

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Share of foreground under every pixel of the squashed picture, (pictures, px, px)."""
        size = (self.size_px, self.size_px)
        masks = (torch.as_tensor(truth, dtype=torch.float32)[None, None] for truth in truths)
        return torch.cat([F.interpolate(mask, size, mode="area")[:, 0] for mask in masks])

    def loss(self, targets: Tensor) -> Loss:
        return lambda logits, masks: bce_dice(resize(logits, masks.shape[-2:]), masks)

    def predict(self, logits: Tensor, truth: np.ndarray) -> Any:
        """Probability of the foreground at the size of the mask, (H, W) in 0..1, when read."""
        height, width = truth.shape
        return Resized(logits[0].float().cpu().numpy(), (height, width), torch.sigmoid)

    def tables(self, truths: Sequence[np.ndarray], predictions: Sequence[Any]) -> dict[str, Any]:
        return mask_metrics.tables(truths, (np.asarray(found) for found in predictions))

    def table(self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[Any]) -> Any:
        scores = (np.asarray(found) for found in predictions)
        if name in mask_metrics.AT_HALF:
            return mask_metrics.tables_at_half(truths, scores)[name]
        return mask_metrics.tables(truths, scores)[name]

    def drawn(self, truths: Sequence[np.ndarray], predictions: Sequence[Any]) -> dict[str, Drawn]:
        return mask_metrics.drawn(truths, (np.asarray(found) for found in predictions))
