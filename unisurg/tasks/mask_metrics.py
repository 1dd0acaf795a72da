"""Metrics of one foreground mask per picture, each with its rule in its name.

A table has a row per picture, `(pictures, 1)`; see `unisurg.tasks.phase`. Truths are (H, W) bool,
scores (H, W) in 0..1 at the size of the truth, whatever size the network worked at.

Papers take two kinds of score. `_raw` is the probability as predicted; `_minmax` is stretched to
0..1 within every picture, as PraNet's toolbox does, which makes a faint prediction a certain one.
Dice and IoU at threshold 0.5 are of the raw score.

Thresholds are k / 255, k = 0..255, and a score at the threshold is foreground. Measures of
structure follow the MATLAB scripts of their authors, as PySODMetrics does: S-measure (Fan et al.,
ICCV 2017, alpha 0.5), E-measure (Fan et al., IJCAI 2018), weighted F (Margolin et al., CVPR 2014,
beta 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from unisurg.tasks.base import Drawn

Table = np.ndarray
THRESHOLDS = np.arange(256) / 255
EPS = float(np.spacing(1.0))
AT_HALF = ("mean_dice_threshold_0.5", "mean_iou_threshold_0.5")
# Of the weighted F: a Gaussian of 7 x 7 pixels, and the distance at which an error weighs 1.5.
GAUSS_RADIUS, GAUSS_SIGMA, HALF_DISTANCE = 3, 5.0, 5.0


@dataclass(frozen=True)
class Counts:
    """Pixels of one picture that every threshold keeps, each (256,), and what there is.

    `hit` are kept pixels inside the truth, `kept` all kept ones; `inside` are the pixels of the
    truth and `size` those of the picture.
    """

    hit: np.ndarray
    kept: np.ndarray
    inside: int
    size: int


@dataclass(frozen=True)
class Surroundings:
    """Where the pixels of one picture lie about its truth.

    `weight` (H, W) is how much an error counts there, 0 inside the truth and from 1 beside it to 2
    far away. `box` is the truth with a margin of the Gaussian, and `nearest` is, for its pixels,
    the nearest pixel of the truth as an index of the raveled picture.
    """

    weight: np.ndarray
    box: tuple[slice, ...]
    nearest: np.ndarray


def tables(truths: Iterable[np.ndarray], scores: Iterable[np.ndarray]) -> dict[str, Table]:
    """All metrics by exact name, one picture in memory at a time.

    Raises:
        ValueError: a score map is not of its truth's size, is not within 0..1 or is not finite; or
            there is no picture.
    """
    rows = [measure(t, s) for t, s in zip(truths, scores, strict=True)]
    if not rows:
        raise ValueError("no picture to measure")
    return {name: np.array([[row[name]] for row in rows]) for name in rows[0]}


def tables_at_half(truths: Iterable[np.ndarray], scores: Iterable[np.ndarray]) -> dict[str, Table]:
    """Those of `tables` that are named in `AT_HALF`, in a small part of the time."""
    rows = [overlap(t, s >= 0.5) for t, s in zip(truths, scores, strict=True)]
    return {name: np.array([[row[i]] for row in rows]) for i, name in enumerate(AT_HALF)}


def measure(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """All metrics of one picture by exact name; raises as `tables` does."""
    _check(truth, scores)
    scores = scores.astype(np.float64)
    found = dict(zip(AT_HALF, overlap(truth, scores >= 0.5), strict=True))
    around = surroundings(truth)
    for kind, given in (("raw", scores), ("minmax", normalised(scores))):
        counts = count_thresholds(truth, given)
        dices, ious = overlap_at_thresholds(counts)
        aligned = e_measures(counts)
        found |= {
            f"mean_dice_256_thresholds_{kind}": float(dices.mean()),
            f"mean_iou_256_thresholds_{kind}": float(ious.mean()),
            f"s_measure_{kind}": s_measure(truth, given),
            f"e_measure_mean_{kind}": float(aligned.mean()),
            f"e_measure_max_per_picture_{kind}": float(aligned.max()),
            f"e_measure_adaptive_{kind}": e_measure_adaptive(truth, given),
            f"weighted_f_{kind}": weighted_f(truth, given, around),
            f"mae_{kind}": float(np.abs(given - truth).mean()),
        }
    return found


def drawn(truths: Iterable[np.ndarray], scores: Iterable[np.ndarray]) -> dict[str, Drawn]:
    """Max E-measure as printed, by exact name, as a function of draws (D, pictures) -> (D,).

    It is at the one threshold that suits all drawn pictures together best, so it is no mean of
    rows. The value is that of one draw of ones, `np.ones((1, pictures))`; its interval is taken
    from the draws of a bootstrap. One picture is in memory at a time; raises as `tables` does.
    """
    curves: dict[str, list[np.ndarray]] = {"raw": [], "minmax": []}
    for truth, score in zip(truths, scores, strict=True):
        _check(truth, score)
        given = score.astype(np.float64)
        for kind, stretched in (("raw", given), ("minmax", normalised(given))):
            curves[kind].append(e_measures(count_thresholds(truth, stretched)))
    if not curves["raw"]:
        raise ValueError("no picture to measure")
    return {f"e_measure_max_{kind}": _peak(np.stack(of_kind)) for kind, of_kind in curves.items()}


def _peak(curves: np.ndarray) -> Drawn:
    """Of curves (pictures, 256), the highest point of the mean of those that are drawn."""
    return lambda draws: (draws @ curves / draws.sum(1, keepdims=True)).max(1)


def normalised(scores: np.ndarray) -> np.ndarray:
    """Scores stretched to 0..1 within the picture; equal scores stay as they are (PraNet)."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else scores


