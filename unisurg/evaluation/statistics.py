"""Bootstrap over test cases: intervals of metrics and of paired differences.

A metric is a table (cases, columns) with NaN where it does not apply, see `unisurg.tasks.phase`: a
column's value is the mean of its cases. Or it is a table of parts and wholes (cases, columns, 2): a
column's value is the sum of its parts over the sum of its wholes. Columns are then averaged.
A metric that neither adds up over cases nor is a mean of theirs (a rank correlation, an average
precision over the frames of all videos) is known as a function of draws; it is asked once, and kept
as `replicates` (1 + draws,): its value, and then its value in every draw.
All seeds and encoders of one benchmark share the draws of cases, so differences are paired. Cases
of one group, such as frames of one sequence, are drawn together.
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

    A seed without a number, as a rank correlation where all predictions are equal, is NaN and does
    not count; all of them are NaN where no seed has one.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    def as_dict(self) -> dict[str, float | list[float | None]]:
        """For a file: a seed without a number is None."""
        seeds = [seed if math.isfinite(seed) else None for seed in self.seeds]
        return {"mean": self.mean, "low": self.low, "high": self.high, "seeds": seeds}


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


def draw_groups(groups: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """How often each case is drawn, shape (draws, cases), where those of one group come together.

    As many groups are drawn as there are, with replacement; `groups` has that of each case. Where
    each case is a group of its own, the draws are those of `draw_cases`.
    """
    place = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return draw_cases(len(place), draws, seed)[:, [place[name] for name in groups]]


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
    return _summary(seeds, [_values(table, draws) for table in tables])


def difference(ours: Sequence[Table], theirs: Sequence[Table], draws: np.ndarray) -> Estimate:
    """Estimate of `ours - theirs`, paired by case and by seed.

    A pair of which either has no number does not count.
    """
    pairs = list(zip(ours, theirs, strict=True))
    seeds = tuple(value(a) - value(b) for a, b in pairs)
    return _summary(seeds, [_values(a, draws) - _values(b, draws) for a, b in pairs])


def known(
    estimates: Iterable[tuple[str, Estimate]],
) -> dict[str, dict[str, float | list[float | None]]]:
    """Metrics by name, for a file; one that has no number under any seed is left out."""
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


def _summary(seeds: tuple[float, ...], drawn: Sequence[np.ndarray]) -> Estimate:
    """Of the value of each seed and its values in every draw (draws,), those that have a number."""
    told = [(seed, row) for seed, row in zip(seeds, drawn, strict=True) if math.isfinite(seed)]
    if not told:
        return Estimate(math.nan, math.nan, math.nan, seeds)
    values, rows = zip(*told, strict=True)
    means = np.mean(rows, axis=0)
    # A draw of cases that all lack the metric says nothing about it.
    known = means[np.isfinite(means)]
    low, high = np.percentile(known, INTERVAL) if known.size else (math.nan, math.nan)
    return Estimate(float(np.mean(values)), float(low), float(high), seeds)
