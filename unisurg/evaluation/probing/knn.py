"""The k-NN probe: training clips vote for their class, the nearer the more. Nothing is trained.

Source: the k-NN classifier of DINO (arXiv 2104.14294, appendix) and of Wu et al. (arXiv
1805.01978): cosine similarity s, a vote of exp(s / 0.07).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.evaluation.probing.fitting import Head, Judge, OnMetrics, Votes, device_of
from unisurg.evaluation.probing.linear import read_means
from unisurg.evaluation.probing.samples import Samples
from unisurg.evaluation.probing.views import PooledView, views_for
from unisurg.settings import Probe
from unisurg.tasks.classification import Classification

TEMPERATURE = 0.07
SIMILARITIES = 2**22  # in memory at once


@dataclass(frozen=True)
class NeighbourHeads:
    """k-NN heads, see `unisurg.evaluation.probing.kinds`; their grid is of views and neighbours."""

    name: str
    task: Classification
    probe: Probe
    seeded: ClassVar[bool] = False

    def grid(self, known: Samples) -> list[Votes]:
        views = views_for(self.probe.view, known.grid)
        return list(itertools.starmap(Votes, itertools.product(views, self.probe.neighbours)))

    def fit(
        self,
        known: Samples,
        grid: Sequence[Votes],
        seed: int,
        on_epoch: OnMetrics,
        judge: Judge | None,
    ) -> list[Head]:
        means = torch.cat([clips.means for clips in known.clips]).to(device_of())
        labels = self.task.targets(known.truths).to(device_of())
        classes = F.one_hot(labels, self.task.classes).float()
        heads = []
        for votes in grid:
            view = PooledView(votes.view, means, known.dim)
            module = Neighbours(view, means, classes, votes.neighbours)
            heads.append(Head(votes, module, read_means))
        return heads


class Neighbours(nn.Module):
    """Means (S, 2 D) of clips -> log of each class's share of the votes (S, C).

    The `count` nearest training clips vote, and every other that is as near as the last of them, so
    that the order of the training clips does not matter; all of them where there are fewer.
    """

    known: Tensor
    classes: Tensor

    def __init__(self, view: PooledView, means: Tensor, classes: Tensor, count: int) -> None:
        super().__init__()
        self.view, self.count = view, min(count, len(means))
        self.register_buffer("known", self.directions(means))
        self.register_buffer("classes", classes)

    def directions(self, means: Tensor) -> Tensor:
        """Unit vectors (S, D)."""
        return F.normalize(self.view(means), dim=1)

    def forward(self, means: Tensor) -> Tensor:
        chunks = self.directions(means).split(max(1, SIMILARITIES // len(self.known)))
        return torch.cat([self.votes(chunk) for chunk in chunks])

    def votes(self, directions: Tensor) -> Tensor:
        """Log shares (S, C) of clips in directions (S, D); a class without a vote has the least."""
        similarity = directions @ self.known.T
        nearest = similarity.topk(self.count).values
        # Against the nearest, so that the largest vote is 1 whatever the similarity.
        weights = ((similarity - nearest[:, :1]) / TEMPERATURE).exp()
        share = (weights * (similarity >= nearest[:, -1:])) @ self.classes
        share = share / share.sum(1, keepdim=True)
        return share.clamp(min=torch.finfo(share.dtype).tiny).log()
