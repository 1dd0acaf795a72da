"""Heads over all tokens of a clip: V-JEPA 2's attentive probe, or the decoder of masks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.evaluation.probing.fitting import (
    Head,
    Hyper,
    Judge,
    OnMetrics,
    Plan,
    device_of,
    fit,
    runner,
)
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.views import View, views_for
from unisurg.settings import Probe
from unisurg.tasks.base import Grid, Task


@dataclass(frozen=True)
class TokenSource:
    """Clips with all their tokens."""

    samples: Samples
    wanted: Tensor

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, ids: np.ndarray) -> Tensor:
        """Tokens (B, N, D)."""
        return self.samples.batch(ids)

    def targets(self, ids: np.ndarray) -> Tensor:
        return self.wanted[ids]


@dataclass(frozen=True)
class TokenHeads:
    """The family's own head, over tokens; see `unisurg.evaluation.probing.kinds.Kind`."""

    name: str
    task: Task
    probe: Probe
    seeded: ClassVar[bool] = True

    def grid(self, known: Samples) -> list[Hyper]:
        return trained_grid(self.probe, known.grid)

    def fit(
        self,
        known: Samples,
        grid: Sequence[Hyper],
        seed: int,
        on_epoch: OnMetrics,
        judge: Judge | None,
    ) -> list[Head]:
        views = {
            name: View(name, known.dim, known.grid).fit(known.batches())
            for name in dict.fromkeys(hyper.view for hyper in grid)
        }

        def build(view: View) -> nn.Module:
            return nn.Sequential(view, self.task.head(view.width, view.grid))

        runners = [
            runner(hyper, partial(build, views[hyper.view]), read_tokens, seed) for hyper in grid
        ]
        targets = self.task.targets(known.truths)
        loss = self.task.loss(targets.to(device_of()))
        plan = Plan(epochs_of(self.task.family, self.probe), self.probe.batch, self.probe.halving)
        return fit(TokenSource(known, targets), loss, runners, plan, seed, on_epoch, judge)


def trained_grid(probe: Probe, grid: Grid) -> list[Hyper]:
    """Every view that the clips have, with every learning rate and every decay."""
    views = views_for(probe.view, grid)
    return list(itertools.starmap(Hyper, itertools.product(views, probe.lr, probe.weight_decay)))


def epochs_of(family: str, probe: Probe) -> int:
    """How long heads over clips of a family of tasks train."""
    return int(getattr(probe.epochs, family))


def read_tokens(module: nn.Module, clips: Clips) -> Tensor:
    """Logits of the clips of a case, a batch at a time."""
    return torch.cat([module(tokens.to(device_of())) for tokens in clips.batches()])
