"""Where a pixel looks: from the view's pixels to texture coordinates, light and distance.

Texture coordinates are in 1/256 texture pixel; a texture has two pixels per pixel of the view.
"""

from __future__ import annotations

import numpy as np

from unisurg.synthetic.exact import ONE, SINE_ONE, SUB, TURN, VIEW, Array, cosine, sine
from unisurg.synthetic.operation import States

FIXED = 256  # texture coordinates per texture pixel
TEXELS = 2  # texture pixels per pixel of the view
NEAR_MM, BOWL_MM = 60_00, 25_00  # x 100: the nearest ground, how much deeper its middle is


class Bowl:
    """A camera above a bowl of tissue: pan, scale and roll; the ground heaves with the breath."""

    def __init__(self, height: int, width: int, side: int) -> None:
        self.short, self.middle = min(height, width), side * FIXED // 2
        self.y = np.arange(height, dtype=np.int64)[:, None] * 2 - height + 1
        self.x = np.arange(width, dtype=np.int64)[None] * 2 - width + 1
        out = (self.x**2 + self.y**2) * ONE // self.short**2
        self.swell = np.clip(ONE - out * 3 // 4, 0, ONE).astype(np.int32)
        self.falloff = np.clip(1090 - (out * 560 >> 10), 0, ONE).astype(np.int32)
        self.ground = (NEAR_MM + np.clip(ONE - out, 0, ONE) * BOWL_MM // ONE).astype(np.int32)

    def coordinates(self, state: States) -> tuple[Array, Array]:
        """Row and column of the texture under every pixel, (H, W) int32 each."""
        scale = int(state.span) * FIXED * TEXELS // (2 * ONE)
        a = int(cosine(state.roll)) * scale // SINE_ONE
        b = int(sine(state.roll)) * scale // SINE_ONE
        pan = state.camera * self.short * FIXED * TEXELS // (VIEW * SUB)
        rows = (self.y * a + self.middle + int(pan[1])).astype(np.int32) + (self.x * b).astype(
            np.int32
        )
        cols = (self.x * a + self.middle + int(pan[0])).astype(np.int32) - (self.y * b).astype(
            np.int32
        )
        lift = int(state.breath) * 4 * self.short * FIXED * TEXELS // (VIEW * ONE)
        rows += self.swell * (lift >> 4) >> 6
        return rows, cols

    def light(self, state: States) -> Array:
        return self.falloff

    def depth(self, state: States) -> Array:
        return self.ground

    def to_pixels(self, rows: Array, cols: Array, state: States) -> tuple[Array, Array]:
        """Texture displacements as (dx, dy) in pixels x FIXED."""
        scale = int(state.span) * TEXELS
        c, s = int(cosine(state.roll)), int(sine(state.roll))
        rows, cols = rows.astype(np.int64), cols.astype(np.int64)
        dx = (cols * c + rows * s) * ONE // (SINE_ONE * scale)
        dy = (rows * c - cols * s) * ONE // (SINE_ONE * scale)
        return dx, dy


class Tunnel:
    """A camera inside a tube: it looks about, rolls, and advances along the rows."""

    REACH = 40  # how far the lumen wanders, pixels of a 256-pixel view

    def __init__(self, height: int, width: int, side: int) -> None:
        self.height, self.width, self.side = height, width, side
        self.short = min(height, width)
        self.pad = self.REACH * self.short // VIEW
        y = np.arange(height + 2 * self.pad)[:, None] * 2 - (height + 2 * self.pad) + 1
        x = np.arange(width + 2 * self.pad)[None] * 2 - (width + 2 * self.pad) + 1
        radius = np.sqrt((x * x + y * y) / float(self.short**2))
        self.scale = side / (2 * np.pi)
        rows = np.round(-np.log(np.maximum(radius, 1 / 32)) * (self.scale * FIXED))
        cols = np.round(np.arctan2(y, x) * (self.scale * FIXED))
        self.rows, self.cols = rows.astype(np.int32), cols.astype(np.int32)
        self.falloff = np.round(np.clip(radius * 1500 + 60, 0, ONE)).astype(np.int32)
        self.ground = np.round(np.clip(1200 / np.maximum(radius, 1 / 32), 0, 20000)).astype(
            np.int32
        )

    def coordinates(self, state: States) -> tuple[Array, Array]:
        crop = self._crop(state)
        advance = int(state.advance) * self.side * FIXED // (4 * ONE)
        breath = int(state.breath) * self.side * FIXED // (120 * ONE)
        roll = int(state.roll) * self.side * FIXED // TURN
        return self.rows[crop] + (advance + breath), self.cols[crop] + roll

    def light(self, state: States) -> Array:
        return self.falloff[self._crop(state)]

    def depth(self, state: States) -> Array:
        return self.ground[self._crop(state)]

    def to_pixels(self, rows: Array, cols: Array, state: States) -> tuple[Array, Array]:
        """Texture displacements as (dx, dy) in pixels x FIXED, along radius and angle."""
        around = self.side * FIXED
        rows, cols = ((d + around // 2) % around - around // 2 for d in (rows, cols))
        y, x = (index.astype(np.int64) for index in np.indices(rows.shape))
        crop = self._crop(state)
        y = 2 * (y + crop[0].start) - (self.height + 2 * self.pad) + 1
        x = 2 * (x + crop[1].start) - (self.width + 2 * self.pad) + 1
        unit = round(2 * self.scale * 1024)
        dx = (-rows * x - cols * y) * 1024 // unit
        dy = (-rows * y + cols * x) * 1024 // unit
        return dx, dy

    def _crop(self, state: States) -> tuple[slice, slice]:
        """The canvas moved so that the lumen lies where the camera does not look."""
        limit = self.pad
        dx, dy = (int(np.clip(c * self.short // (VIEW * SUB), -limit, limit)) for c in state.camera)
        top, left = self.pad + dy, self.pad + dx
        return slice(top, top + self.height), slice(left, left + self.width)


PROJECTIONS: dict[str, type[Bowl] | type[Tunnel]] = {"bowl": Bowl, "tunnel": Tunnel}
