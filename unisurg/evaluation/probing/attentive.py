"""Heads over all tokens of a clip: V-JEPA 2's attentive probe, or the decoder of masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

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
from unisurg.evaluation.probing.views import View
from unisurg.settings import Probe
from unisurg.tasks.base import Task


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
        return fit_clips(self.task, self.probe, known, known.batch, runners, seed, on_epoch, judge)


def read_tokens(module: nn.Module, clips: Clips) -> Tensor:
    """Logits of the clips of a case, a batch at a time."""
    return torch.cat([module(tokens.to(device_of())) for tokens in clips.batches()])
