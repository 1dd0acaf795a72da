"""Metrics of binary segmentation; each name says its rule.

As in `unisurg.tasks.phase`, a metric is a table with a row per test picture. Two customs differ by
about a point of Dice, so both are given: threshold 0.5 with the mean over pictures (most recent
papers), and the mean over 256 thresholds of the min-max normalised prediction (PraNet's toolbox).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks.base import Grid, Loss
from unisurg.tasks.heads import MaskDecoder
from unisurg.tasks.losses import bce_dice

Table = np.ndarray
THRESHOLDS = np.arange(256) / 255


@dataclass(frozen=True)
class SegmentationTask:
    """One foreground mask per picture; see `unisurg.tasks.base.Task`.

    Heads are trained at `size_px` x `size_px`, the squashed size the encoder saw, and predict at
    the size of the mask.
    """

    size_px: int
    family: ClassVar[str] = "segmentation"

    def head(self, dim: int, grid: Grid) -> nn.Module:
        return MaskDecoder(dim, grid)

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Share of foreground under every pixel of the squashed picture, (pictures, px, px)."""
        size = (self.size_px, self.size_px)
        masks = (torch.as_tensor(truth, dtype=torch.float32)[None, None] for truth in truths)
        return torch.cat([F.interpolate(mask, size, mode="area")[:, 0] for mask in masks])

    def loss(self, targets: Tensor) -> Loss:
        return lambda logits, masks: bce_dice(_resize(logits, masks.shape[-2:]), masks)

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        return _resize(logits, truth.shape)[0].sigmoid().cpu().numpy()

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        return tables(truths, predictions)

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> Table:
        return self.tables(truths, predictions)[name]


def tables(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> dict[str, Table]:
    """Tables of all metrics by exact name; truths are (H, W) bool, predictions (H, W) in 0..1.

    Predictions have the size of the mask, whatever size the network worked at.
    """
    rows = [_picture(t, p) for t, p in zip(truths, predictions, strict=True)]
    return {name: np.array([[row[name]] for row in rows]) for name in rows[0]}


def overlap(truth: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """Dice and IoU of two (H, W) bool masks; both 1 where neither has foreground."""
    hit = float(np.count_nonzero(truth & foreground))
    total = float(np.count_nonzero(truth) + np.count_nonzero(foreground))
    return (2 * hit / total, hit / (total - hit)) if total else (1.0, 1.0)


def overlap_at_thresholds(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU of `scores >= k / 255`, k = 0..255, each (256,); scores (H, W) in 0..1."""
    # One histogram per class replaces 256 passes: a pixel is kept by every threshold up to its bin.
    bins = np.searchsorted(THRESHOLDS, scores.ravel(), side="right") - 1
    inside = truth.ravel()
    hit = _at_least(bins[inside])
    kept = hit + _at_least(bins[~inside])
    total = kept + np.count_nonzero(inside)
    some = np.maximum(total, 1)
    union = np.maximum(total - hit, 1)
    return np.where(total > 0, 2 * hit / some, 1.0), np.where(total > 0, hit / union, 1.0)


def normalised(scores: np.ndarray) -> np.ndarray:
    """Scores stretched to 0..1 within the picture, as PraNet's toolbox does."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else scores


def _resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (B, h, w) -> (B, *size)."""
    return F.interpolate(logits[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _picture(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    if truth.shape != scores.shape:
        raise ValueError(f"a prediction of {scores.shape} for a mask of {truth.shape}")
    dice, iou = overlap(truth, scores >= 0.5)
    stretched = normalised(scores)
    dices, ious = overlap_at_thresholds(truth, stretched)
    return {
        "mean_dice_threshold_0.5": dice,
        "mean_iou_threshold_0.5": iou,
        "mean_dice_256_thresholds": float(dices.mean()),
        "mean_iou_256_thresholds": float(ious.mean()),
        "mae": float(np.abs(stretched - truth).mean()),
    }


def _at_least(bins: np.ndarray) -> np.ndarray:
    """Number of `bins` that are k or more, for k = 0..255."""
    counts = np.bincount(bins, minlength=len(THRESHOLDS))
    return np.cumsum(counts[::-1])[::-1]
