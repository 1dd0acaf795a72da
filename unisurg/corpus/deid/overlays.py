"""Rectangles of a picture -> black pixels.

Rectangles are shares of the picture, so that one row of a catalogue fits recordings of every size.
They are rounded outwards: a pixel that a rectangle touches is painted whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9
"""Shares of a picture; less is arithmetic of floats, not a pixel touched."""


class OverlayError(ValueError):
    """A rectangle that cannot be meant, or more paint than a source may need."""


class Rectangle(NamedTuple):
    """Upper left corner and size as shares 0..1 of the picture's width (x, w) and height (y, h)."""

    x: float
    y: float
    w: float
    h: float


def checked(rectangles: Iterable[tuple[float, float, float, float]]) -> tuple[Rectangle, ...]:
    """The rectangles, each of which is known to lie in the picture.

    Raises:
        OverlayError: not finite, empty, or outside. A mistyped row must not paint less than meant.
    """
    found = tuple(Rectangle(*map(float, rectangle)) for rectangle in rectangles)
    for rectangle in found:
        x, y, w, h = rectangle
        inside = x >= 0 and y >= 0 and x + w <= 1 + ROUNDING and y + h <= 1 + ROUNDING
        if not (inside and w > 0 and h > 0):  # a NaN fails all of these
            raise OverlayError(
                f"rectangle {tuple(rectangle)} is empty or leaves the picture: give x, y, width "
                "and height as shares 0..1 of the picture"
            )
    return found


def pixel_rectangles(
    rectangles: Iterable[Rectangle], width_px: int, height_px: int
) -> NDArray[np.int64]:
    """Rectangles (R, 4) of pixels x0, y0, x1, y1 with x1 and y1 behind the last; sorted, unique."""
    rows = {
        (
            max(0, floor((x + ROUNDING) * width_px)),
            max(0, floor((y + ROUNDING) * height_px)),
            min(width_px, ceil((x + w - ROUNDING) * width_px)),
            min(height_px, ceil((y + h - ROUNDING) * height_px)),
        )
        for x, y, w, h in checked(rectangles)
    }
    return np.array(sorted(rows), np.int64).reshape(-1, 4)


def mask(rectangles: Iterable[Rectangle], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """The union of rectangles, True (height_px, width_px) where a pixel is to be painted."""
    union = np.zeros((height_px, width_px), np.bool_)
    for x0, y0, x1, y1 in pixel_rectangles(rectangles, width_px, height_px):
        union[y0:y1, x0:x1] = True
    return union


def paint(frames: NDArray[np.uint8], rectangles: Iterable[Rectangle]) -> NDArray[np.uint8]:
    """A copy of RGB frames (..., H, W, 3), black below the rectangles and unchanged elsewhere."""
    if frames.ndim < 3 or frames.shape[-1] != 3:
        raise OverlayError(f"wanted RGB frames (..., H, W, 3), got {frames.shape}")
    height, width = frames.shape[-3:-1]
    painted = frames.copy()
    for x0, y0, x1, y1 in pixel_rectangles(rectangles, width, height):
        painted[..., y0:y1, x0:x1, :] = 0
    return painted


def painted_share(rectangles: Iterable[Rectangle]) -> float:
    """Area of the union as a share 0..1 of the picture, exact: overlaps count once."""
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in checked(rectangles)]).reshape(-1, 4)
    columns, rows = np.unique(boxes[:, 0::2]), np.unique(boxes[:, 1::2])
    if not len(boxes):
        return 0.0
    cells = np.zeros((len(rows) - 1, len(columns) - 1), np.bool_)
    for x0, y0, x1, y1 in boxes:
        left, right = np.searchsorted(columns, (x0, x1))
        top, bottom = np.searchsorted(rows, (y0, y1))
        cells[top:bottom, left:right] = True
    share: float = (np.diff(rows) @ cells @ np.diff(columns)).item()
    return min(1.0, share)


def within_bound(rectangles: Iterable[Rectangle], most_share: float) -> float:
    """`painted_share`, where it is at most `most_share`.

    Raises:
        OverlayError: more of the picture would be black than the bound allows.
    """
    share = painted_share(rectangles)
    if share > most_share:
        raise OverlayError(
            f"{share:.0%} of the picture would be painted black, at most {most_share:.0%} may be: "
            "look at the medians, and correct the source's overlays or the rules of reading"
        )
    return share
