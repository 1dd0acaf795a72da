"""Metrics of phase recognition; each name says its rule.

Every metric is a *table*: a row per test video and a column per class, or one column, in 0..1, NaN
where it does not apply. Its value is the mean over the videos that have a number, per column, then
the mean over the columns (`unisurg.evaluation.statistics.value`). A bootstrap over videos therefore
only weighs rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.tasks import relaxed as relaxed10
from unisurg.tasks.base import Grid, Loss
from unisurg.tasks.heads import AttentiveProbe
from unisurg.tasks.losses import class_weights, weighted_cross_entropy
from unisurg.tasks.segments import segments

Table = np.ndarray
RATES = ("precision", "recall", "jaccard", "f1")


@dataclass(frozen=True)
class PhaseTask:
    """A label per second, from the causal clip that ends there; see `unisurg.tasks.base.Task`.

    `relaxed` adds the metrics of `unisurg.tasks.relaxed`, which know Cholec80's order of phases.
    """

    classes: int
    depth: int
    heads: int
    relaxed: bool
    family: ClassVar[str] = "phase"

    def head(self, dim: int, grid: Grid) -> nn.Module:
        return AttentiveProbe(dim, self.classes, self.depth, self.heads)

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.concatenate(truths))

    def loss(self, targets: Tensor) -> Loss:
        weights = class_weights(targets.cpu().numpy(), self.classes).to(targets.device)
        return lambda logits, labels: weighted_cross_entropy(logits, labels, weights)

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        return logits.argmax(1).cpu().numpy()

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        found = tables(truths, predictions, self.classes)
        if self.relaxed:
            found |= relaxed10.tables(truths, predictions, self.classes)
        return found


def tables(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> dict[str, Table]:
    """Tables of all metrics by exact name; `truths` and `predictions` hold one (S,) int per video.

    - `accuracy_per_video`: share of right seconds.
    - `*_sm_per_video_unrelaxed`: SurgMotion's rule. Per video, macro mean over the union of the
      classes in its truth and its prediction, an undefined rate counts 0. A class predicted once by
      mistake thus adds a zero.
    - `*_phase_level_unrelaxed`: per video and phase; phases that are absent from a video's truth
      do not count, a phase that is never predicted has precision 0.
    - `edit_score_per_video`: of the order of segments, see `edit_score`.
    """
    counts = confusion(truths, predictions, classes)
    rates = class_rates(counts)
    in_truth = counts.sum(2) > 0
    in_either = in_truth | (counts.sum(1) > 0)
    edits = [edit_score(t, p) for t, p in zip(truths, predictions, strict=True)]
    result = {"accuracy_per_video": accuracy(counts)}
    for name in RATES:
        union = np.where(in_either, rates[name], np.nan)
        result[f"{name}_sm_per_video_unrelaxed"] = np.nanmean(union, axis=1, keepdims=True)
    for name in RATES:
        result[f"{name}_phase_level_unrelaxed"] = np.where(in_truth, rates[name], np.nan)
    result["edit_score_per_video"] = np.array(edits)[:, None]
    return result


def confusion(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """Seconds per video, true class and predicted class, shape (V, C, C) int64."""
    rows = []
    for truth, prediction in zip(truths, predictions, strict=True):
        if truth.shape != prediction.shape or truth.size == 0:
            raise ValueError(f"{prediction.shape} predictions for {truth.shape} labels")
        pairs = truth.astype(np.int64) * classes + prediction
        rows.append(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))
    return np.stack(rows)


def accuracy(counts: np.ndarray) -> Table:
    """Share of right seconds per video, shape (V, 1), from `counts` (V, C, C)."""
    right = np.trace(counts, axis1=1, axis2=2)
    return (right / counts.sum((1, 2)))[:, None]


def class_rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, Jaccard and F1 per video and class, each (V, C); 0 where undefined."""
    hit = np.diagonal(counts, axis1=1, axis2=2).astype(float)
    true, predicted = counts.sum(2), counts.sum(1)
    return {
        "precision": _share(hit, predicted),
        "recall": _share(hit, true),
        "jaccard": _share(hit, true + predicted - hit),
        "f1": _share(2 * hit, true + predicted),
    }


def edit_score(truth: np.ndarray, prediction: np.ndarray) -> float:
    """1 - Levenshtein distance of the segment sequences / length of the longer one, in 0..1.

    The literature prints it times 100.
    """
    (ours, _), (theirs, _) = segments(truth), segments(prediction)
    row = np.arange(len(theirs) + 1)
    for i, label in enumerate(ours, start=1):
        previous, row = row, np.empty_like(row)
        row[0] = i
        for j, other in enumerate(theirs, start=1):
            row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (label != other))
    return 1.0 - float(row[-1]) / max(len(ours), len(theirs))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
