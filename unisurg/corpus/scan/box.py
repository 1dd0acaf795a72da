"""Where the picture is: without bars, without what is written on them, and how round it is.

Bars, logos and masks never change, surgery does. What varies in time tells them apart where
brightness cannot: a dark corner of an abdomen is picture, a white logo is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv

SPECK_PX = 5
"""What changes in a spot smaller than this, the digits of a clock for one, is no picture."""
LEAST_OF_A_LINE = 0.1
"""Share of a row or column that must vary for it to belong to the picture."""
LEAST_OF_FRAME = 0.15
"""Where less of the frame varies, nothing is known of bars, and all of it is the picture."""
TRIM = 12
"""One in so many samples of a pixel is set aside at either end: a title card is no motion."""
EDGE_PX = 2
"""A border of the picture closer to the frame's is cut off by it and says nothing of roundness."""
FIT_ROUNDS, FIT_OFF = 8, 0.015
"""Rounds of fitting a circle, and the share of its radius that a point of it may be off."""
LEAST_ON_CIRCLE, LEAST_OF_TURN, MOST_OUTSIDE = 0.7, 0.2, 0.03
"""Share of the border that must lie on the circle, of its turn that must be seen, and of what lies
outside that may vary."""
LEAST_MASKED = 0.02
"""Share of the box that a round mask covers at least."""


@dataclass(frozen=True)
class Box:
    """Left, top, width and height in pixels."""

    x: int
    y: int
    w: int
    h: int

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of a picture `(H, W, ...)` inside the box."""
        return picture[self.y : self.y + self.h, self.x : self.x + self.w]

    def scaled(self, width: int, height: int, to_width: int, to_height: int) -> Box:
        """The box of a `width` x `height` picture in the same picture at another size."""
        left, right = (round(x * to_width / width) for x in (self.x, self.x + self.w))
        top, bottom = (round(y * to_height / height) for y in (self.y, self.y + self.h))
        return Box(left, top, max(1, right - left), max(1, bottom - top))


@dataclass(frozen=True)
class Circle:
    """Centre and radius in pixels; the centre of pixel (0, 0) lies at 0.5, 0.5."""

    cx: float
    cy: float
    r: float

    def scaled(self, factor: float) -> Circle:
        return Circle(self.cx * factor, self.cy * factor, self.r * factor)


def moving(samples: NDArray[np.uint8], least_std: float) -> NDArray[np.uint8]:
    """Luma of frames far apart `(N, H, W)` -> 1 where a pixel's deviation in time is above, else 0.

    `least_std` is in grey levels: bars have none but what the codec adds, surgery has several.
    """
    cv2 = opencv()
    ordered = np.sort(samples, axis=0)
    trim = len(samples) // TRIM
    deviation = ordered[trim : len(samples) - trim].astype(np.float32).std(axis=0)
    spots = np.ones((SPECK_PX, SPECK_PX), np.uint8)
    return cv2.morphologyEx((deviation > least_std).astype(np.uint8), cv2.MORPH_OPEN, spots)


def content_box(moves: NDArray[np.uint8]) -> Box:
    """The smallest box of all rows and columns of `moving` that vary, or the whole frame.

    Sides that do not lie on the frame's border come in by one pixel, in which picture and bar mix.
    """
    height, width = moves.shape
    if moves.mean() < LEAST_OF_FRAME:
        return Box(0, 0, width, height)
    top, bottom = _extent(moves.mean(axis=1))
    left, right = _extent(moves[top:bottom].mean(axis=0))
    return Box(left, top, right - left, bottom - top)


def _extent(share: NDArray[Any]) -> tuple[int, int]:
    lines = np.flatnonzero(share >= LEAST_OF_A_LINE)
    if len(lines) < SPECK_PX:
        return 0, len(share)
    first, end = int(lines[0]), int(lines[-1]) + 1
    return first + (first > 0), end - (end < len(share))


def field_circle(moves: NDArray[np.uint8], box: Box) -> Circle | None:
    """The circle that an endoscope's round field of view fills in the box; None if it is not round.

    The first and last varying pixel of each row and column lie on it, but for those that the frame
    cuts off. A circle is fitted to them (I. Kåsa, A circle fitting procedure and its error
    analysis, 1976), again and again without the points that lie off it.
    """
    inside = box.of(moves)
    points = _border(inside)
    if len(points) < 4 * SPECK_PX:
        return None
    kept = points
    for _ in range(FIT_ROUNDS):
        circle = _fitted(kept)
        off = np.abs(np.hypot(*(points - (circle.cx, circle.cy)).T) - circle.r)
        near = off <= max(1.5, FIT_OFF * circle.r, 1.5 * float(np.median(off)))
        if near.sum() < 3:
            return None
        kept = points[near]
    return _moved(circle, box) if _convinces(circle, points, off, inside) else None


def _border(moves: NDArray[np.uint8]) -> NDArray[np.float64]:
    """First and last varying pixel of every row and column, outer edges (x, y), `(N, 2)`."""
    found = []
    for area, swapped in ((moves, False), (moves.T, True)):
        length = area.shape[1]
        lines = np.flatnonzero(area.any(axis=1))
        first = area[lines].argmax(axis=1)
        end = length - area[lines, ::-1].argmax(axis=1)
        for place in (first, end):
            seen = (place >= EDGE_PX) & (place <= length - EDGE_PX)
            across, along = place[seen].astype(float), lines[seen] + 0.5
            found.append(np.column_stack([along, across] if swapped else [across, along]))
    return np.concatenate(found)


def _fitted(points: NDArray[np.float64]) -> Circle:
    """The circle of least squares: x^2 + y^2 = 2 cx x + 2 cy y + c is linear in what is sought."""
    unknown = np.column_stack([2 * points, np.ones(len(points))])
    cx, cy, c = np.linalg.lstsq(unknown, (points**2).sum(axis=1), rcond=None)[0]
    return Circle(float(cx), float(cy), float(np.sqrt(max(c + cx**2 + cy**2, 0.0))))


def _convinces(
    circle: Circle, points: NDArray[np.float64], off: NDArray[Any], moves: NDArray[np.uint8]
) -> bool:
    height, width = moves.shape
    near = off <= max(1.5, FIT_OFF * circle.r)
    on = points[near] - (circle.cx, circle.cy)
    seen = len(np.unique(np.floor(np.arctan2(on[:, 1], on[:, 0]) / np.pi * 18))) / 36
    y, x = np.mgrid[:height, :width] + 0.5
    outside = np.hypot(x - circle.cx, y - circle.cy) > circle.r + 2
    return bool(
        0 < circle.cx < width
        and 0 < circle.cy < height
        and near.mean() >= LEAST_ON_CIRCLE
        and seen >= LEAST_OF_TURN
        and outside.mean() >= LEAST_MASKED
        and moves[outside].mean() <= MOST_OUTSIDE
    )


def _moved(circle: Circle, box: Box) -> Circle:
    return Circle(circle.cx + box.x, circle.cy + box.y, circle.r)
