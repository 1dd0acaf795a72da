"""Numbers by which frames without use show: black, frozen, blurred, empty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv

DARK = 16
"""Luma 0..255 below which a pixel is dark."""
COLUMNS = ("luma_mean", "dark_frac", "lap_var", "entropy_bits", "diff_prev")


def quality(
    luma: NDArray[np.uint8], before: NDArray[np.uint8] | None
) -> tuple[float, float, float, float, float]:
    """The numbers of one picture `(H, W)` in the order of `COLUMNS`; `before` is the one before it.

    - luma_mean: 0..255
    - dark_frac: share of the pixels with luma below 16, 0..1
    - lap_var: variance of the Laplacian, 0 for a flat picture, less the more it is blurred
      (J. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, 2000)
    - entropy_bits: of the histogram of luma, 0 for a flat picture, at most 8
    - diff_prev: mean absolute difference from `before`, 0..255; NaN without one
    """
    cv2 = opencv()
    share = np.bincount(luma.ravel(), minlength=256) / luma.size
    present = share[share > 0]
    _, deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return (
        float(share @ np.arange(256)),
        float(share[:DARK].sum()),
        float(deviation[0, 0] ** 2),
        float(abs(present @ np.log2(present))),
        np.nan if before is None else float(cv2.absdiff(luma, before).mean()),
    )
