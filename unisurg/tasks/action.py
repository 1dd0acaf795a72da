"""Metrics of clip classification, counted over the clips of all test cases together.

A case is what a bootstrap draws: a clip, or a recording from which several clips come. Tables of
parts and wholes (cases, columns, 2) add up over cases, see `unisurg.evaluation.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from unisurg.tasks.classification import Classification
from unisurg.tasks.phase import accuracy, confusion, sm_per_video_unrelaxed
from unisurg.tasks.segments import labelled

Table = np.ndarray


@dataclass(frozen=True)
class ActionTask(Classification):
    """A class per clip; a case is a group of clips; see `unisurg.tasks.base.Task`."""

    family: ClassVar[str] = "action"

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        """Scores (S, classes) float32, so that the five best can be told."""
        return logits.float().cpu().numpy()

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        return tables(truths, predictions, self.classes)

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> Table:
        return self.tables(truths, predictions)[name]


def tables(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], classes: int
) -> dict[str, Table]:
    """Tables of all metrics by exact name.

    `truths` holds the labels (S,) of the clips of each case, -1 where a clip is not scored, and
    `scores` any (S, classes) that are higher for a likelier class. With five classes or fewer the
    five best are never wrong, and `accuracy_top5_over_clips` is left out. Where some case has
    several clips, SurgMotion's per-video set is given too, as its code applies it to OphNet; of one
    clip per case, its every metric would be the same number.

    Raises:
        ValueError: scores are not finite or not (S, classes), or a label is unknown.
    """
    _check(scores, classes)
    counts = confusion(truths, [rows.argmax(1) for rows in scores], classes)
    found = {
        "accuracy_top1_over_clips": accuracy_over_clips(truths, scores, 1),
        "f1_macro_over_clips": f1_macro_over_clips(counts),
    }
    if classes > 5:
        found["accuracy_top5_over_clips"] = accuracy_over_clips(truths, scores, 5)
    if (counts.sum((1, 2)) > 1).any():
        found |= {"accuracy_per_video": accuracy(counts), **sm_per_video_unrelaxed(counts)}
    return found


def accuracy_over_clips(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], best: int
) -> Table:
    """Clips whose class is among the `best` highest scores, and all clips: (V, 1, 2).

    Of equal scores the class of the lower index comes first.
    """
    rows = []
    for case, of_case in zip(truths, scores, strict=True):
        truth, kept = labelled(case, of_case)
        first = np.argsort(-kept, axis=1, kind="stable")[:, :best]
        rows.append([[(first == truth[:, None]).sum(), len(truth)]])
    return np.array(rows, dtype=float)


def f1_macro_over_clips(counts: np.ndarray) -> Table:
    """2 TP and 2 TP + FP + FN per case and class, (V, C, 2), from confusions (V, C, C).

    The macro mean goes over the classes that any truth or prediction names, as in scikit-learn.
    """
    hit = np.diagonal(counts, axis1=1, axis2=2)
    return np.stack([2 * hit, counts.sum(1) + counts.sum(2)], axis=2).astype(float)


def _check(scores: Sequence[np.ndarray], classes: int) -> None:
    for rows in scores:
        if rows.ndim != 2 or rows.shape[1] != classes:
            raise ValueError(f"scores of shape {rows.shape} for {classes} classes")
        if not np.isfinite(rows).all():
            raise ValueError("a score is not finite; the head that made it has diverged")
