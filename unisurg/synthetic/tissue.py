"""Tissue: textures of a world, larger than the view, painted once per recording.

A texture holds two pixels per pixel of the view, so that moving by half a pixel is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unisurg.synthetic.exact import ONE, SINE_ONE, TURN, Array, cosine, fractal, sine, stream
from unisurg.synthetic.worlds import Colour, World

GROUND, BACK, ORGAN, FAT = range(4)
MARGIN = 13  # quarters of the view's longer side
PAINT = 100


@dataclass(frozen=True)
class Tissue:
    """Textures (S, S) that share one coordinate system."""

    paint: Array  # uint32: bytes red, green, blue, film height
    wet: Array  # uint32: the same under the film of fluid
    region: Array  # uint8: GROUND, BACK, ORGAN or FAT
    lesion: Array  # uint8: 1 on a lesion
    relief: Array  # uint16: height above the ground, mm x 100

    @property
    def side(self) -> int:
        return len(self.paint)


def paint_tissue(world: World, key: tuple[int, int], short: int, long: int) -> Tissue:
    """The textures of one recording whose view is `short` x `long` pixels."""
    wrap = world.projection == "tunnel"
    side = 1 << (5 * short // 2 - 1).bit_length() if wrap else MARGIN * long // 4
    rng = stream(*key, PAINT)
    canvas = _Canvas(world, rng, side, wrap)
    canvas.ground()
    canvas.tunnel_folds() if wrap else canvas.back_and_organ()
    canvas.fat()
    canvas.vessels()
    canvas.lesions()
    canvas.shade()
    return canvas.finish()


class _Canvas:
    """Layers painted one over another; every method adds one."""

    def __init__(self, world: World, rng: np.random.Generator, side: int, wrap: bool) -> None:
        self.world, self.rng, self.side, self.wrap = world, rng, side, wrap
        self.rgb = np.zeros((3, side, side), np.int32)
        self.height = np.zeros((side, side), np.int32)
        self.region = np.full((side, side), GROUND, np.uint8)
        self.lesion = np.zeros((side, side), np.uint8)

    def noise(self, cells: int, octaves: int) -> Array:
        shape = (self.side, self.side)
        return fractal(self.rng, shape, cells, octaves, wrap=self.wrap)

    def blend(self, colour: Sequence[Any], share: Array) -> None:
        for plane, value in zip(self.rgb, colour, strict=True):
            plane += (value - plane) * share >> 10

    def ground(self) -> None:
        relief = self.noise(4, 5)
        self.height += relief << 2
        ramp = gradient(self.world.tissue)
        for plane, values in zip(self.rgb, ramp.T, strict=True):
            plane[:] = values[np.clip(relief * 3 // 2 - 256, 0, ONE - 1)]

    def back_and_organ(self) -> None:
        edge = self.noise(5, 3)
        rows = np.arange(self.side, dtype=np.int32)[:, None] * ONE // self.side
        back = np.clip((360 + int(self.rng.integers(-40, 41)) - rows + (edge >> 3)) * 24, 0, ONE)
        lobes = self.noise(24, 3)
        self.blend(_tinted(self.world.back, lobes), back)
        self.height += back
        self.region[back > 512] = BACK
        inside = self.ellipse(edge)
        share = np.clip(inside * 6, 0, ONE)
        self.blend(_tinted(self.world.organ, self.noise(12, 4)), share)
        self.height += _dome(inside) * 4
        self.region[share > 512] = ORGAN

    def ellipse(self, edge: Array) -> Array:
        """ONE at an organ's middle, 0 on its noisy edge, negative outside."""
        turn = int(self.rng.integers(TURN))
        middle = self.side // 2 + self.rng.integers(-self.side // 12, self.side // 12 + 1, 2)
        y, x = (np.arange(self.side, dtype=np.int64) - m for m in middle)
        c, s = int(cosine(turn)), int(sine(turn))
        along = (x[None] * c + y[:, None] * s) >> 8
        across = (y[:, None] * c - x[None] * s) >> 8
        a, b = (side * SINE_ONE >> 8 for side in (self.side * 5 // 24, self.side * 3 // 24))
        out = along * along * ONE // (a * a) + across * across * ONE // (b * b)
        return (ONE - out + (edge - 512) * 3 // 4).astype(np.int32)

    def tunnel_folds(self) -> None:
        """Ring-shaped folds along the rows of a tunnel."""
        rows = np.arange(self.side, dtype=np.int64)[:, None] * TURN // self.side
        bend = self.noise(3, 2).astype(np.int64) * 24
        wave = sine((rows * 5 + bend) % TURN) * ONE // SINE_ONE
        fold = np.clip((wave - 300) * 3 // 2, 0, ONE).astype(np.int32)
        self.height += _dome(fold) * 2
        self.blend(self.world.back, fold >> 1)
        self.region[fold > 360] = BACK

    def fat(self) -> None:
        where = self.noise(5, 4)
        level = int(
            np.sort(where[::8, ::8], axis=None)[
                -1 - where[::8, ::8].size * self.world.fat_share // ONE
            ]
        )
        share = np.clip((where - level) * 14, 0, ONE)
        share[self.region == ORGAN] >>= 2
        lobules = np.abs(self.noise(22, 2) - 512)
        self.blend(_tinted(self.world.fat, 380 + lobules), share * 15 >> 4)
        self.height += (share * (640 + lobules * 2)) >> 10
        self.region[share > 512] = FAT

    def vessels(self) -> None:
        for cells, width, strength in ((4, 20, 800), (9, 22, 520)):
            ridge = np.abs(self.noise(cells, 3) - 512)
            here = np.clip((self.noise(5, 2) - 420) * 5, 0, ONE)
            share = np.clip((width - ridge) * 80, 0, ONE) * here >> 10
            self.blend(self.world.vessel, share * strength >> 10)
            self.height += share * 96 >> 10

    def lesions(self) -> None:
        for _ in range(self.world.lesions):
            size = int(self.rng.integers(self.side // 24, self.side // 12))
            row, col = self.rng.integers(0, self.side, 2)
            y, x = (
                (np.arange(self.side) - m + self.side // 2) % self.side - self.side // 2
                for m in (row, col)
            )
            out = (y[:, None] ** 2 + x[None] ** 2) * ONE // (size * size)
            inside = (ONE - out + (self.noise(16, 2) - 512) // 3).astype(np.int32)
            share = np.clip(inside * 5, 0, ONE)
            self.blend(_tinted(self.world.organ, self.noise(30, 3)), share * 3 >> 2)
            self.height += _dome(inside) * 3
            self.lesion[share > 512] = 1
            self.region[share > 512] = ORGAN

    def shade(self) -> None:
        """Light from above left on the relief."""
        down = self.height - np.roll(self.height, 2, axis=0)
        right = self.height - np.roll(self.height, 2, axis=1)
        light = ONE + np.clip((down + right) * self.side * 3 // 1664, -420, 300)
        self.rgb = np.clip(self.rgb * light[None] >> 10, 0, 255)

    def finish(self) -> Tissue:
        film = self.film_height()
        wet = self.rgb.copy()
        shine = np.clip((self.noise(10, 3) - 640) * 3, 0, 380)
        for plane, value in zip(wet, self.world.film, strict=True):
            plane += (value - plane) * 3 >> 2
            plane += (225 - plane) * shine >> 10
        return Tissue(
            paint=_pack(self.rgb, film),
            wet=_pack(wet, film),
            region=self.region,
            lesion=self.lesion,
            relief=np.clip(self.height >> 2, 0, 3000).astype(np.uint16),
        )

    def film_height(self) -> Array:
        """0..255: fluid spreads from a source to ever higher places."""
        middle = self.side // 2 + self.rng.integers(-self.side // 10, self.side // 10 + 1, 2)
        y, x = (np.abs(np.arange(self.side) - m) for m in middle)
        far = (x[None] + y[:, None]) * 500 // self.side
        return np.clip(far + (self.noise(6, 4) >> 2) + (self.height >> 8) - 60, 0, 255)


def gradient(stops: tuple[Colour, ...]) -> Array:
    """(ONE, 3) colours that run through the stops."""
    position = np.arange(ONE) * (len(stops) - 1)
    index = position // ONE
    share = (position % ONE)[:, None]
    table = np.array((*stops, stops[-1]), np.int32)
    return (table[index] + ((table[index + 1] - table[index]) * share >> 10)).astype(np.int32)


def _dome(inside: Array) -> Array:
    """A rounded rise from 0 on the edge (0) to ONE in the middle (ONE)."""
    near = np.clip(inside, 0, ONE)
    return near * (2 * ONE - near) >> 10


def _tinted(colour: Colour, noise: Array) -> list[Array]:
    """A colour made lighter and darker by noise in 0..1023."""
    return [value * (704 + (noise * 5 >> 3)) >> 10 for value in colour]


def _pack(rgb: Array, alpha: Array) -> Array:
    planes = np.concatenate([rgb, alpha[None]]).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<u4")[..., 0]
