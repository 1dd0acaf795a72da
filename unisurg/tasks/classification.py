"""What phases and actions share: a head that classifies a clip, and a class-weighted loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.tasks.base import Drawn, Grid, Loss
from unisurg.tasks.heads import AttentiveProbe
from unisurg.tasks.losses import class_weights, weighted_cross_entropy


@dataclass(frozen=True)
class Classification:
    """A class per clip; `depth` and `heads` are of the attentive head."""

    classes: int
    depth: int
    heads: int
    family: ClassVar[str]

    def head(self, dim: int, grid: Grid) -> nn.Module:
        """A fresh attentive head: tokens (B, N, dim) -> logits (B, classes)."""
        return AttentiveProbe(dim, self.classes, self.depth, self.heads)

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Labels (S,) int64 of the clips of all cases."""
        return torch.as_tensor(np.concatenate(truths))

    def loss(self, targets: Tensor) -> Loss:
        """Cross-entropy of logits (B, classes) and labels (B,), weighted by class.

        Labels `IGNORED` (-1) count in neither the weights nor the loss.
        """
        weights = class_weights(targets.cpu().numpy(), self.classes).to(targets.device)
        return lambda logits, labels: weighted_cross_entropy(logits, labels, weights)

    def drawn(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Drawn]:
        """Every metric of a classification is a table."""
        return {}
