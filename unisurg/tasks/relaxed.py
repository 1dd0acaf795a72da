"""Phase-level metrics with a boundary relaxed by 10 s: the M2CAI script, as its heirs ship it.

d = predicted index - true index per second. In every segment of the truth, a prediction that lags
by one phase in the first 10 s, or leads by one in the last 10 s, counts as right; the last four
phases of a cholecystectomy have further exceptions. Jaccard is the share of right seconds in (true
or predicted), precision and recall divide the same count by the predicted and the true seconds, so
they may exceed 1 and are cut to it.

The script as shipped selects the seconds of a segment's end with a mask of 10 s that MATLAB applies
to the segment's *start*. `relaxed10` keeps that, so that it can be compared with published numbers;
`relaxed10_corrected` forgives the end where the rule means it.

Sources: `Evaluate.m` of TMRNet and of Surgformer (Cholec80 and AutoLaparo), `Evaluate_m2cai.m` of
TMRNet (M2CAI16). Only Surgformer's prints an F1: of precision and recall *before* the cut, itself
cut to 1, which is `f1_phase_level_relaxed10_uncut`; the other F1s are made of the cut rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unisurg.tasks.segments import labelled, segments

Table = np.ndarray
TOLERANCE_S = 10


@dataclass(frozen=True)
class Rule:
    """Differences forgiven at the start (`late`) and the end (`early`) of a phase, by its index.

    A phase that is not named forgives -1 at its start and +1 at its end.
    """

    late: Mapping[int, tuple[int, ...]]
    early: Mapping[int, tuple[int, ...]]


# Phases in the official order of each data set, from 0. AutoLaparo's published relaxed numbers were
# made with Cholec80's rule.
CHOLEC80 = Rule(late={5: (-1, -2), 6: (-1, -2)}, early={3: (1, 2), 4: (1, 2), 5: (1, 2), 6: (1, 2)})
M2CAI16 = Rule(late={6: (-1, -2), 7: (-1, -2)}, early={4: (1, 2), 5: (1, 2), 6: (1, 2), 7: (1, 2)})


def tables(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int, rule: Rule
) -> dict[str, Table]:
    """Tables by exact name, of labels (S,) per second in the order of phases that `rule` is for."""
    return {
        **phase_level_relaxed10(truths, predictions, classes, rule),
        **phase_level_relaxed10_corrected(truths, predictions, classes, rule),
    }


def phase_level_relaxed10(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int, rule: Rule
) -> dict[str, Table]:
    """The script as shipped: accuracy (V, 1), and rates per video and phase (V, C)."""
    rows = _rows(truths, predictions, classes, rule, corrected=False)
    return {f"{name}_relaxed10{suffix}": rows[name, suffix] for name, suffix in rows}


def phase_level_relaxed10_corrected(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], classes: int, rule: Rule
) -> dict[str, Table]:
    """The same with the end of a segment forgiven: accuracy (V, 1), and rates (V, C)."""
    rows = _rows(truths, predictions, classes, rule, corrected=True)
    return {f"{name}_relaxed10_corrected": rows[name, ""] for name, suffix in rows if not suffix}


def forgiven(
    truth: np.ndarray, prediction: np.ndarray, rule: Rule, *, corrected: bool
) -> np.ndarray:
    """Seconds that count as right, (S,) bool."""
    difference = prediction.astype(np.int64) - truth
    start = 0
    for phase, length in zip(*segments(truth), strict=True):
        segment = difference[start : start + length]
        edge = min(TOLERANCE_S, length)
        late = np.isin(segment[:edge], rule.late.get(int(phase), (-1,)))
        early = np.isin(segment[-edge:], rule.early.get(int(phase), (1,)))
        segment[:edge][late] = 0
        (segment[-edge:] if corrected else segment[:edge])[early] = 0
        start += length
    return difference == 0


def _rows(
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    classes: int,
    rule: Rule,
    *,
    corrected: bool,
) -> dict[tuple[str, str], Table]:
    """Tables by name before and after `_relaxed10`."""
    rows = [
        _video(*labelled(truth, prediction), classes, rule, corrected)
        for truth, prediction in zip(truths, predictions, strict=True)
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _video(
    truth: np.ndarray, prediction: np.ndarray, classes: int, rule: Rule, corrected: bool
) -> dict[tuple[str, str], np.ndarray]:
    right = forgiven(truth, prediction, rule, corrected=corrected)
    labels = np.arange(classes)[:, None]
    is_true, is_predicted = labels == truth, labels == prediction
    hit = ((is_true | is_predicted) & right).sum(1)
    # A phase that is never predicted has 0 / 0 in the script too, and is left out of its mean.
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = hit / is_predicted.sum(1), hit / is_true.sum(1)
        rates = {
            ("precision_phase_level", ""): np.minimum(precision, 1),
            ("recall_phase_level", ""): np.minimum(recall, 1),
            ("jaccard_phase_level", ""): hit / (is_true | is_predicted).sum(1),
            ("f1_phase_level", ""): _f1(np.minimum(precision, 1), np.minimum(recall, 1)),
            ("f1_phase_level", "_uncut"): np.minimum(_f1(precision, recall), 1),
        }
        accuracy = np.array([right.sum()]) / right.size
    present = is_true.any(1)
    levels = {name: np.where(present, rate, np.nan) for name, rate in rates.items()}
    return {("accuracy_per_video", ""): accuracy, **levels}


def _f1(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    return 2 * precision * recall / (precision + recall)
