"""A grid of heads trained side by side on cached features, the worse halves dropped on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.settings import Probe, ViewName
from unisurg.tasks.base import Loss

OnMetrics = Callable[[int, dict[str, float]], None]
Read = Callable[[nn.Module, Clips], Tensor]


@dataclass(frozen=True)
class Hyper:
    """One point of the grid of hyper-parameters of a trained head."""

    view: ViewName
    lr: float
    weight_decay: float


def epochs_of(family: str, probe: Probe) -> int:
    """How long heads of a family of tasks are trained."""
    return int(getattr(probe.epochs, family))


@dataclass(frozen=True)
class Votes:
    """One point of the grid of a k-NN head."""

    view: ViewName
    neighbours: int


@dataclass(frozen=True)
class Head:
    """A head at its point of the grid; `read` gives it the clips of a case in its own way."""

    hyper: Hyper | Votes
    module: nn.Module
    read: Read

    @torch.inference_mode()
    def logits(self, clips: Clips) -> Tensor:
        """Logits of the clips of a case, in order."""
        self.module.eval()
        found = self.read(self.module, clips)
        self.module.train()
        return found


Judge = Callable[[Head], float]


class Source(Protocol):
    """What a kind of head is trained on: numbered samples, each read when it is needed."""

    def __len__(self) -> int: ...

    def batch(self, ids: np.ndarray) -> Tensor:
        """Inputs of the samples `ids`."""

    def targets(self, ids: np.ndarray) -> Tensor:
        """Targets of the samples `ids`, as the loss takes them."""


class Labelled(Protocol):
    """What training asks of a task, see `unisurg.tasks.base.Task`."""

    @property
    def family(self) -> str: ...

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor: ...

    def loss(self, targets: Tensor) -> Loss: ...


@dataclass(frozen=True)
class ClipSource:
    """Clips one by one: `inputs` gives what a head sees of the clips of those numbers."""

    inputs: Callable[[np.ndarray], Tensor]
    wanted: Tensor

    def __len__(self) -> int:
        return len(self.wanted)

    def batch(self, ids: np.ndarray) -> Tensor:
        return self.inputs(ids)

    def targets(self, ids: np.ndarray) -> Tensor:
        return self.wanted[ids]


@dataclass(frozen=True)
class PaddedSource:
    """Sequences of clips, as videos or trials are; shorter ones of a batch are filled up."""

    inputs: Sequence[Tensor]
    wanted: Sequence[Tensor]
    input_fill: float
    wanted_fill: float

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, ids: np.ndarray) -> Tensor:
        """Inputs (B, L, ...), `input_fill` behind a sequence's end."""
        return pad_sequence([self.inputs[i] for i in ids], True, self.input_fill)

    def targets(self, ids: np.ndarray) -> Tensor:
        """Targets (B, L, ...), `wanted_fill` behind a sequence's end."""
        return pad_sequence([self.wanted[i] for i in ids], True, self.wanted_fill)


@dataclass(frozen=True)
class Plan:
    """How long a grid is trained, samples a step, and after which shares it is halved."""

    epochs: int
    batch: int
    halving: tuple[float, ...]


@dataclass(frozen=True)
class Lesson:
    """What a kind of head is trained on, by which loss, and for how long."""

    source: Source
    loss: Loss
    plan: Plan


@dataclass(frozen=True)
class Runner:
    """One point of the grid in training."""

    head: Head
    hyper: Hyper
    optimiser: torch.optim.Optimizer


def fit(
    source: Source,
    loss: Loss,
    runners: list[Runner],
    plan: Plan,
    seed: int,
    on_epoch: OnMetrics,
    judge: Judge | None,
) -> list[Head]:
    """Train the points of the grid side by side: each batch is read once for all of them.

    AdamW, cosine to 0 without warm-up, decay on matrices only. After each share `plan.halving` of
    the epochs, the half that `judge` rates lower is dropped (successive halving); without a judge
    nothing is. Deterministic in source, runners and seed.
    """
    device = device_of()
    rungs = {round(share * plan.epochs) for share in plan.halving}
    for epoch in range(plan.epochs):
        if judge is not None and epoch in rungs:
            runners = better_half(runners, judge)
        order = np.random.default_rng([seed, epoch]).permutation(len(source))
        batches = np.split(order, range(plan.batch, len(order), plan.batch))
        losses = np.zeros(len(runners))
        for done, ids in enumerate(batches):
            inputs, wanted = source.batch(ids).to(device), source.targets(ids).to(device)
            factor = cosine(epoch + done / len(batches), plan.epochs)
            for i, runner in enumerate(runners):
                losses[i] += _step(runner, factor, loss, inputs, wanted) * len(ids)
        on_epoch(epoch, {"train_loss": float(losses.min() / len(source))})
    return [runner.head for runner in runners]


def lesson_of_clips(
    task: Labelled, probe: Probe, known: Samples, inputs: Callable[[np.ndarray], Tensor]
) -> Lesson:
    """Of single clips, for as long as the task's family is trained; `inputs` as of `ClipSource`."""
    wanted = known.targets(task.targets)
    loss = task.loss(wanted.to(device_of()))
    plan = Plan(epochs_of(task.family, probe), probe.batch, probe.halving)
    return Lesson(ClipSource(inputs, wanted), loss, plan)


def runner(hyper: Hyper, build: Callable[[], nn.Module], read: Read, seed: int) -> Runner:
    """A point of the grid before its first step; `build` draws its weights from `seed`.

    All heads of a view thus start from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build().to(device_of())
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": hyper.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return Runner(Head(hyper, module, read), hyper, torch.optim.AdamW(groups, lr=hyper.lr))


def better_half(runners: list[Runner], judge: Judge) -> list[Runner]:
    """The half, at least one, with the higher scores, in the order of the grid."""
    if len(runners) == 1:
        return runners
    scores = np.array([judge(runner.head) for runner in runners])
    kept = np.argsort(-scores, kind="stable")[: len(runners) // 2]
    return [runners[i] for i in np.sort(kept)]


def cosine(epoch: float, epochs: int) -> float:
    """Factor of the learning rate: 1 at the start, 0 after `epochs`."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def device_of() -> torch.device:
    """Where heads are trained: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _step(runner: Runner, factor: float, loss: Loss, inputs: Tensor, wanted: Tensor) -> float:
    for group in runner.optimiser.param_groups:
        group["lr"] = runner.hyper.lr * factor
    value = loss(runner.head.module(inputs), wanted)
    runner.optimiser.zero_grad(set_to_none=True)
    value.backward()
    runner.optimiser.step()
    return float(value.detach())
