"""What the probe asks of a family of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor, nn


class TaskError(ValueError):
    """The settings ask for a head that cannot be built; the message names the key."""


Loss = Callable[[Tensor, Tensor], Tensor]
# Draws (D, V), how often each case counts, -> the metric in every draw (D,).
Drawn = Callable[[np.ndarray], np.ndarray]
Grid = tuple[int, int, int]


class Task(Protocol):
    """Head, loss and metrics of one family.

    A case is a video or a group of S clips, or a picture (S = 1).
    """

    @property
    def family(self) -> str:
        """Name of the family, by which `probe.epochs` is looked up."""

    def head(self, dim: int, grid: Grid) -> nn.Module:
        """A fresh head: tokens (B, N, dim) -> logits; `grid` is (t, h, w) with N = t * h * w."""

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Training targets of all clips of the cases, one row per clip."""

    def loss(self, targets: Tensor) -> Loss:
        """`loss(logits, targets)`, fitted to the targets of the training clips (class weights)."""

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        """Prediction of one case from the logits of its clips, as `tables` takes it."""

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Metric tables by exact name, a row per case."""

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> np.ndarray:
        """One of `tables`, without the time that the others take."""

    def drawn(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Drawn]:
        """Metrics that are no tables, by exact name: functions of how often each case is drawn."""
