"""Metrics of depth, each with its rule and its scaling in its name.

Depths are millimetres along the optical axis, (H, W); a true depth of 0 is no truth, and that pixel
is left out. A metric is the mean over the frames of a sequence, then over sequences: a table has a
row per sequence, `(sequences, 1)`, see `unisurg.tasks.phase`.

| scaling | the prediction of a frame is multiplied by |
| --- | --- |
| `unscaled` | nothing: the metric depth itself is measured |
| `median_scaled` | the median of the truth over its own median (Zhou et al., CVPR 2017) |
| `ppsnet_scaled` | the factor with the least median of squared errors, found as PPSNet does |

`ppsnet_scaled` is measured at 384 x 384 pixels of a frame, the size at which PPSNet's
`test_ppsnet.py` finds the factor and measures (Paruchuri et al., ECCV 2024); the others at all of
its pixels. Smaller frames are measured as they are.

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
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize

Table = np.ndarray
DELTAS = (1.1, 1.25)
# Logarithms and ratios need a positive depth; PPSNet's script adds as much.
FLOOR_MM = 1e-3
PPSNET_PX = 384


@dataclass(frozen=True)
class Scaling:
    """`factor` of truth and prediction, both (pixels,) and positive, scales the prediction.

    With `side_px` a larger frame is measured at that many of its pixels a side.
    """

    factor: Callable[[np.ndarray, np.ndarray], float]
    side_px: int | None = None


@dataclass(frozen=True)
class Errors:
    """What rules are made of, of the pixels of a frame: `truth` and scaled `found`, in mm."""

    truth: np.ndarray
    found: np.ndarray

    @cached_property
    def absolute(self) -> np.ndarray:
        return np.abs(self.found - self.truth)

    @cached_property
    def relative(self) -> np.ndarray:
        return self.absolute / self.truth

    @cached_property
    def ratio(self) -> np.ndarray:
        return np.maximum(self.found / self.truth, self.truth / self.found)

    @property
    def logarithmic(self) -> np.ndarray:
        return np.log(self.found) - np.log(self.truth)


Rule = Callable[[Errors], float]


def _delta(limit: float) -> dict[str, Rule]:
    return {
        f"delta_{limit:g}_relative": lambda errors: (errors.relative < limit - 1).mean(),
        f"delta_{limit:g}_ratio": lambda errors: (errors.ratio < limit).mean(),
    }


RULES: dict[str, Rule] = {
    "abs_rel": lambda errors: errors.relative.mean(),
    "sq_rel_mm": lambda errors: (errors.absolute * errors.relative).mean(),
    "rmse_mm": lambda errors: np.sqrt((errors.absolute**2).mean()),
    "rmse_log": lambda errors: np.sqrt((errors.logarithmic**2).mean()),
    **{name: rule for limit in DELTAS for name, rule in _delta(limit).items()},
}


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
    "unscaled": Scaling(unscaled),
    "median_scaled": Scaling(median_scale),
    "ppsnet_scaled": Scaling(ppsnet_scale, PPSNET_PX),
}


def names() -> list[str]:
    """Exact names of all metrics."""
    return [f"{rule}_{scaling}" for scaling in SCALINGS for rule in RULES]


def tables(
    truths: Iterable[Iterable[np.ndarray]],
    predictions: Iterable[Iterable[np.ndarray]],
    wanted: Collection[str] | None = None,
) -> dict[str, Table]:
    """Metrics by exact name; a sequence is its frames in turn, one of them in memory.

    NaN where no frame of a sequence has a true depth.

    Args:
        wanted: names of those that are measured; None: all.

    Raises:
        ValueError: a prediction is not of its truth's size or is not finite, a sequence has more
            truths than predictions or the other way round, or there is no sequence.
    """
    wanted = names() if wanted is None else wanted
    rows = [_sequence(t, p, wanted) for t, p in zip(truths, predictions, strict=True)]
    if not rows:
        raise ValueError("no sequence to measure")
    return {name: np.array([[row[name]] for row in rows]) for name in wanted}


def measure(
    truth: np.ndarray, predicted: np.ndarray, wanted: Collection[str] | None = None
) -> dict[str, float]:
    """Metrics of one frame by exact name, as of `tables`; none where it has no true depth.

    Raises:
        ValueError: the prediction is not of the truth's size or is not finite.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"a prediction of {predicted.shape} for a truth of {truth.shape}")
    found: dict[str, float] = {}
    for name, scaling in SCALINGS.items():
        rules = {f"{rule}_{name}": of for rule, of in RULES.items()}
        asked = rules if wanted is None else {n: of for n, of in rules.items() if n in wanted}
        if asked:
            t, p = _pixels(truth, predicted, scaling.side_px)
            if len(t):
                errors = Errors(t, np.maximum(scaling.factor(t, p) * p, FLOOR_MM))
                found |= {name: float(rule(errors)) for name, rule in asked.items()}
    return found


def thinned(plane: np.ndarray, side_px: int) -> np.ndarray:
    """At most `side_px` x `side_px` pixels of a plane (H, W), evenly spread over it."""
    counts = [min(length, side_px) for length in plane.shape]
    rows, columns = (
        ((np.arange(count) + 0.5) * length / count).astype(int)
        for count, length in zip(counts, plane.shape, strict=True)
    )
    return plane[np.ix_(rows, columns)]


def _pixels(
    truth: np.ndarray, predicted: np.ndarray, side_px: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction where there is a truth, (pixels,) each, both positive."""
    if side_px is not None:
        truth, predicted = thinned(truth, side_px), thinned(predicted, side_px)
    valid = truth > 0
    t, p = truth[valid].astype(np.float64), predicted[valid].astype(np.float64)
    if not np.isfinite(p).all():
        raise ValueError("a predicted depth is not finite")
    return t, np.maximum(p, FLOOR_MM)


def _sequence(
    truths: Iterable[np.ndarray], predictions: Iterable[np.ndarray], wanted: Collection[str]
) -> dict[str, float]:
    """Mean over the frames that have a number."""
    frames = [measure(t, p, wanted) for t, p in zip(truths, predictions, strict=True)]
    known = {name: [frame[name] for frame in frames if name in frame] for name in wanted}
    return {name: float(np.mean(values)) if values else np.nan for name, values in known.items()}
