"""Metrics of phase recognition; each name says its rule.

Every metric is a *table*: a row per test video and a column per class, or one column, in 0..1, NaN
where it does not apply. Its value is the mean over the videos that have a number, per column, then
the mean over the columns (`unisurg.evaluation.statistics.value`). A rate that is counted over all
videos together is a table of parts and wholes (V, columns, 2) instead. A bootstrap over videos
therefore only weighs rows. Seconds whose truth is -1 are not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from unisurg.tasks import relaxed as relaxed10
from unisurg.tasks.classification import Classification
from unisurg.tasks.edit import edit_score_per_video
from unisurg.tasks.relaxed import Rule
from unisurg.tasks.segments import f1_segmental_pooled, labelled

Table = np.ndarray
Metrics = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], dict[str, Table]]


@dataclass(frozen=True)
class PhaseTask(Classification):
    """A label per second, from the clip that ends there; see `unisurg.tasks.base.Task`.

    `relaxed` is the order of phases for which the metrics of `unisurg.tasks.relaxed` are added, and
    `challenge` further metrics, of the benchmark's own challenge.
    """

    relaxed: Rule | None
    challenge: Metrics | None
    family: ClassVar[str] = "phase"

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        """Labels (S,) of logits (S, classes); of equal logits the lower class."""
        return logits.argmax(1).cpu().numpy()

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        found = tables(truths, predictions, self.classes)
        if self.relaxed is not None:
            found |= relaxed10.tables(truths, predictions, self.classes, self.relaxed)
        if self.challenge is not None:
            found |= self.challenge(truths, predictions)
        return found

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> Table:
        counted = rates(confusion(truths, predictions, self.classes))
        return counted[name] if name in counted else self.tables(truths, predictions)[name]


def tables(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> dict[str, Table]:
    """Tables of all metrics by exact name; `truths` and `predictions` hold one (S,) int per video.

    Raises:
        ValueError: the two do not fit together, or no second of any video is scored.
    """
    return {
        **rates(confusion(truths, predictions, classes)),
        **edit_score_per_video(truths, predictions),
        **f1_segmental_pooled(truths, predictions),
    }


def rates(counts: np.ndarray) -> dict[str, Table]:
    """Tables by exact name of the metrics that are made of `counts` (V, C, C) alone."""
    return {
        "accuracy_per_video": accuracy(counts),
        **sm_per_video_unrelaxed(counts),
        **phase_level_unrelaxed(counts),
    }


def sm_per_video_unrelaxed(counts: np.ndarray) -> dict[str, Table]:
    """SurgMotion's rule: tables (V, 1) of precision, recall, Jaccard and F1 by exact name.

    Per video, macro mean over the union of the classes in its truth and its prediction; an
    undefined rate counts 0. A class predicted once by mistake thus adds a zero.
    """
    in_either = (counts.sum(2) > 0) | (counts.sum(1) > 0)
    classes = in_either.sum(1, keepdims=True)
    return {
        f"{name}_sm_per_video_unrelaxed": _share(
            np.where(in_either, rate, 0.0).sum(1, keepdims=True), classes, np.nan
        )
        for name, rate in class_rates(counts).items()
    }


def phase_level_unrelaxed(counts: np.ndarray) -> dict[str, Table]:
    """Tables (V, C) of precision, recall, Jaccard and F1 by exact name.

    Per video and phase; phases that are absent from a video's truth do not count, a phase that is
    never predicted has precision 0.
    """
    in_truth = counts.sum(2) > 0
    return {
        f"{name}_phase_level_unrelaxed": np.where(in_truth, rate, np.nan)
        for name, rate in class_rates(counts).items()
    }


def confusion(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """Seconds per video, true class and predicted class, shape (V, C, C) int64.

    Raises:
        ValueError: a label is unknown, lengths differ, or every second is ignored.
    """
    rows = []
    for labels, guesses in zip(truths, predictions, strict=True):
        truth, prediction = labelled(labels, guesses)
        for kind, values in (("label", truth), ("prediction", prediction)):
            unknown = values[(values < 0) | (values >= classes)]
            if unknown.size:
                raise ValueError(f"{kind} {unknown[0]} is none of 0..{classes - 1}")
        pairs = truth.astype(np.int64) * classes + prediction
        rows.append(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))
    counts = np.stack(rows)
    if not counts.any():
        raise ValueError("every label is -1, so nothing can be scored; check the label files")
    return counts


def accuracy(counts: np.ndarray) -> Table:
    """Share of right seconds per video, shape (V, 1), from `counts` (V, C, C)."""
    right = np.trace(counts, axis1=1, axis2=2).astype(float)
    return _share(right, counts.sum((1, 2)), np.nan)[:, None]


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


def _share(part: np.ndarray, whole: np.ndarray, undefined: float = 0.0) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, undefined), where=whole > 0)
