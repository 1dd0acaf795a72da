"""Bootstrap over test cases: intervals of metrics and of paired differences.

A metric is a table (cases, columns) with NaN where it does not apply, see `unisurg.tasks.phase`: a
column's value is the mean of its cases. Or it is a table of parts and wholes (cases, columns, 2): a
column's value is the sum of its parts over the sum of its wholes. Columns are then averaged.
A metric that neither adds up over cases nor is a mean of theirs (a rank correlation, an average
precision over the frames of all videos) is known as a function of draws; it is asked once, and kept
as `replicates` (1 + draws,): its value, and then its value in every draw.
All seeds and encoders of one benchmark share the draws of cases, so differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unisurg.tasks.base import Drawn, Task

Table = np.ndarray
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds, its 95 % bootstrap interval over cases, and the value of every seed.

    All of them are NaN where no case has a number.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    def as_dict(self) -> dict[str, float | list[float]]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "seeds": [*self.seeds]}


def value(table: Table) -> float:
    """The metric: each column over the cases that have a number, then the mean over columns.

    A column without a number does not count; NaN if none has one. The first of replicates.
    """
    if table.ndim == 1:
        return float(table[0])
    return float(_values(table, np.ones((1, len(table))))[0])


def draw_cases(cases: int, draws: int, seed: int) -> np.ndarray:
    """How often each case is drawn, shape (draws, cases): sampling `cases` with replacement."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(cases, np.full(cases, 1 / cases), size=draws)


def replicates(metric: Drawn, draws: np.ndarray) -> Table:
    """A metric that is a function of draws as (1 + draws,): of all cases, then of every draw."""
    everything = np.ones((1, draws.shape[1]), draws.dtype)
    return metric(np.concatenate([everything, draws]))


def measured(
    task: Task, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], draws: np.ndarray
) -> dict[str, Table]:
    """Every metric of a task by exact name, its tables first, then the replicates of others."""
    drawn = task.drawn(truths, predictions)
    return {
        **task.tables(truths, predictions),
        **{name: replicates(metric, draws) for name, metric in drawn.items()},
    }


def estimate(tables: Sequence[Table], draws: np.ndarray) -> Estimate:
    """Estimate of a metric from a table per seed; seeds are averaged inside every draw."""
    seeds = tuple(value(table) for table in tables)
    return _summary(seeds, np.mean([_values(table, draws) for table in tables], axis=0))


def difference(ours: Sequence[Table], theirs: Sequence[Table], draws: np.ndarray) -> Estimate:
    """Estimate of `ours - theirs`, paired by case and by seed."""
    pairs = list(zip(ours, theirs, strict=True))
    seeds = tuple(value(a) - value(b) for a, b in pairs)
    drawn = np.mean([_values(a, draws) - _values(b, draws) for a, b in pairs], axis=0)
    return _summary(seeds, drawn)


def known(estimates: Iterable[tuple[str, Estimate]]) -> dict[str, dict[str, float | list[float]]]:
    """Metrics by name, for a file; one that has no number on these cases is left out."""
    return {name: found.as_dict() for name, found in estimates if math.isfinite(found.mean)}


def _values(table: Table, draws: np.ndarray) -> np.ndarray:
    """The metric in every draw, shape (draws,); replicates bring the draws they were made with."""
    if table.ndim == 1:
        return table[1:]
    parts, wholes = _parts_and_wholes(table)
    total, count = draws @ parts, draws @ wholes
    # A column that no drawn case has (a phase absent from all drawn videos) does not count.
    means = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    columns = (count > 0).sum(1)
    return np.divide(means.sum(1), columns, out=np.full(len(draws), np.nan), where=columns > 0)


def _parts_and_wholes(table: Table) -> tuple[np.ndarray, np.ndarray]:
    if table.ndim == 3:
        return table[..., 0], table[..., 1]
    present = np.isfinite(table)
    return np.where(present, table, 0.0), present.astype(float)


def _summary(seeds: tuple[float, ...], drawn: np.ndarray) -> Estimate:
    # A draw of cases that all lack the metric says nothing about it.
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, INTERVAL) if known.size else (math.nan, math.nan)
    return Estimate(float(np.mean(seeds)), float(low), float(high), seeds)
