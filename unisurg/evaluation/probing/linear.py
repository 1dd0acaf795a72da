"""The linear probe: one matrix over the mean token of a clip.

The mean is standardised per feature over the training clips, as by the batch norm without
parameters before the linear probe of MAE (arXiv 2111.06377, appendix A).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from unisurg.evaluation.probing.fitting import Lesson, device_of, lesson_of_clips
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.trained import TrainedHeads, means_of_all, pooled
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import ViewName
from unisurg.tasks.classification import Classification


@dataclass(frozen=True)
class LinearHeads(TrainedHeads[PooledView]):
    """Linear heads over mean tokens."""

    task: Classification

    def view(self, name: ViewName, known: Samples) -> PooledView:
        return pooled(name, known)

    def head(self, view: PooledView, seed: int) -> nn.Module:
        classify = nn.Linear(view.width, self.task.classes)
        # Small, as in MAE: a few steps would not wear off larger random weights.
        nn.init.trunc_normal_(classify.weight, std=0.01)
        nn.init.zeros_(classify.bias)
        return nn.Sequential(view, classify)

    def lesson(self, known: Samples) -> Lesson:
        means = means_of_all(known)

        def inputs(ids: np.ndarray) -> Tensor:
            return means[ids]

        return lesson_of_clips(self.task, self.probe, known, inputs)

    def read(self, module: nn.Module, clips: Clips) -> Tensor:
        return read_means(module, clips)


def read_means(module: nn.Module, clips: Clips) -> Tensor:
    """Logits of the clips of a case, from their mean tokens."""
    return module(clips.means.to(device_of()))