def overlap(truth: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """Dice and IoU of two (H, W) bool masks; both 1 where neither has foreground."""
    hit = float(np.count_nonzero(truth & foreground))
    total = float(np.count_nonzero(truth) + np.count_nonzero(foreground))
    return (2 * hit / total, hit / (total - hit)) if total else (1.0, 1.0)


def count_thresholds(truth: np.ndarray, scores: np.ndarray) -> Counts:
    """What the thresholds k / 255 keep of scores (H, W) in 0..1."""
    # One histogram per class replaces 256 passes: a pixel is kept by every threshold up to its bin.
    bins = _bins(scores)
    all_at, hit_at = np.bincount(bins, minlength=256), np.bincount(bins[truth.ravel()], None, 256)
    hit, kept = (np.cumsum(count[::-1])[::-1] for count in (hit_at, all_at))
    return Counts(hit, kept, int(np.count_nonzero(truth)), truth.size)


def overlap_at_thresholds(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU at every threshold, each (256,); both 1 where nothing is true or kept."""
    total = counts.kept + counts.inside
    some, union = np.maximum(total, 1), np.maximum(total - counts.hit, 1)
    return (
        np.where(total > 0, 2 * counts.hit / some, 1.0),
        np.where(total > 0, counts.hit / union, 1.0),
    )


def e_measures(counts: Counts) -> np.ndarray:
    """E-measure at every threshold, (256,): how the two masks agree about their means.

    The sum over pixels is divided by their number less one, as the authors do, so that two equal
    masks score slightly above 1.
    """
    hit, kept, inside, size = counts.hit, counts.kept, counts.inside, counts.size
    if inside == 0:
        return (size - kept) / (size - 1 + EPS)
    if inside == size:
        return kept / (size - 1 + EPS)
    # Both masks have two values each, so all pixels are of four kinds.
    pixels = (hit, kept - hit, inside - hit, size - kept - inside + hit)
    kept_share, true_share = kept / size, inside / size
    total = np.zeros(len(np.atleast_1d(kept)))
    for count, (is_kept, is_true) in zip(pixels, ((1, 1), (1, 0), (0, 1), (0, 0)), strict=True):
        ours, theirs = is_kept - kept_share, is_true - true_share
        alignment = 2 * ours * theirs / (ours**2 + theirs**2 + EPS)
        total += count * (alignment + 1) ** 2 / 4
    return total / (size - 1 + EPS)


def e_measure_adaptive(truth: np.ndarray, scores: np.ndarray) -> float:
    """E-measure at twice the mean score, at most 1."""
    kept = scores >= min(2 * scores.mean(), 1.0)
    counts = Counts(
        np.array([np.count_nonzero(kept & truth)]),
        np.array([np.count_nonzero(kept)]),
        int(np.count_nonzero(truth)),
        truth.size,
    )
    return float(e_measures(counts)[0])


def s_measure(truth: np.ndarray, scores: np.ndarray) -> float:
    """S-measure: half of it compares objects, half the four quarters around the truth's centre."""
    share = float(truth.mean())
    if share == 0.0:
        return float(1 - scores.mean())
    if share == 1.0:
        return float(scores.mean())
    objects = share * _object(scores[truth]) + (1 - share) * _object(1 - scores[~truth])
    return max(0.0, 0.5 * objects + 0.5 * _regions(truth, scores))


def weighted_f(truth: np.ndarray, scores: np.ndarray, around: Surroundings | None = None) -> float:
    """F-measure that forgives an error beside right pixels and minds one far from the truth.

    0 where the truth is empty. `around` is `surroundings(truth)`, where it is at hand.
    """
    if not truth.any():
        return 0.0
    around = surroundings(truth) if around is None else around
    error = np.abs(scores - truth)
    near, inside = error[around.box], truth[around.box]
    # Background counts as its nearest foreground, so that the edge is not smoothed away.
    smooth = _gauss(np.where(inside, near, error.ravel()[around.nearest]))
    missed = np.minimum(near, smooth)[inside]
    false = (error * around.weight).sum()
    hit = len(missed) - missed.sum()
    recall, precision = 1 - missed.mean(), hit / (hit + false + EPS)
    return float(2 * recall * precision / (recall + precision + EPS))


def surroundings(truth: np.ndarray) -> Surroundings:
    """What the weighted F asks of a truth that is not empty; of an empty one it asks nothing."""
    if not truth.any():
        empty = (slice(0, 0), slice(0, 0))
        return Surroundings(np.ones(truth.shape), empty, np.zeros((0, 0), np.int64))
    distance, index = ndimage.distance_transform_edt(~truth, return_indices=True)
    weight = np.where(truth, 0.0, 2 - np.exp(np.log(0.5) / HALF_DISTANCE * distance))
    places = [np.flatnonzero(truth.any(axis)) for axis in (1, 0)]
    box = tuple(slice(max(0, p[0] - GAUSS_RADIUS), p[-1] + 1 + GAUSS_RADIUS) for p in places)
    rows, columns = (part[box].astype(np.int64) for part in index)
    return Surroundings(weight, box, rows * truth.shape[1] + columns)


def _check(truth: np.ndarray, scores: np.ndarray) -> None:
    if truth.dtype != bool or truth.ndim != 2 or truth.shape != scores.shape:
        raise ValueError(
            f"scores of {scores.shape} for a truth of {truth.shape} {truth.dtype}; both must be "
            "(H, W), the truth bool"
        )
    if not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores from {scores.min()} to {scores.max()}; they must be within 0..1")


def _bins(scores: np.ndarray) -> np.ndarray:
    """Highest k with k / 255 <= score, of the raveled picture."""
    flat = scores.ravel()
    bins = (flat * 255).astype(np.int64)
    # The product may round across a threshold, by one bin at most.
    bins -= THRESHOLDS[bins] > flat
    bins += THRESHOLDS[np.minimum(bins + 1, 255)] <= flat
    return np.minimum(bins, 255)


def _object(scores: np.ndarray) -> float:
    mean = scores.mean()
    spread = scores.std(ddof=1) if len(scores) > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + spread + EPS))


