"""Runs of equal labels, and how well the predicted runs overlap the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Table = np.ndarray
# Truth of a second or clip that is not scored; it is removed together with its prediction.
IGNORED = -1
OVERLAPS = {"10": 0.10, "25": 0.25, "50": 0.50}


def labelled(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction where the truth is not `IGNORED`; `truth` is (S,), both have S rows.

    The runs on the two sides of a gap then touch, as in PitVis's script.

    Raises:
        ValueError: there is nothing, or not as many predictions as labels.
    """
    if len(truth) != len(prediction) or truth.size == 0:
        raise ValueError(f"{prediction.shape} predictions for {truth.shape} labels")
    kept = truth != IGNORED
    return truth[kept], prediction[kept]


def segments(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label and length in seconds of every run of equal labels (S,), in order."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    return labels[starts], np.diff(starts, append=len(labels))


def f1_segmental_pooled(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, Table]:
    """Segmental F1 at IoU 0.10, 0.25 and 0.50 over the segments of all videos, by exact name.

    Tables of parts and wholes (V, 1, 2): a video adds its 2 TP to one and its predicted plus its
    true segments to the other. Source: Lea et al., "Temporal Convolutional Networks for Action
    Segmentation and Detection" (CVPR 2017), counted as in MS-TCN's script, which sums over videos.
    """
    rows = [
        [segmental_counts(truth, prediction, overlap) for overlap in OVERLAPS.values()]
        for truth, prediction in zip(truths, predictions, strict=True)
    ]
    counts = np.array(rows, dtype=float)
    return {f"f1_at_{name}_segmental_pooled": counts[:, None, i] for i, name in enumerate(OVERLAPS)}


def segmental_counts(truth: np.ndarray, prediction: np.ndarray, overlap: float) -> tuple[int, int]:
    """2 TP and the number of predicted plus true segments of one video; F1 is their ratio.

    A predicted segment goes to the true one of its label with the highest IoU, the first of equals.
    It is right if that IoU is at least `overlap` (0..1) and no earlier one took the same segment.
    """
    found, iou = best_overlaps(truth, prediction)
    # However many come to one true segment, the first alone is right: count those that are taken.
    taken = np.unique(found[iou >= overlap])
    true, _ = segments(labelled(truth, prediction)[0])
    return 2 * len(taken), len(found) + len(true)


def best_overlaps(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every predicted segment the true segment of its label it overlaps most, and their IoU.

    Index and IoU are (P,); where no segment of that label overlaps, the IoU is 0.
    """
    (labels, lengths), (names, spans) = map(segments, labelled(truth, prediction))
    stops = spans.cumsum()
    index, best = np.zeros(len(names), int), np.zeros(len(names))
    # One true segment at a time: memory grows with the segments, not with their product.
    for i, (label, length, end) in enumerate(zip(labels, lengths, lengths.cumsum(), strict=True)):
        shared = np.minimum(stops, end) - np.maximum(stops - spans, end - length)
        shared = np.where(names == label, np.maximum(shared, 0), 0)
        iou = shared / (spans + length - shared)
        index, best = np.where(iou > best, i, index), np.maximum(iou, best)
    return index, best
