"""Heads over all tokens of a clip: V-JEPA 2's attentive probe, or the decoder of masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unisurg.evaluation.probing.fitting import Lesson, device_of, lesson_of_clips
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.trained import TrainedHeads
from unisurg.evaluation.probing.views import View
from unisurg.settings import ViewName
from unisurg.tasks.base import Task


@dataclass(frozen=True)
class TokenHeads(TrainedHeads[View]):
    """The family's own head, over tokens."""

    task: Task

    def view(self, name: ViewName, known: Samples) -> View:
        return View(name, known.dim, known.grid).fit(known.batches())

    def head(self, view: View, seed: int) -> nn.Module:
        return nn.Sequential(view, self.task.head(view.width, view.grid))

    def lesson(self, known: Samples) -> Lesson:
        return lesson_of_clips(self.task, self.probe, known, known.batch)

    def read(self, module: nn.Module, clips: Clips) -> Tensor:
        return torch.cat([module(tokens.to(device_of())) for tokens in clips.batches()])
