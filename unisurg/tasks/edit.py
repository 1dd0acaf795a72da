"""Edit score: whether the phases come in the right order, whatever their length.

Source: Lea et al., "Segmental Spatiotemporal CNNs for Fine-grained Action Segmentation" (ECCV
2016). The literature prints it times 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unisurg.tasks.segments import labelled, segments

Table = np.ndarray


def edit_score_per_video(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, Table]:
    """Table (V, 1) by exact name, of labels (S,) per second."""
    scores = [edit_score(t, p) for t, p in zip(truths, predictions, strict=True)]
    return {"edit_score_per_video": np.array(scores)[:, None]}


def edit_score(truth: np.ndarray, prediction: np.ndarray) -> float:
    """1 - Levenshtein distance of the segment sequences / length of the longer one, in 0..1.

    NaN where every second is ignored.
    """
    (ours, _), (theirs, _) = map(segments, labelled(truth, prediction))
    if not ours.size:
        return float("nan")
    return 1.0 - levenshtein(ours, theirs) / max(len(ours), len(theirs))


def levenshtein(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Fewest insertions, deletions and replacements that turn one (N,) into the other (M,)."""
    steps = np.arange(len(theirs) + 1)
    row = steps
    for label in ours:
        changed = row + 1
        changed[1:] = np.minimum(changed[1:], row[:-1] + (theirs != label))
        # An insertion costs 1 per step to the right, so the best start is a running minimum.
        row = np.minimum.accumulate(changed - steps) + steps
    return int(row[-1])
