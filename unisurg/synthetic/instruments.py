"""Instruments: a shaft from the rim, a wrist and one or two jaws, drawn part by part.

A part is a tapering bar. Drawing touches only its bounding box and anti-aliases its edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from unisurg.synthetic.exact import ONE, SINE_ONE, SUB, TURN, VIEW, Array, angle_of, cosine, sine
from unisurg.synthetic.operation import States
from unisurg.synthetic.worlds import Colour, Instrument

STEEL: Colour = (196, 200, 208)
WRIST: Colour = (150, 154, 162)
KNUCKLE = 8  # pixels between shaft and jaws
GAPE = TURN * 34 // 360  # of each jaw, wide open
FINE = 16  # positions in a picture, per pixel
PORT_MM, LIFT_MM = 20_00, 1_50  # depths x 100: the shaft at the rim, the tip above the tissue


Point = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """A bar from `start` along `angle`; lengths in 1/FINE pixel of the picture."""

    start: Point
    angle: int
    length: int
    half: int
    half_end: int
    colour: Colour
    is_shaft: bool = False


@dataclass(frozen=True)
class Patch:
    """What a part covers of the picture: a box, its coverage 0..256 and where across it is."""

    box: tuple[slice, slice]
    cover: Array
    shade: Array  # 0..63 across the bar
    along: Array  # 1/FINE px from the start


def parts_of(state: States, hand: int, kind: Instrument, height: int, width: int) -> Iterator[Part]:
    """The parts of one instrument, the deepest layer first."""
    short = min(height, width)

    def place(point: Array) -> Point:
        x, y = (int(v) * short * FINE // (VIEW * SUB) for v in point)
        return x + width * FINE // 2, y + height * FINE // 2

    def length(pixels: int) -> int:
        return max(FINE // 2, pixels * short * FINE // VIEW)

    port, tip = place(state.port[hand]), place(state.tip[hand])
    jaws = angle_of(tip[0] - port[0], tip[1] - port[1]) + int(state.wrist[hand])
    wrist = _step(tip, jaws, -length(kind.jaw_length))
    knuckle = _step(wrist, jaws, -length(KNUCKLE))
    dx, dy = knuckle[0] - port[0], knuckle[1] - port[1]
    toward = angle_of(dx, dy)
    span = (dx * int(cosine(toward)) + dy * int(sine(toward))) // SINE_ONE
    if span <= 0:
        return
    thick, jaw = length(kind.shaft_width), length(kind.jaw_width)
    yield Part(port, toward, span, thick, thick, kind.shaft, is_shaft=True)
    yield Part(knuckle, jaws, length(KNUCKLE + 2), thick * 7 // 8, thick * 3 // 4, WRIST)
    gape = int(state.jaw[hand]) * GAPE // ONE + TURN // 180
    for sign in (-1, 1) if kind.jaws == 2 else (0,):
        yield Part(wrist, jaws + sign * gape, length(kind.jaw_length), jaw, jaw // 3 + 4, STEEL)


def _step(point: Point, angle: int, length: int) -> Point:
    x, y = point
    return x + int(cosine(angle)) * length // SINE_ONE, y + int(sine(angle)) * length // SINE_ONE


def cover(part: Part, height: int, width: int, *, shift: int = 0, soft: int = FINE) -> Patch | None:
    """What `part`, moved by (shift, shift) pixels, covers; None outside the picture.

    Its edge is `soft` / FINE pixels wide, `soft` being a power of two up to 256.
    """
    x, y = part.start[0] + shift * FINE, part.start[1] + shift * FINE
    end_x, end_y = _step((x, y), part.angle, part.length)
    pad = max(part.half, part.half_end) + soft
    cols = _window(min(x, end_x) - pad, max(x, end_x) + pad, width)
    rows = _window(min(y, end_y) - pad, max(y, end_y) + pad, height)
    if cols.start >= cols.stop or rows.start >= rows.stop:
        return None
    c, s = int(cosine(part.angle)), int(sine(part.angle))
    px = np.arange(cols.start, cols.stop, dtype=np.int32)[None] * FINE + FINE // 2 - x
    py = np.arange(rows.start, rows.stop, dtype=np.int32)[:, None] * FINE + FINE // 2 - y
    along = (px * c + py * s) >> 14
    across = (py * c - px * s) >> 14
    taper = ((part.half_end - part.half) << 10) // part.length
    half = part.half + (np.minimum(along, part.length) * taper >> 10) if taper else part.half
    inside = np.minimum(half - np.abs(across), np.minimum(along + FINE, part.length - along))
    share = np.maximum(np.minimum(inside + soft // 2, soft), 0) * (256 // soft)
    shade = (across + part.half) * 63 // (2 * part.half)
    return Patch((rows, cols), share, np.maximum(np.minimum(shade, 63), 0), along)


def _window(low: int, high: int, size: int) -> slice:
    return slice(min(max(low // FINE, 0), size), max(min(high // FINE + 1, size), 0))


@cache
def metal(colour: Colour) -> Array:
    """(3, 64) uint16: a lit cylinder's colours from one edge to the other."""
    across = np.arange(64)
    light = 420 + sine(across * TURN // 128) * 560 // SINE_ONE
    glint = np.maximum(0, 9 - np.abs(across - 22)) * 13
    return np.stack([np.clip(v * light // ONE + glint, 0, 255) for v in colour]).astype(np.uint16)
