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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.evaluation.probing.fitting import Lesson, PaddedSource, Plan, device_of, epochs_of
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.trained import TrainedHeads, pooled
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import ViewName
from unisurg.tasks.base import Loss
from unisurg.tasks.skill import SkillTask

WIDTH = 32  # small: a benchmark of skill has a few dozen trials
TRIALS_A_STEP = 4


@dataclass(frozen=True)
class TrialHeads(TrainedHeads[PooledView]):
    """Heads over whole trials."""

    task: SkillTask

    def view(self, name: ViewName, known: Samples) -> PooledView:
        return pooled(name, known)

    def head(self, view: PooledView, seed: int) -> nn.Module:
        return TrialHead(view, self.task)

    def lesson(self, known: Samples) -> Lesson:
        targets = [clips.targets(self.task.targets) for clips in known.clips]
        everything, trials = torch.cat(targets), torch.stack([rows[0] for rows in targets])
        loss = trial_loss(self.task, everything.to(device_of()), trials.to(device_of()))
        source = bags([clips.means for clips in known.clips], targets)
        plan = Plan(epochs_of(self.task.family, self.probe), TRIALS_A_STEP, self.probe.halving)
        return Lesson(source, loss, plan)

    def read(self, module: nn.Module, clips: Clips) -> Tensor:
        """Logits of the clips of a trial, from all of them at once."""
        return module(clips.means[None].to(device_of()))[0]


def trial_loss(task: SkillTask, targets: Tensor, trials: Tensor | None = None) -> Loss:
    """The task's loss of trials (B, S, ...), which counts rating and level once a trial.

    `targets` and `trials` are as of `SkillTask.losses`. In what is given to the loss a row of NaN
    is no clip.
    """
    of_trials, of_moments = task.losses(targets, trials)

    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        clips = wanted[..., 0].isfinite()
        return of_trials(logits[:, 0], wanted[:, 0]) + of_moments(logits[clips], wanted[clips])

    return loss


def bags(means: Sequence[Tensor], targets: Sequence[Tensor]) -> PaddedSource:
    """Trials as bags of clips (S, 2 D), with targets (S, 3); a row of NaN is no clip."""
    return PaddedSource(means, targets, torch.nan, torch.nan)


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
