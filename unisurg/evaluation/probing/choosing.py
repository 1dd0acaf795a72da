"""The choice of a head: the whole grid on train cases, the best of it by validation cases.

Nothing here is given a test case.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from unisurg.evaluation import statistics
from unisurg.evaluation.probing.fitting import Head, OnMetrics
from unisurg.evaluation.probing.kinds import Kind
from unisurg.evaluation.probing.samples import Samples
from unisurg.tasks.base import Task


class DivergedError(ValueError):
    """No head of the grid gives finite numbers."""


@dataclass(frozen=True)
class Chosen:
    """The head that was best on validation cases, and its main metric there."""

    head: Head
    score: float

    def facts(self) -> dict[str, str | float]:
        """The point of the grid, and `val`, the main metric on validation cases."""
        return {**asdict(self.head.hyper), "val": self.score}


def choose(
    kind: Kind,
    task: Task,
    main: str,
    known: Samples,
    held_out: Samples,
    refit_on: Samples | None,
    seed: int,
    on_metrics: OnMetrics,
) -> Chosen:
    """Fit the whole grid to `known`, keep the head with the best metric `main` on `held_out`.

    Of equal heads the first of the grid is kept. With `refit_on` a head of the chosen values is
    then fitted to those cases; the score stays that of the choice.

    Raises:
        DivergedError: no head gives finite numbers on the validation cases.
    """

    def judge(head: Head) -> float:
        return rate(task, head, held_out, main)

    heads = kind.fit(known, kind.grid(known), seed, on_metrics, judge)
    scores = [judge(head) for head in heads]
    best, score = heads[int(np.argmax(scores))], max(scores)
    if not math.isfinite(score):
        raise DivergedError(
            f"no {kind.name} head has a finite {main} on the validation cases; lower probe.lr"
        )
    on_metrics(0, {"val_main": score})
    if refit_on is not None:
        (best,) = kind.fit(refit_on, [best.hyper], seed, silent, judge=None)
    return Chosen(best, score)


def rate(task: Task, head: Head, held_out: Samples, main: str) -> float:
    """The main metric on those cases; -inf of a head that has diverged."""
    predictions = []
    for clips in held_out.clips:
        logits = head.logits(clips)
        if not logits.isfinite().all():
            return -math.inf
        predictions.append(task.predict(logits, clips.truth))
    value = statistics.value(task.table(main, held_out.truths, predictions))
    return value if math.isfinite(value) else -math.inf


def silent(step: int, values: dict[str, float]) -> None:
    """`OnMetrics` that tells nobody."""
