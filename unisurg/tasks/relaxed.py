"""Phase-level metrics with a boundary relaxed by 10 s: the M2CAI script as shipped with TMRNet.

d = predicted index - true index per second. In every segment of the truth, a prediction that lags
by one phase in the first 10 s, or leads by one in the last 10 s, counts as right; the last four
phases of Cholec80 have further exceptions. Jaccard is the share of right seconds in (true or
predicted), precision and recall divide the same count by the predicted and the true seconds, cut
to 1; F1 is made of those two.

The script as shipped selects the seconds of a segment's end with a mask of 10 s that MATLAB applies
to the segment's *start*. `relaxed10` keeps that, so that it can be compared with published numbers;
`relaxed10_corrected` forgives the end where the rule means it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unisurg.tasks.segments import segments

Table = np.ndarray
TOLERANCE_S = 10

# Differences that are forgiven at the start (late) and the end (early) of a segment, by the index
# of its phase in Cholec80's order; all other phases forgive -1 and +1.
LATE = {5: (-1, -2), 6: (-1, -2)}
EARLY = {3: (1, 2), 4: (1, 2), 5: (1, 2), 6: (1, 2)}


def tables(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int
) -> dict[str, Table]:
    """Tables by exact name, of labels (S,) per second in Cholec80's order of phases."""
    result: dict[str, Table] = {}
    for suffix, corrected in (("relaxed10", False), ("relaxed10_corrected", True)):
        rows = [
            _video(truth, prediction, classes, corrected)
            for truth, prediction in zip(truths, predictions, strict=True)
        ]
        result |= {f"{name}_{suffix}": np.stack([row[name] for row in rows]) for name in rows[0]}
    return result


def forgiven(truth: np.ndarray, prediction: np.ndarray, corrected: bool) -> np.ndarray:
    """Seconds that count as right, (S,) bool."""
    difference = prediction.astype(np.int64) - truth
    start = 0
    for phase, length in zip(*segments(truth), strict=True):
        segment = difference[start : start + length]
        edge = min(TOLERANCE_S, length)
        late = np.isin(segment[:edge], LATE.get(int(phase), (-1,)))
        early = np.isin(segment[-edge:], EARLY.get(int(phase), (1,)))
        segment[:edge][late] = 0
        (segment[-edge:] if corrected else segment[:edge])[early] = 0
        start += length
    return difference == 0


def _video(
    truth: np.ndarray, prediction: np.ndarray, classes: int, corrected: bool
) -> dict[str, np.ndarray]:
    right = forgiven(truth, prediction, corrected)
    labels = np.arange(classes)[:, None]
    is_true, is_predicted = labels == truth, labels == prediction
    hit = ((is_true | is_predicted) & right).sum(1)
    # A phase that is never predicted has 0 / 0 in the script too, and is left out of its mean.
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.minimum(hit / is_predicted.sum(1), 1)
        recall = np.minimum(hit / is_true.sum(1), 1)
        f1 = 2 * precision * recall / (precision + recall)
        jaccard = hit / (is_true | is_predicted).sum(1)
    rates = {"precision": precision, "recall": recall, "jaccard": jaccard, "f1": f1}
    present = is_true.any(1)
    levels = {
        f"{name}_phase_level": np.where(present, rate, np.nan) for name, rate in rates.items()
    }
    return {"accuracy_per_video": np.array([right.mean()]), **levels}
