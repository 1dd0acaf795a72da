"""Metrics of depth, each with its rule and its scaling in its name.

Depths are millimetres along the optical axis, (H, W); a true depth of 0 is no truth, and that pixel
is left out. A metric is the mean over the frames of a sequence, then over sequences: a table has a
row per sequence, `(sequences, 1)`, see `unisurg.tasks.phase`.

| scaling | the prediction of a frame is multiplied by |
| --- | --- |
| `unscaled` | nothing: the metric depth itself is measured |
| `median_scaled` | the median of the truth over its own median (Zhou et al., CVPR 2017) |
| `ppsnet_scaled` | the factor with the least median of squared errors, found as PPSNet does |

| rule | of truth t and prediction p, over the pixels of a frame |
| --- | --- |
| `abs_rel` | mean of abs(p - t) / t |
| `sq_rel_mm` | mean of (p - t)^2 / t |
| `rmse_mm` | root of the mean of (p - t)^2 |
| `rmse_log` | the same of natural logarithms |
| `delta_D_relative` | share with abs(p - t) / t < D - 1 (PPSNet, Paruchuri et al., ECCV 2024) |
| `delta_D_ratio` | share with max(p / t, t / p) < D (Eigen et al., 2014) |

The two readings of delta differ: t = 10 and p = 9.05 is right to 1.1 by the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np
from scipy import optimize

Table = np.ndarray
Scaling = Callable[[np.ndarray, np.ndarray], float]
DELTAS = (1.1, 1.25)
# Logarithms and ratios need a positive depth; PPSNet's script adds as much.
FLOOR_MM = 1e-3


def unscaled(truth: np.ndarray, predicted: np.ndarray) -> float:
    """1."""
    return 1.0


def median_scale(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Median of the truth over that of the prediction; both (pixels,) and positive."""
    return float(np.median(truth) / np.median(predicted))


def ppsnet_scale(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Factor whose squared errors have the least median, (pixels,) each; by Levenberg-Marquardt.

    The search starts at 1 and stops in the nearest minimum, as in PPSNet's `test_ppsnet.py`.
    """

    def median_error(factor: np.ndarray) -> np.ndarray:
        return np.atleast_1d(np.median((truth - factor * predicted) ** 2))

    found, _ = optimize.leastsq(median_error, 1.0)
    return float(found[0])


SCALINGS: dict[str, Scaling] = {
    "unscaled": unscaled,
    "median_scaled": median_scale,
    "ppsnet_scaled": ppsnet_scale,
}


def tables(
    truths: Iterable[Iterable[np.ndarray]],
    predictions: Iterable[Iterable[np.ndarray]],
    scalings: Collection[str] = tuple(SCALINGS),
) -> dict[str, Table]:
    """All metrics by exact name; a sequence is its frames in turn, one of them in memory.

    NaN where no frame of a sequence has a true depth. Fewer `scalings` take less time.

    Raises:
        ValueError: a prediction is not of its truth's size or is not finite, a sequence has more
            truths than predictions or the other way round, or there is no sequence.
    """
    rows = [_sequence(t, p, scalings) for t, p in zip(truths, predictions, strict=True)]
    if not rows:
        raise ValueError("no sequence to measure")
    return {name: np.array([[row.get(name, np.nan)] for row in rows]) for name in names(scalings)}


def names(scalings: Collection[str] = tuple(SCALINGS)) -> list[str]:
    """Exact names of all metrics."""
    deltas = [f"delta_{d:g}_{reading}" for d in DELTAS for reading in ("relative", "ratio")]
    rules = ["abs_rel", "sq_rel_mm", "rmse_mm", "rmse_log", *deltas]
    return [f"{rule}_{scaling}" for scaling in scalings for rule in rules]


def scaling_of(name: str) -> str:
    """The scaling that a metric's name ends with."""
    return next(scaling for scaling in SCALINGS if name.endswith(f"_{scaling}"))


def measure(
    truth: np.ndarray, predicted: np.ndarray, scalings: Collection[str] = tuple(SCALINGS)
) -> dict[str, float] | None:
    """All metrics of one frame by exact name; None where it has no true depth.

    Raises:
        ValueError: the prediction is not of the truth's size or is not finite.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"a prediction of {predicted.shape} for a truth of {truth.shape}")
    valid = truth > 0
    t, p = truth[valid].astype(np.float64), predicted[valid].astype(np.float64)
    if not len(t):
        return None
    if not np.isfinite(p).all():
        raise ValueError("a predicted depth is not finite")
    p = np.maximum(p, FLOOR_MM)
    found: dict[str, float] = {}
    for name in scalings:
        scaled = np.maximum(SCALINGS[name](t, p) * p, FLOOR_MM)
        found |= {f"{rule}_{name}": value for rule, value in _rules(t, scaled).items()}
    return found


def _rules(t: np.ndarray, p: np.ndarray) -> dict[str, float]:
    error = np.abs(p - t)
    relative, ratio = error / t, np.maximum(p / t, t / p)
    found = {
        "abs_rel": relative.mean(),
        "sq_rel_mm": (error * relative).mean(),
        "rmse_mm": np.sqrt((error**2).mean()),
        "rmse_log": np.sqrt(((np.log(p) - np.log(t)) ** 2).mean()),
    }
    for delta in DELTAS:
        found[f"delta_{delta:g}_relative"] = (relative < delta - 1).mean()
        found[f"delta_{delta:g}_ratio"] = (ratio < delta).mean()
    return {name: float(value) for name, value in found.items()}


def _sequence(
    truths: Iterable[np.ndarray], predictions: Iterable[np.ndarray], scalings: Collection[str]
) -> dict[str, float]:
    measured = [measure(t, p, scalings) for t, p in zip(truths, predictions, strict=True)]
    frames = [frame for frame in measured if frame is not None]
    return {name: float(np.mean([f[name] for f in frames])) for name in frames[0]} if frames else {}
