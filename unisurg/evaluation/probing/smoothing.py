"""Offline smoothing of a video's scores: it sees what comes after, so it is never a main result."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def smoothed_name(kind: str, seconds: int) -> str:
    """What the smoothed predictions of that kind of head are called."""
    return f"{kind}_offline_smoothed_{seconds}s"


def smooth(logits: Tensor, moments: np.ndarray, seconds: float) -> Tensor:
    """Mean over +- `seconds` around each moment of the softmax of `logits`, both (S, C).

    At the ends of a video, and beside moments without a label, the mean goes over what is there.

    Args:
        moments: seconds (S,), ascending.
    """
    scores = logits.double().softmax(1)
    sums = scores.new_zeros(len(scores) + 1, scores.shape[1])
    sums[1:] = scores.cumsum(0)
    first = np.searchsorted(moments, moments - seconds, side="left")
    last = np.searchsorted(moments, moments + seconds, side="right")
    counts = scores.new_tensor(last - first)[:, None]
    return (sums[last] - sums[first]) / counts
