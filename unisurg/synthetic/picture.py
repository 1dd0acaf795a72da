"""Colonoscopy stills with one polyp and its mask, of varying sizes.

The polyp has nearly the colour of the wall that it grows on, and the picture holds what is often
mistaken for one: folds, residue, bubbles and highlights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unisurg.synthetic.exact import (
    ONE,
    SINE_ONE,
    SUB,
    TURN,
    VIEW,
    Array,
    cosine,
    fractal,
    sine,
    stream,
)
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer

POLYP = 102
SIDES_PX = (240, 353)
AREA = (70, 340)  # of ONE, aimed at
AREA_KEPT = (0.05, 0.35)  # share of the picture, checked
SECONDS = 60
STILL = "colonoscopy-still"


@dataclass(frozen=True)
class Polyp:
    """A polyp's place (row, column) and its dome, (H, W) int32.

    The dome is ONE in the middle, 0 on the edge, negative outside.
    """

    middle: tuple[int, int]
    dome: Array


def polyp_picture(seed: int, world: str = STILL) -> tuple[Array, Array]:
    """(H, W, 3) uint8 picture and (H, W) uint8 coverage of its polyp, 0..255 with a soft edge."""
    rng = stream(seed, POLYP)
    height, width = (int(n) & ~1 for n in rng.integers(*SIDES_PX, 2))
    operation = Operation(world, seed, SECONDS)
    renderer = Renderer(operation, height, width)
    inside = renderer.field > ONE // 2
    polyp = _draw_polyp(rng, height, width, inside)
    state = operation.at(rng.integers(0, operation.span_ms, 1))[0]
    away = np.array([width // 2 - polyp.middle[1], height // 2 - polyp.middle[0]])
    state = replace(state, camera=-away * 3 // 4 * (SUB * VIEW) // min(height, width))
    planes = renderer.wall(state)
    _grow(planes, polyp.dome, rng)
    _add_bubbles(planes, rng)
    near = np.clip(polyp.dome * 4, 0, ONE) * int(rng.integers(500, 900)) >> 10
    picture = renderer.finish(planes, state, near)
    cover = np.clip(polyp.dome * 8, 0, ONE) * inside
    return picture, (cover * 255 >> 10).astype(np.uint8)


def _draw_polyp(rng: np.random.Generator, height: int, width: int, inside: Array) -> Polyp:
    """An ellipse with an irregular edge, drawn anew until its visible area is as wanted."""
    while True:
        slim = int(rng.integers(620, ONE + 1))
        area = height * width * int(rng.integers(*AREA)) // ONE * 7 // 22
        across = max(8, int(np.sqrt(area * slim // ONE)))
        middle = tuple(int(rng.integers(n * 2 // 9, n * 7 // 9)) for n in (height, width))
        out = _ellipse(rng, (height, width), middle, (across * ONE // slim, across))
        rough = (fractal(rng, (height, width), 5, 3) - 512) * int(rng.integers(200, 900)) // ONE
        dome = (ONE - out + rough).astype(np.int32)
        if AREA_KEPT[0] <= float(((dome > 64) & inside).mean()) <= AREA_KEPT[1]:
            return Polyp((middle[0], middle[1]), dome)


def _ellipse(
    rng: np.random.Generator,
    shape: tuple[int, int],
    middle: tuple[int, ...],
    radii: tuple[int, int],
) -> Array:
    """Squared distance from the middle of a turned ellipse: 0 there, ONE on its edge."""
    turn = int(rng.integers(TURN))
    c, s = int(cosine(turn)), int(sine(turn))
    y = np.arange(shape[0], dtype=np.int64)[:, None] - middle[0]
    x = np.arange(shape[1], dtype=np.int64)[None] - middle[1]
    along, across = (x * c + y * s) >> 8, (y * c - x * s) >> 8
    a, b = (radius * SINE_ONE >> 8 for radius in radii)
    return along * along * ONE // (a * a) + across * across * ONE // (b * b)


def _grow(planes: Array, dome: Array, rng: np.random.Generator) -> None:
    """Blend the polyp over the wall: the wall's colour, a little changed, and its own relief."""
    share = np.clip(dome * 8, 0, ONE)
    relief = fractal(rng, dome.shape, int(rng.integers(9, 22)), 3)
    near = np.clip(dome, 0, ONE)
    height = (near * (2 * ONE - near) >> 10) + (relief * int(rng.integers(60, 300)) >> 10)
    slope = 2 * height - np.roll(height, 2, axis=0) - np.roll(height, 2, axis=1)
    light = (
        ONE + np.clip(slope * dome.shape[0] // 160, -340, 260) - (np.clip(300 - dome, 0, 300) >> 1)
    )
    ridge = np.abs(fractal(rng, dome.shape, 7, 3) - 512)
    vessels = np.clip(60 - ridge, 0, 40) * int(rng.integers(0, 3)) >> 2
    tint = rng.integers([-14, -24, -20], [14, 10, 12])
    for channel, (plane, change) in enumerate(zip(planes, tint, strict=True)):
        mean = int(plane[share > 512].mean()) + int(change)
        own = mean + (relief >> 5) - 16 - (vessels if channel else vessels >> 2)
        own = np.clip(own * light >> 10, 0, 255)
        plane[:] = plane + ((own - plane.astype(np.int32)) * share >> 10)
    shadow = np.clip(np.roll(dome, (6, 6), (0, 1)) + 250, 0, 500) * (ONE - share) >> 10
    planes *= (256 - (shadow >> 3)).astype(np.uint16)
    planes >>= 8


def _add_bubbles(planes: Array, rng: np.random.Generator) -> None:
    height, width = planes.shape[1:]
    for _ in range(int(rng.integers(0, 14))):
        radius = int(rng.integers(2, 8))
        row, col = int(rng.integers(height)), int(rng.integers(width))
        y = np.arange(max(0, row - radius), min(height, row + radius + 1))[:, None] - row
        x = np.arange(max(0, col - radius), min(width, col + radius + 1))[None] - col
        out = x * x + y * y
        ring = np.where((out <= radius * radius) & (out > (radius - 2) ** 2), 46, 0)
        glint = np.where((y + radius // 2) ** 2 + (x + radius // 2) ** 2 <= 2, 120, 0)
        box = planes[:, y[0, 0] + row : y[-1, 0] + row + 1, x[0, 0] + col : x[0, -1] + col + 1]
        box += (ring + glint).astype(np.uint16)
    np.minimum(planes, 255, out=planes)
