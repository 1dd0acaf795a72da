"""What all kinds of heads that are trained have in common: a grid, and one way to fit it."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from unisurg.evaluation.probing.fitting import (
    Head,
    Hyper,
    Judge,
    Labelled,
    Lesson,
    OnMetrics,
    Runner,
    fit,
    runner,
)
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.views import PooledView, views_for
from unisurg.settings import Probe, ViewName

AnyView = TypeVar("AnyView", bound=nn.Module)


@dataclass(frozen=True)
class TrainedHeads(ABC, Generic[AnyView]):
    """A kind of trained head, see `unisurg.evaluation.probing.kinds.Kind`.

    A subclass says what its heads see of a clip (`view`), what they are (`head`), what they are
    trained on (`lesson`) and how they `read` a case.
    """

    name: str
    task: Labelled
    probe: Probe
    seeded: ClassVar[bool] = True

    @abstractmethod
    def view(self, name: ViewName, known: Samples) -> AnyView:
        """The view of that name, standardised on the clips; all heads of the grid share it."""

    @abstractmethod
    def head(self, view: AnyView, seed: int) -> nn.Module:
        """A fresh head over a view, which is its first part."""

    @abstractmethod
    def lesson(self, known: Samples) -> Lesson:
        """What the clips teach, and for how long."""

    @abstractmethod
    def read(self, module: nn.Module, clips: Clips) -> Tensor:
        """Logits of the clips of a case, in order."""

    def grid(self, known: Samples) -> list[Hyper]:
        """Every view that the clips have, with every learning rate and every decay."""
        views = views_for(self.probe.view, known.grid)
        points = itertools.product(views, self.probe.lr, self.probe.weight_decay)
        return list(itertools.starmap(Hyper, points))

    def fit(
        self,
        known: Samples,
        grid: Sequence[Hyper],
        seed: int,
        on_epoch: OnMetrics,
        judge: Judge | None,
    ) -> list[Head]:
        runners = self._runners(known, grid, seed)
        lesson = self.lesson(known)
        return fit(lesson.source, lesson.loss, runners, lesson.plan, seed, on_epoch, judge)

    def unfitted(self, hyper: Hyper, like: Samples, seed: int) -> Head:
        """A head for clips like those that has learnt nothing, to take the state of one that has.

        A state is weights and buffers, and so the standardisation of the view as well.
        """
        (runner,) = self._runners(like, [hyper], seed)
        return runner.head

    def _runners(self, known: Samples, grid: Sequence[Hyper], seed: int) -> list[Runner]:
        names = dict.fromkeys(hyper.view for hyper in grid)
        views = {name: self.view(name, known) for name in names}
        return [
            runner(hyper, partial(self.head, views[hyper.view], seed), self.read, seed)
            for hyper in grid
        ]


def pooled(name: ViewName, known: Samples) -> PooledView:
    """The view of that name of mean tokens, standardised on the clips."""
    return PooledView(name, means_of_all(known), known.dim)


def means_of_all(known: Samples) -> Tensor:
    """Mean tokens (S, 2 D) of all samples."""
    return torch.cat([clips.means for clips in known.clips])
