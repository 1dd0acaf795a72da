"""Runs of equal labels."""

from __future__ import annotations

import numpy as np


def segments(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label and length in seconds of every run of equal labels (S,), in order."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    return labels[starts], np.diff(starts, append=len(labels))
