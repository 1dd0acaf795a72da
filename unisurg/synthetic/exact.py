"""Integer arithmetic that gives the same number on every machine.

Transcendental functions differ in the last bit between processors, so they appear here once, as
tables of rounded integers. Everything else in the theatre adds, multiplies and shifts integers and
draws them from PCG64: the pixels it renders are identical everywhere.

Units: an angle is `TURN` per full turn, a share is `ONE` = 1.0, a position is `SUB` per pixel of a
view whose short side is `VIEW` pixels, time is in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

Array = np.ndarray

TURN = 65536
ONE = 1024
SUB = 64
VIEW = 256
SINE_ONE = 16384
ARCTAN_ONE = 4096


def stream(*key: int) -> np.random.Generator:
    """The random integers that belong to a key, for instance (seed, purpose)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@cache
def _sine_table() -> Array:
    return np.round(np.sin(np.arange(4096) * (np.pi / 2048)) * SINE_ONE).astype(np.int64)


def sine(angle: Array | int) -> Array:
    """`SINE_ONE` x sin(angle), for angles in `TURN` units."""
    return _sine_table()[(np.asarray(angle) >> 4) & 4095]


def cosine(angle: Array | int) -> Array:
    """`SINE_ONE` x cos(angle), for angles in `TURN` units."""
    return sine(np.asarray(angle) + TURN // 4)


@cache
def _arctan_table() -> Array:
    """Angle whose tangent is k / `ARCTAN_ONE`, for k in 0..`ARCTAN_ONE`."""
    tangent = np.arange(ARCTAN_ONE + 1) / ARCTAN_ONE
    return np.round(np.arctan(tangent) * (TURN / (2 * np.pi))).astype(np.int64)


def angle_of(dx: int, dy: int) -> int:
    """Direction of (dx, dy) in `TURN` units, 0..TURN - 1; 0 for the null vector."""
    low, high = sorted((abs(dx), abs(dy)))
    angle = int(_arctan_table()[low * ARCTAN_ONE // high]) if high else 0
    if abs(dy) > abs(dx):
        angle = TURN // 4 - angle
    if dx < 0:
        angle = TURN // 2 - angle
    return (-angle if dy < 0 else angle) % TURN


def smooth(share: Array) -> Array:
    """Smoothstep of a share; both in 0..`ONE`."""
    return (share * share * (3 * ONE - 2 * share)) >> 20


def ramp(ms: Array, start_ms: int, length_ms: int) -> Array:
    """A smooth rise from 0 to `ONE` that begins at `start_ms`."""
    return smooth(np.clip((ms - start_ms) * ONE // length_ms, 0, ONE))


def pulses(ms: Array, intervals: Array, edge_ms: int) -> Array:
    """`ONE` inside the (K, 2) intervals, 0 outside, with smooth edges of `edge_ms`."""
    total = np.zeros_like(ms)
    for start, end in intervals:
        total = np.maximum(total, ramp(ms, start, edge_ms) - ramp(ms, end, edge_ms))
    return total


@dataclass(frozen=True)
class Track:
    """A smooth random curve over time: integer knots every `step_ms`."""

    knots: Array
    step_ms: int

    @classmethod
    def draw(cls, rng: np.random.Generator, span_ms: int, step_ms: int, reach: int) -> Track:
        """Knots uniform in -reach..reach, enough for `span_ms`."""
        return cls(rng.integers(-reach, reach + 1, span_ms // step_ms + 3), step_ms)

    def at(self, ms: Array) -> Array:
        knot = ms // self.step_ms
        share = smooth((ms - knot * self.step_ms) * ONE // self.step_ms)
        before, after = self.knots[knot], self.knots[knot + 1]
        return before + ((after - before) * share >> 10)


def value_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, *, wrap: bool
) -> Array:
    """One octave: (H, W) int32 in 0..1023, `cells` lattice cells along the shorter side.

    With `wrap` the picture continues at the opposite edge.
    """
    side = min(shape)
    counts = [max(1, n * cells // side) for n in shape]
    lattice = rng.integers(0, ONE, (counts[0] + 1, counts[1] + 1), dtype=np.int32)
    if wrap:
        lattice[-1], lattice[:, -1] = lattice[0], lattice[:, 0]
        lattice[-1, -1] = lattice[0, 0]
    (row, down), (col, right) = (
        _lattice_position(n, c) for n, c in zip(shape, counts, strict=True)
    )
    bands = lattice[row] + ((lattice[row + 1] - lattice[row]) * down[:, None] >> 10)
    left = bands.take(col, axis=1)
    return left + ((bands.take(col + 1, axis=1) - left) * right >> 10)


def _lattice_position(pixels: int, cells: int) -> tuple[Array, Array]:
    position = np.arange(pixels, dtype=np.int64) * cells * ONE // pixels
    return position >> 10, smooth(position & (ONE - 1)).astype(np.int32)


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cells: int,
    octaves: int,
    *,
    wrap: bool = False,
) -> Array:
    """Octaves of value noise, each twice as fine and half as strong: (H, W) int32 in 0..1023."""
    total = np.zeros(shape, np.int32)
    for octave in range(octaves):
        total += value_noise(rng, shape, cells << octave, wrap=wrap) >> octave
    return total * (1 << (octaves - 1)) // ((1 << octaves) - 1)
