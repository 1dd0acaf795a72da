"""Action triplets: any number of instrument, verb and target at a moment.

Metrics: `unisurg.tasks.triplet_metrics`. The logits of a head are those of the C triplets, and
perhaps, beside them, those of instruments, verbs and targets, which are trained as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.tasks import triplet_metrics
from unisurg.tasks.base import Drawn, Grid, Loss
from unisurg.tasks.losses import balanced_bce, positive_weights
from unisurg.tasks.triplet_head import TripletHead, plain_head
from unisurg.tasks.triplet_parts import TripletParts

Table = np.ndarray


@dataclass(frozen=True)
class TripletTask:
    """Triplets of a moment, from the clip that ends there; see `unisurg.tasks.base.Task`.

    `with_parts` heads tell instruments, verbs and targets apart and which of them belong together;
    others have a logit per triplet and nothing else. `depth` and `heads` are of attention.
    """

    parts: TripletParts
    depth: int
    heads: int
    with_parts: bool = True
    family: ClassVar[str] = "triplet"

    @property
    def plain(self) -> TripletTask:
        """The same task for heads that know of no parts."""
        return TripletTask(self.parts, self.depth, self.heads, with_parts=False)

    def head(self, dim: int, grid: Grid) -> nn.Module:
        """A fresh head: tokens (B, N, dim) -> logits (B, C), or with parts (B, C + I + V + T)."""
        if self.with_parts:
            return TripletHead(dim, self.parts, grid[0], self.depth, self.heads)
        return plain_head(dim, len(self.parts.of), self.depth, self.heads)

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Rows (S, C) float32 of 0 and 1 of the clips of all cases; with parts (S, C + I + V + T).

        A part is seen where one of its triplets is.
        """
        rows = np.concatenate(truths)
        if self.with_parts:
            kinds = [triplet_metrics.group(rows, of) for of in self.parts.of.T]
            rows = np.concatenate([rows, *kinds], axis=1)
        return torch.as_tensor(rows, dtype=torch.float32)

    def loss(self, targets: Tensor) -> Loss:
        """Binary cross-entropy, what is rare weighted up; a mean over triplets plus one per kind.

        Each mean is one of its own, or 100 triplets would drown six instruments.
        """
        weights = positive_weights(targets)
        sizes = [len(self.parts.of), *(self.parts.sizes if self.with_parts else ())]

        def loss(logits: Tensor, wanted: Tensor) -> Tensor:
            kinds = zip(*(rows.split(sizes, -1) for rows in (logits, wanted, weights)), strict=True)
            return torch.stack([balanced_bce(*kind) for kind in kinds]).sum()

        return loss

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        """Scores (S, C) float32 in 0..1 of the triplets, from logits (S, C or more)."""
        return logits[:, : len(self.parts.of)].float().sigmoid().cpu().numpy()

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        components, nulls = self.parts.components, self.parts.nulls
        return triplet_metrics.tables(truths, predictions, components, nulls)

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> Table:
        components, nulls = self.parts.components, self.parts.nulls
        return triplet_metrics.table(name, truths, predictions, components, nulls)

    def drawn(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Drawn]:
        components, nulls = self.parts.components, self.parts.nulls
        return triplet_metrics.drawn(truths, predictions, components, nulls)
