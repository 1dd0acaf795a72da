"""Metrics of skill: how far and in which order trials are rated, and at which level.

One prediction per trial, whatever the number of its cameras. Errors and accuracy are tables with a
row per trial. A rank correlation is not: the rank of a trial depends on which others are drawn. It
is a function of how often each trial is drawn, `Drawn`, which a bootstrap calls instead of weighing
rows.

Per-task correlations are averaged by Fisher's z, tanh(mean(artanh(rho))), as is usual in the
assessment of action quality (Pan et al., ICCV 2019). One task at exactly 1 makes that mean 1.
Gestures are scored second by second like phases, see `unisurg.tasks.phase`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unisurg.tasks.base import Drawn

Table = np.ndarray


def tables(
    ratings: np.ndarray, predictions: np.ndarray, tasks: Sequence[str], scale: tuple[int, int]
) -> dict[str, Table]:
    """Errors of rating, by exact name.

    `mae_grs_points_over_trials` (V, 1) is the mean over all trials, in points of the scale;
    `mae_grs_points_per_task` (V, tasks) is NaN but for the trial's own task, and its value the mean
    over trials per task, then over tasks. Lower is better. `closeness_grs_over_trials` (V, 1) says
    the first as a share, 1 - MAE / length of the scale, so that it can be what probes are chosen
    by: 1 is exact, 0 is as far as a rating can be.

    Args:
        ratings, predictions: (V,), a trial each, in points.
        tasks: name of the task of each trial.
        scale: lowest and highest rating.

    Raises:
        ValueError: lengths differ, there is no trial, or a number is not finite.
    """
    error = np.abs(np.subtract(*_checked(ratings, predictions, tasks)))[:, None]
    own = np.array(tasks)[:, None] == np.unique(tasks)
    return {
        "mae_grs_points_over_trials": error,
        "mae_grs_points_per_task": np.where(own, error, np.nan),
        "closeness_grs_over_trials": 1 - error / (scale[1] - scale[0]),
    }


def level_tables(levels: np.ndarray, predictions: np.ndarray) -> dict[str, Table]:
    """`accuracy_level_over_trials` (V, 1): whether the level (V,) int of each trial is right.

    Raises:
        ValueError: lengths differ, or there is no trial.
    """
    if len(levels) != len(predictions) or not len(levels):
        raise ValueError(f"{len(predictions)} predictions for {len(levels)} levels")
    right = np.asarray(levels) == np.asarray(predictions)
    return {"accuracy_level_over_trials": right[:, None].astype(float)}


def drawn(ratings: np.ndarray, predictions: np.ndarray, tasks: Sequence[str]) -> dict[str, Drawn]:
    """Rank correlations in -1..1 by exact name, as functions of draws (D, V) -> (D,).

    `spearman_over_trials` ranks all trials together; `spearman_per_task_fisher` ranks those of each
    task and averages by Fisher's z over the tasks that have a correlation. NaN where none has: the
    ratings or the predictions of the drawn trials are all equal. The value is that of one draw of
    ones, `np.ones((1, V))`. Arguments and errors as for `tables`.
    """
    truth, guess = _checked(ratings, predictions, tasks)
    masks = [np.array(tasks) == task for task in np.unique(tasks)]

    def over_tasks(draws: np.ndarray) -> np.ndarray:
        rows = [spearman(truth[own], guess[own], draws[:, own]) for own in masks]
        return fisher_mean(np.stack(rows, axis=1))

    return {
        "spearman_over_trials": lambda draws: spearman(truth, guess, draws),
        "spearman_per_task_fisher": over_tasks,
    }


def spearman(truth: np.ndarray, guess: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Spearman's rho of the drawn trials, (D,): Pearson's of their mean ranks; NaN if constant.

    Args:
        truth, guess: (V,).
        draws: how often each trial counts, (D, V); a trial drawn twice is two trials that tie.
    """
    count = draws.sum(1, keepdims=True)
    # Mean ranks of n trials have mean (n + 1) / 2 whatever their ties.
    first, second = (_ranks(values, draws) - (count + 1) / 2 for values in (truth, guess))
    common = (draws * first * second).sum(1)
    spread = (draws * first**2).sum(1) * (draws * second**2).sum(1)
    known = spread > 0
    return np.divide(common, np.sqrt(spread), out=np.full(len(draws), np.nan), where=known)


def fisher_mean(correlations: np.ndarray) -> np.ndarray:
    """Mean by Fisher's z over the columns that have a number, (D, K) -> (D,), in -1..1.

    NaN where no column has one, or where some are exactly 1 and others exactly -1.
    """
    known = np.isfinite(correlations)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.arctanh(np.clip(np.where(known, correlations, 0.0), -1, 1))
        return np.tanh(z.sum(1) / known.sum(1))


def _ranks(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Mean rank, from 1, of each trial among the drawn ones, (D, V)."""
    below = draws @ (values[:, None] < values)
    level = draws @ (values[:, None] == values)
    return below + (level + 1) / 2


def _checked(
    ratings: np.ndarray, predictions: np.ndarray, tasks: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    if not len(ratings) == len(predictions) == len(tasks) or not len(tasks):
        problem = f"{len(predictions)} predictions and {len(tasks)} tasks"
        raise ValueError(f"{problem} for {len(ratings)} ratings")
    truth, guess = np.asarray(ratings, dtype=float), np.asarray(predictions, dtype=float)
    if not np.isfinite(truth).all() or not np.isfinite(guess).all():
        raise ValueError("a rating is not finite; the head that made it has diverged")
    return truth, guess
