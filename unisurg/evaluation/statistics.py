"""Bootstrap over test cases: intervals of metrics and of paired differences.

A metric is a table (cases, columns) with NaN where it does not apply, see `unisurg.tasks.phase`.
All seeds and encoders of one benchmark share the draws of cases, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Table = np.ndarray
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds, its 95 % bootstrap interval over cases, and the value of every seed."""

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    def as_dict(self) -> dict[str, float | list[float]]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "seeds": [*self.seeds]}


def value(table: Table) -> float:
    """The metric: mean over cases per column where there is a number, then mean over columns."""
    return float(_values(table, np.ones((1, len(table))))[0])


def draw_cases(cases: int, draws: int, seed: int) -> np.ndarray:
    """How often each case is drawn, shape (draws, cases): sampling `cases` with replacement."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(cases, np.full(cases, 1 / cases), size=draws)


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


def _values(table: Table, draws: np.ndarray) -> np.ndarray:
    """The metric in every draw, shape (draws,)."""
    present = np.isfinite(table)
    total = draws @ np.where(present, table, 0.0)
    count = draws @ present.astype(float)
    # A column that no drawn case has (a phase absent from all drawn videos) does not count.
    means = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return means.sum(1) / np.maximum((count > 0).sum(1), 1)


def _summary(seeds: tuple[float, ...], drawn: np.ndarray) -> Estimate:
    low, high = np.percentile(drawn, INTERVAL)
    return Estimate(float(np.mean(seeds)), float(low), float(high), seeds)