def _regions(truth: np.ndarray, scores: np.ndarray) -> float:
    """Similarity of the four quarters around the truth's centre, by their shares of the picture."""
    height, width = truth.shape
    lines, columns = truth.sum(1), truth.sum(0)
    count = lines.sum()
    # The script's centre is rounded and belongs to the upper left quarter.
    row = round(float(lines @ np.arange(height) / count)) + 1
    column = round(float(columns @ np.arange(width) / count)) + 1
    total = 0.0
    for rows in (slice(0, row), slice(row, height)):
        for part in (slice(0, column), slice(column, width)):
            quarter = truth[rows, part]
            if quarter.size:
                total += quarter.size / truth.size * _similarity(quarter, scores[rows, part])
    return total


def _similarity(truth: np.ndarray, scores: np.ndarray) -> float:
    """Structural similarity of a whole region, without stabilising constants."""
    x, y = scores.mean(), truth.mean()
    from_x, from_y = scores - x, truth - y
    rest = scores.size - 1 + EPS
    variances = ((from_x**2).sum() + (from_y**2).sum()) / rest
    above = 4 * x * y * (from_x * from_y).sum() / rest
    below = (x**2 + y**2) * variances
    if above != 0:
        return float(above / (below + EPS))
    return 1.0 if below == 0 else 0.0


def _gauss(picture: np.ndarray) -> np.ndarray:
    """Smoothed by the Gaussian of the weighted F; zeros lie around the picture."""
    steps = np.arange(-GAUSS_RADIUS, GAUSS_RADIUS + 1)
    kernel = np.exp(-(steps**2) / (2 * GAUSS_SIGMA**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        picture = ndimage.correlate1d(picture, kernel, axis, mode="constant")
    return picture
