"""Losses of the probes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unisurg.tasks.segments import IGNORED

MOST_WEIGHT = 10.0


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """Balanced weights (C,), scaled so that the smallest is 1; a class without labels weighs 0.

    Labels `IGNORED` are not counted. Source: SurgMotion's phase probes.
    """
    counts = np.bincount(labels[labels != IGNORED], minlength=classes)
    weights = np.where(counts > 0, counts.max() / np.maximum(counts, 1), 0.0)
    return torch.as_tensor(weights, dtype=torch.float32)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of logits (B, C) with labels (B,), averaged by class weight.

    Rows whose label is `IGNORED` (padding) do not count.
    """
    return F.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED)


def positive_weights(targets: Tensor) -> Tensor:
    """How much a 1 weighs beside a 0, by column (C,), of targets (S, C) of 0 and 1.

    The root of how many times rarer it is, in 1..`MOST_WEIGHT`: in full balance the few moments of
    a very rare class would be all that is learned. A column without a 1 has weight 1.
    """
    ones = targets.sum(0)
    rarer = (len(targets) - ones) / ones.clamp(min=1)
    return torch.where(ones > 0, rarer.sqrt().clamp(1, MOST_WEIGHT), torch.ones_like(ones))


def balanced_bce(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of logits (B, C), mean over all, a 1 of column c weighing weights[c]."""
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)


def bce_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice loss per picture; both (B, H, W), masks in 0..1."""
    probability = logits.sigmoid()
    hit = (probability * masks).sum((1, 2))
    total = probability.sum((1, 2)) + masks.sum((1, 2))
    dice = (2 * hit + 1) / (total + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - dice).mean()
