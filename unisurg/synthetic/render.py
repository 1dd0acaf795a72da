"""The renderer: one state in, one picture and its exact labels out.

Order of layers: tissue, fluid film, highlights, shadows, instruments, smoke, light and the round
field. All of it is integer arithmetic (see `exact`), so a picture is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unisurg.synthetic.exact import ONE, SUB, VIEW, Array, fractal, stream
from unisurg.synthetic.instruments import (
    LIFT_MM,
    PORT_MM,
    Part,
    Patch,
    cover,
    metal,
    parts_of,
)
from unisurg.synthetic.operation import Operation, States
from unisurg.synthetic.tissue import paint_tissue
from unisurg.synthetic.view import FIXED, PROJECTIONS

CLEARANCE = 10  # mm x 100 between an instrument and the tissue that it just touches

OVERLAYS = 101
PULL_PX = 9  # how far a grasp draws the tissue
PULL_REACH_PX = 52


@dataclass(frozen=True)
class Frame:
    """A picture and what is exactly true of it."""

    rgb: Array  # (H, W, 3) uint8
    state: States
    instruments: Array  # (H, W) uint8: 0 none, 1 left, 2 right instrument; 0 outside the field
    lesion: Array  # (H, W) bool, visible lesion
    depth: Array  # (H, W) uint16, distance from the camera, mm x 100; 0 outside the field
    motion: Array  # (H, W, 2) int16, (dx, dy) since the previous state, pixels x 256


@dataclass(frozen=True)
class Bar:
    """A part of the instrument in one hand, and what it covers."""

    hand: int
    part: Part
    patch: Patch


class Renderer:
    """Draws the states of one operation as pictures of `height` x `width` pixels."""

    def __init__(self, operation: Operation, height: int, width: int) -> None:
        self.world, self.height, self.width = operation.world, height, width
        self.short = min(height, width)
        self.tissue = paint_tissue(self.world, operation.key, self.short, max(height, width))
        self.view = PROJECTIONS[self.world.projection](height, width, self.tissue.side)
        self.field = _round_field(height, width, self.world.field)
        self._draw_overlays(stream(*operation.key, OVERLAYS))
        self.dent = _dent(self._px(PULL_REACH_PX))

    def rgb(self, state: States) -> Array:
        """The picture alone, (H, W, 3) uint8."""
        return self._compose(state, self._texels(*self._looks_at(state)), self._bars(state))

    def frame(self, state: States, previous: States) -> Frame:
        """The picture with its labels; motion is what happened since `previous`."""
        rows, cols = self._looks_at(state)
        texels, bars = self._texels(rows, cols), self._bars(state)
        depth = self.view.depth(state) - self.tissue.relief.take(texels)
        instruments = self._draw_labels(state, bars, depth)
        lesion = self.tissue.lesion.take(texels).astype(bool)
        seen = self.field > 0
        return Frame(
            rgb=self._compose(state, texels, bars),
            state=state,
            instruments=instruments * seen,
            lesion=lesion & (instruments == 0) & seen,
            depth=np.clip(depth * seen, 0, 65535).astype(np.uint16),
            motion=self._motion(state, previous, (rows, cols), instruments) * seen[..., None],
        )

    def region_at(self, state: States, hand: int) -> int:
        """Region of tissue (an index of `World.targets`) under an instrument's tip."""
        at = self._tip_pixel(state, hand)
        rows, cols = self._looks_at(state)
        return int(self.tissue.region.take(self._texels(rows[at], cols[at])))

    # -- geometry ---------------------------------------------------------------------------

    def _px(self, pixels: int) -> int:
        return max(1, pixels * self.short // VIEW)

    def _tip_pixel(self, state: States, hand: int) -> tuple[int, int]:
        """Row and column of the tip, or of the nearest pixel to it in the picture."""
        x, y = (int(v) * self.short // (VIEW * SUB) for v in state.tip[hand])
        row, col = self.height // 2 + y, self.width // 2 + x
        return min(max(row, 0), self.height - 1), min(max(col, 0), self.width - 1)

    def _looks_at(self, state: States) -> tuple[Array, Array]:
        """Texture coordinates under every pixel, with the dents that grasping makes."""
        rows, cols = self.view.coordinates(state)
        for hand in self._hands():
            if state.grip[hand] > 0:
                self._pull(rows, cols, state, hand)
        return rows, cols

    def _pull(self, rows: Array, cols: Array, state: States, hand: int) -> None:
        """Tissue about a closed tip is drawn towards the instrument's port."""
        x, y = (int(v) for v in state.tip[hand] * self.short // (VIEW * SUB))
        box, stamp = _overlap(self.dent, y + self.height // 2, x + self.width // 2, rows.shape)
        toward = state.port[hand] - state.tip[hand]
        most = max(1, int(np.abs(toward).max()))
        pull = toward * int(state.grip[hand]) * self._px(PULL_PX) * FIXED * 2 // (most * ONE)
        rows[box] -= stamp * int(pull[1]) >> 10
        cols[box] -= stamp * int(pull[0]) >> 10

    def _texels(self, rows: Array, cols: Array) -> Array:
        side = self.tissue.side
        if self.world.projection == "tunnel":
            return (rows // FIXED & side - 1) * side + (cols // FIXED & side - 1)
        rows, cols = np.clip(rows >> 8, 0, side - 1), np.clip(cols >> 8, 0, side - 1)
        return rows * side + cols

    def _hands(self) -> range:
        return range(2 - self.world.hands, 2)

    def _bars(self, state: States) -> list[Bar]:
        """The visible parts of the instruments that are in the picture, the deepest first."""
        bars = []
        for hand in self._hands():
            if state.inserted[hand] == 0:
                continue
            kind = self.world.instruments[state.kind[hand]]
            for part in parts_of(state, hand, kind, self.height, self.width):
                patch = cover(part, self.height, self.width)
                if patch is not None:
                    bars.append(Bar(hand, part, patch))
        return bars

    # -- colour -----------------------------------------------------------------------------

    def _draw_overlays(self, rng: np.random.Generator) -> None:
        pad = self.pad = self._px(24)
        canvas = (self.height + 2 * pad, self.width + 2 * pad)
        sparkle = fractal(rng, canvas, 34, 2) - 870 + (fractal(rng, canvas, 5, 2) - 512 >> 1)
        self.sparkle = np.clip(sparkle * 2, 0, 200).astype(np.uint16)
        cloud = fractal(rng, (self.height, 2 * self.width), 3, 4, wrap=True)
        self.cloud = np.clip(cloud - 200, 0, ONE).astype(np.uint16)
        self.wind = int(rng.integers(10, 30))

    def _compose(self, state: States, texels: Array, bars: list[Bar]) -> Array:
        planes = self._tissue_planes(state, texels)
        self._add_highlights(planes, state)
        for bar in bars:
            self._shadow(planes, bar.part)
        for bar in bars:
            self._draw(planes, bar)
        if state.smoke > 0:
            self._smoke(planes, state)
        return self._lit(planes, state)

    def wall(self, state: States) -> Array:
        """The bare tissue and its fluid, unlit: (3, H, W) uint16 in 0..255."""
        return self._tissue_planes(state, self._texels(*self.view.coordinates(state)))

    def finish(self, planes: Array, state: States, near: Array) -> Array:
        """Highlights, light and round field over `planes`: (H, W, 3) uint8.

        `near`, (H, W) in 0..ONE, is how much closer to the light than the wall a pixel is.
        """
        self._add_highlights(planes, state)
        return self._lit(planes, state, near)

    def _tissue_planes(self, state: States, texels: Array) -> Array:
        packed = self.tissue.paint.take(texels)
        if state.fluid > 0:
            film = packed >> 24
            under = film < (int(state.fluid) >> 2)
            np.copyto(packed, self.tissue.wet.take(texels), where=under)
        planes = np.empty((3, self.height, self.width), np.uint16)
        for plane, shift in zip(planes, (0, 8, 16), strict=True):
            plane[:] = packed >> shift & 255
        return planes

    def _add_highlights(self, planes: Array, state: States) -> None:
        dx, dy = (int(v) // 2 * self.short // (VIEW * SUB) for v in state.camera)
        dy += int(state.breath) * self._px(3) >> 10
        top = int(np.clip(self.pad + dy, 0, 2 * self.pad))
        left = int(np.clip(self.pad + dx, 0, 2 * self.pad))
        crop = self.sparkle[top : top + self.height, left : left + self.width]
        planes += crop * np.uint16(int(state.gloss) >> 4) >> 6
        np.minimum(planes, 255, out=planes)

    def _shadow(self, planes: Array, part: Part) -> None:
        soft = 64
        patch = cover(part, self.height, self.width, shift=self._px(7), soft=soft)
        if patch is not None:
            keep = (256 - (patch.cover * 3 >> 3)).astype(np.uint16)
            target = planes[(slice(None), *patch.box)]
            target *= keep
            target >>= 8

    def _draw(self, planes: Array, bar: Bar) -> None:
        share = bar.patch.cover.astype(np.uint16)
        for plane, colours in zip(planes, metal(bar.part.colour), strict=True):
            target = plane[bar.patch.box]
            target *= 256 - share
            target += colours.take(bar.patch.shade) * share
            target >>= 8

    def _smoke(self, planes: Array, state: States) -> None:
        shift = int(state.ms) * self.wind * self.width // (VIEW * 1000) % self.width
        cloud = self.cloud[:, shift : shift + self.width]
        share = cloud * np.uint16(int(state.smoke) >> 4) >> 8
        planes *= 256 - share
        planes += share * np.uint16(196)
        planes >>= 8

    def _lit(self, planes: Array, state: States, near: Array | None = None) -> Array:
        light = self.view.light(state)
        if near is not None:
            light = light + ((ONE - light) * near >> 10)
        light = light * self.field >> 10
        light = (light * int(state.level) >> 12).astype(np.uint16)
        planes *= light
        picture = np.empty((self.height, self.width, 3), np.uint8)
        for channel, plane in enumerate(planes):
            picture[..., channel] = plane >> 8
        return picture

    # -- labels -----------------------------------------------------------------------------

    def _draw_labels(self, state: States, bars: list[Bar], depth: Array) -> Array:
        """Instrument ids; `depth` is changed in place where an instrument covers the tissue."""
        ids = np.zeros((self.height, self.width), np.uint8)
        tips = [int(depth[self._tip_pixel(state, hand)]) - LIFT_MM for hand in range(2)]
        for bar in bars:
            covered = bar.patch.cover > 128
            ids[bar.patch.box][covered] = bar.hand + 1
            end = tips[bar.hand]
            start = PORT_MM if bar.part.is_shaft else end
            along = np.clip(bar.patch.along, 0, bar.part.length)
            lies = start + (end - start) * along // bar.part.length
            behind = depth[bar.patch.box]
            # What hides the tissue lies in front of it, however high the tissue rises there.
            behind[covered] = np.minimum(lies[covered], behind[covered] - CLEARANCE)
        return ids

    def _motion(
        self, state: States, previous: States, here: tuple[Array, Array], instruments: Array
    ) -> Array:
        """What the tissue, or the instrument, under each pixel moved by since `previous`."""
        rows, cols = self._looks_at(previous)
        dx, dy = self.view.to_pixels(rows - here[0], cols - here[1], state)
        motion = np.stack([dx, dy], axis=-1).astype(np.int16)
        for hand in self._hands():
            moved = (state.tip[hand] - previous.tip[hand]) * self.short * FIXED // (VIEW * SUB)
            motion[instruments == hand + 1] = np.clip(moved, -32768, 32767)
        return motion


def _round_field(height: int, width: int, radius: int) -> Array:
    """(H, W) int32: ONE inside the endoscope's round field, 0 outside, a soft edge between."""
    y = np.arange(height, dtype=np.int64)[:, None] * 2 - height + 1
    x = np.arange(width, dtype=np.int64)[None] * 2 - width + 1
    out = (x * x + y * y) * ONE // min(height, width) ** 2
    return np.clip((radius * radius // ONE - out) * 32, 0, ONE).astype(np.int32)


def _dent(reach: int) -> Array:
    """(2 reach + 1) squared, int32: how much of a pull tissue follows, ONE at the tip."""
    y = np.arange(-reach, reach + 1, dtype=np.int64)
    near = np.clip(ONE - (y[:, None] ** 2 + y[None] ** 2) * ONE // (reach * reach), 0, ONE)
    return (near * near >> 10).astype(np.int32)


def _overlap(
    stamp: Array, row: int, col: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], Array]:
    """The part of a picture that a stamp centred at (row, col) covers, and that part of it."""
    reach = len(stamp) // 2
    inside, source = [], []
    for middle, size in zip((row, col), shape, strict=True):
        low = min(max(middle - reach, 0), size)
        high = max(min(middle + reach + 1, size), low)
        inside.append(slice(low, high))
        source.append(slice(low - middle + reach, high - middle + reach))
    return (inside[0], inside[1]), stamp[source[0], source[1]]
