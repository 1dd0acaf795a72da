"""The linear probe: one matrix over the mean token of a clip.

The mean is standardised per feature over the training clips, as by the batch norm without
parameters before the linear probe of MAE (arXiv 2111.06377, appendix A).
"""

from __future__ import annotations

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
    device_of,
    fit_clips,
    runner,
    trained_grid,
)
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import Probe
from unisurg.tasks.classification import Classification


@dataclass(frozen=True)
class LinearHeads:
    """Linear heads; see `unisurg.evaluation.probing.kinds.Kind`."""

    name: str
    task: Classification
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
        means = torch.cat([clips.means for clips in known.clips])

        def build(hyper: Hyper) -> nn.Module:
            view = PooledView(hyper.view, means, known.dim)
            classify = nn.Linear(view.width, self.task.classes)
            # Small, as in MAE: a few steps would not wear off larger random weights.
            nn.init.trunc_normal_(classify.weight, std=0.01)
            nn.init.zeros_(classify.bias)
            return nn.Sequential(view, classify)

        runners = [runner(hyper, partial(build, hyper), read_means, seed) for hyper in grid]

        def inputs(ids: np.ndarray) -> Tensor:
            return means[ids]

        return fit_clips(self.task, self.probe, known, inputs, runners, seed, on_epoch, judge)


def read_means(module: nn.Module, clips: Clips) -> Tensor:
    """Logits of the clips of a case, from their mean tokens."""
    return module(clips.means.to(device_of()))
