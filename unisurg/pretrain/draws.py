"""Where random numbers come from: a generator for each seed, purpose and position.

Nothing depends on what was drawn before: two purposes never share a stream, and a resumed run
needs no generator state.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The generator of a purpose ("crop", "masks", ...) at a position (step, sample, ...)."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), *position))
