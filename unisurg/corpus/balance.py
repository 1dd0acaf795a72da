"""How often each clip is drawn, so that no large data set and no large specialty drowns the rest.

UniSurg draws a clip x of data set d in specialty s with w(x) ~ 1 / (N_d |D_s|), where N_d is the
size of the data set and |D_s| the number of data sets in its specialty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def windows_of(n_frames: Sequence[int] | np.ndarray, frames: int) -> NDArray[np.float64]:
    """Windows of `frames` consecutive frames in each row, (rows,) float64.

    A row that is shorter than a window is drawn whole and padded; it counts as the share of a
    window that it fills, so that shreds of an edited video do not outnumber its long shots.
    """
    lengths = np.asarray(n_frames, np.float64)
    return np.where(lengths < frames, lengths / frames, lengths - frames + 1)


def clip_weights(
    sources: Sequence[str], specialties: Sequence[str], counts: Sequence[float] | np.ndarray
) -> NDArray[np.float64]:
    """Probability of drawing from each row of the manifest.

    A clip is a window of a row: with `counts` from `windows_of`, N_d is the data set's total of
    windows, and each is as likely as any other. All specialties are as likely as each other, and so
    are the data sets within one.

    Args:
        sources: data set of each row; one that lies in two specialties counts as two.
        specialties: specialty of each row.
        counts: clips in each row, positive.

    Returns:
        float64 (rows,), sums to 1.
    """
    sizes = np.asarray(counts, dtype=np.float64)
    if not len(sources) == len(specialties) == len(sizes):
        raise ValueError(
            f"{len(sources)} sources, {len(specialties)} specialties, {len(sizes)} counts"
        )
    if len(sizes) == 0 or not np.all(sizes > 0):
        raise ValueError("every row needs a positive count, and there must be a row")
    data_sets = list(zip(specialties, sources, strict=True))
    total: dict[tuple[str, str], float] = {}
    for data_set, size in zip(data_sets, sizes, strict=True):
        total[data_set] = total.get(data_set, 0.0) + size
    in_specialty: dict[str, int] = {}
    for specialty, _ in total:
        in_specialty[specialty] = in_specialty.get(specialty, 0) + 1
    weights = np.array(
        [size / (total[d] * in_specialty[d[0]]) for d, size in zip(data_sets, sizes, strict=True)]
    )
    return weights / weights.sum()
