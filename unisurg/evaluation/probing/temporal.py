"""The temporal probe: causal convolutions over the clips of a video.

A clip is its mean token. Dilated residual layers as in MS-TCN (arXiv 1903.01945), made causal as in
TeCNO (arXiv 2003.10751): layer i looks 2^i and 2 * 2^i clips back, so `layers` of them see
2 * (2^layers - 1) clips before the one that is labelled, and nothing after it.

Heads are trained on clips `every_s` apart. A test video has more, and every one is predicted from
those a multiple of `every_s` before it: the video is taken apart into interleaved lanes of the rate
that the head knows. Where moments carry no label and were left out, the two sides touch, as in the
metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.evaluation.probing.fitting import Lesson, PaddedSource, Plan, device_of
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.trained import TrainedHeads, pooled
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import Temporal, ViewName
from unisurg.tasks.classification import Classification
from unisurg.tasks.segments import IGNORED

KERNEL = 3
# MS-TCN and TeCNO take one video a step; four take a quarter of the time on short ones.
VIDEOS_A_STEP = 4


@dataclass(frozen=True)
class TemporalHeads(TrainedHeads[PooledView]):
    """Causal convolutional heads over the mean tokens of videos.

    `every_s` are the seconds between the clips of a training video, `test_every_s` of a test video.
    """

    task: Classification
    every_s: float
    test_every_s: float

    def view(self, name: ViewName, known: Samples) -> PooledView:
        return pooled(name, known)

    def head(self, view: PooledView, seed: int) -> nn.Module:
        return CausalTcn(view, self.task.classes, self.probe.temporal, seed)

    def lesson(self, known: Samples) -> Lesson:
        per_clip = self.task.loss(known.targets(self.task.targets).to(device_of()))

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return per_clip(logits.flatten(0, 1), targets.flatten())

        plan = Plan(self.probe.temporal.epochs, VIDEOS_A_STEP, self.probe.halving)
        return Lesson(self.source(known), loss, plan)

    def source(self, known: Samples) -> PaddedSource:
        sequences, targets = [], []
        for clips in known.clips:
            labels = clips.targets(self.task.targets)
            for lane in self.lanes(clips):
                sequences.append(clips.means[lane])
                targets.append(labels[lane])
        return PaddedSource(sequences, targets, 0.0, IGNORED)

    def lanes(self, clips: Clips) -> list[np.ndarray]:
        return lanes(clips.moments, self.every_s, self.test_every_s)

    def read(self, module: nn.Module, clips: Clips) -> Tensor:
        """Logits of the clips of a video, each from those before it in its lane."""
        of_video = self.lanes(clips)
        parts = [module(clips.means[lane][None].to(device_of()))[0] for lane in of_video]
        return torch.cat(parts)[np.argsort(np.concatenate(of_video))]


def lanes(moments: np.ndarray, every_s: float, test_every_s: float) -> list[np.ndarray]:
    """Clips of a video in interleaved sequences, in order and `every_s` apart.

    Args:
        moments: seconds (S,), ascending, a multiple of `every_s` or of `test_every_s` apart.

    Returns:
        Indices of the clips of each sequence; together each of 0..S-1 once. A training video is
        one sequence.
    """
    interleaved = max(1, round(every_s / test_every_s))
    phase = np.round(np.mod(moments, every_s) / test_every_s).astype(int) % interleaved
    return [np.flatnonzero(phase == lane) for lane in np.unique(phase)]


class CausalTcn(nn.Module):
    """Means (B, L, 2 D) of clips in order -> logits (B, L, C), none of which knows a later clip."""

    def __init__(self, view: PooledView, classes: int, wanted: Temporal, seed: int) -> None:
        super().__init__()
        self.view = view
        self.reduce = nn.Conv1d(view.width, wanted.width, 1)
        self.layers = nn.ModuleList(
            CausalLayer(wanted.width, 2**i, wanted.dropout, seed) for i in range(wanted.layers)
        )
        self.classify = nn.Conv1d(wanted.width, classes, 1)

    def forward(self, means: Tensor) -> Tensor:
        features = self.reduce(self.view(means).transpose(1, 2))
        for layer in self.layers:
            features = layer(features)
        return self.classify(features).transpose(1, 2)


class CausalLayer(nn.Module):
    """Features (B, width, L) plus what a dilated convolution of them and of earlier ones adds."""

    def __init__(self, width: int, dilation: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.back = (KERNEL - 1) * dilation
        self.look = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = SeededDropout(dropout, seed + dilation)

    def forward(self, features: Tensor) -> Tensor:
        seen = self.look(F.pad(features, (self.back, 0)))
        return features + self.drop(self.mix(F.relu(seen)))


class SeededDropout(nn.Module):
    """Dropout from a generator of its own.

    Heads that are trained side by side thereby learn what each would learn alone.
    """

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self.share = share
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or not self.share:
            return features
        kept = torch.rand(features.shape, generator=self.generator) >= self.share
        return features * kept.to(features.device) / (1 - self.share)
