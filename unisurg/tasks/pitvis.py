"""PitVis-2023's challenge metric for steps.

Per video, seconds whose true step is ignored (-1, 11 and 13 in its files, `IGNORED` here) are
removed, and the score is the mean of macro F1 and the normalised edit score of what is left. The
macro mean goes over the steps in truth or prediction. The script asks scikit-learn for
`zero_division=1`, which no step of that union can need: a step in one of the two alone has F1 0.

Source: `helper_scripts/evaluation_steps.py` of github.com/dreets/pitvis and arXiv 2409.01184, which
averages over videos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unisurg.tasks.edit import edit_score
from unisurg.tasks.segments import labelled

Table = np.ndarray


def pitvis_challenge_per_video(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, Table]:
    """Table (V, 1) by exact name, of labels (S,) per second."""
    scores = [challenge_score(t, p) for t, p in zip(truths, predictions, strict=True)]
    return {"pitvis_challenge_per_video": np.array(scores)[:, None]}


def challenge_score(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean of macro F1 and edit score of one video, in 0..1; NaN where every second is ignored."""
    return (macro_f1(truth, prediction) + edit_score(truth, prediction)) / 2


def macro_f1(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean F1 over the labels that truth or prediction name, in 0..1.

    A prediction may name what the truth never may, such as an ignored step; it counts as a label.
    """
    truth, prediction = labelled(truth, prediction)
    if not truth.size:
        return float("nan")
    names = np.union1d(truth, prediction)[:, None]
    is_true, is_predicted = names == truth, names == prediction
    hit = (is_true & is_predicted).sum(1)
    return float(np.mean(2 * hit / (is_true.sum(1) + is_predicted.sum(1))))
