"""The trial head: the clips of all cameras of a trial, pooled into one rating and one level.

A clip is its mean token. A trial is a bag of clips, weighed by attention as in Ilse et al.,
"Attention-based Deep Multiple Instance Learning" (arXiv 1802.04712): the head learns which moments
tell of skill, from the trial's rating alone. A weighted mean does not ask how many clips there
are: trials of every length are rated alike. Beside it a linear layer names the gesture of each
clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from unisurg.evaluation.probing.fitting import (
    Head,
    Hyper,
    Judge,
    OnMetrics,
    Plan,
    device_of,
    epochs_of,
    fit,
    runner,
    trained_grid,
)
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import Probe
from unisurg.tasks.base import Loss
from unisurg.tasks.skill import SkillTask

WIDTH = 32  # small: a benchmark of skill has a few dozen trials
TRIALS_A_STEP = 4


@dataclass(frozen=True)
class TrialHeads:
    """Heads over whole trials; see `unisurg.evaluation.probing.kinds.Kind`."""

    name: str
    task: SkillTask
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
            return TrialHead(PooledView(hyper.view, means, known.dim), self.task)

        runners = [runner(hyper, partial(build, hyper), read_trial, seed) for hyper in grid]
        targets = [self.task.targets([truth]) for truth in known.truths]
        loss = trial_loss(self.task, torch.cat(targets).to(device_of()))
        source = TrialSource([clips.means for clips in known.clips], targets)
        plan = Plan(epochs_of(self.task.family, self.probe), TRIALS_A_STEP, self.probe.halving)
        return fit(source, loss, runners, plan, seed, on_epoch, judge)


def trial_loss(task: SkillTask, targets: Tensor) -> Loss:
    """The task's loss of trials (B, S, ...), which counts rating and level once a trial.

    `targets` (N, 3) are those of all training clips; a row of NaN is no clip.
    """
    of_trials, of_moments = task.losses(targets)

    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        clips = wanted[..., 0].isfinite()
        return of_trials(logits[:, 0], wanted[:, 0]) + of_moments(logits[clips], wanted[clips])

    return loss


@dataclass(frozen=True)
class TrialSource:
    """Trials as bags of clips; smaller ones of a batch are filled up with NaN."""

    means: Sequence[Tensor]
    wanted: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.means)

    def batch(self, ids: np.ndarray) -> Tensor:
        """Means (B, S, 2 D), NaN where there is no clip."""
        return _filled([self.means[i] for i in ids])

    def targets(self, ids: np.ndarray) -> Tensor:
        """Targets (B, S, 3), NaN where there is no clip."""
        return _filled([self.wanted[i] for i in ids])


class TrialHead(nn.Module):
    """Means (B, S, 2 D) of the clips of trials, NaN where there is none -> logits (B, S, outputs).

    Rating and level are the same in every row of a trial. Attention starts even.
    """

    def __init__(self, view: PooledView, task: SkillTask) -> None:
        super().__init__()
        self.view = view
        self.reduce = nn.Linear(view.width, WIDTH)
        self.look = nn.Linear(WIDTH, WIDTH)
        self.weigh = nn.Linear(WIDTH, 1)
        self.judge = nn.Linear(WIDTH, 1 + task.levels)
        self.name_gesture = nn.Linear(view.width, task.outputs - 1 - task.levels)
        nn.init.zeros_(self.weigh.weight)

    def forward(self, means: Tensor) -> Tensor:
        absent = means[..., 0].isnan()
        seen = self.view(means.nan_to_num())
        clips = F.gelu(self.reduce(seen))
        weights = self.weigh(self.look(clips).tanh())[..., 0].masked_fill(absent, -torch.inf)
        trial = (weights.softmax(1)[..., None] * clips).sum(1, keepdim=True)
        judged = self.judge(trial).expand(-1, means.shape[1], -1)
        return torch.cat([judged, self.name_gesture(seen)], dim=-1)


def read_trial(module: nn.Module, clips: Clips) -> Tensor:
    """Logits of the clips of a trial, from all of them at once."""
    return module(clips.means[None].to(device_of()))[0]


def _filled(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=torch.nan)
