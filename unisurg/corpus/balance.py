"""How often each clip is drawn, so that no large data set and no large specialty drowns the rest.

UniSurg draws a clip x of data set d in specialty s with w(x) ~ 1 / (N_d |D_s|), where N_d is the
size of the data set and |D_s| the number of data sets in its specialty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def clip_weights(
    sources: Sequence[str], specialties: Sequence[str], counts: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Probability of drawing from each recording (row of the manifest).

    A clip is a window of a recording, and a recording of n frames holds about n of them: with
    `counts` = n_frames, N_d is the data set's total of frames and every second of a data set is as
    likely as any other. All specialties are as likely as each other, and so are the data sets
    within one. `counts` of ones make recordings alike instead, whatever their length.

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
