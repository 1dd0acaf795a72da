"""Which frames make a clip: index arithmetic only.

A recording holds frame i at second i / `rate`. A window asks for frames 1 / `fps` apart in time,
whatever the rate: of a recording slower than that, frames are repeated. At a time between two
frames the earlier one is seen, so nothing comes from the future.
"""

from __future__ import annotations

import numpy as np

# Times are products and quotients of decimal rates; a frame that is due is not missed by rounding.
TOLERANCE = 1e-6


def random_window(n_frames: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """`frames` consecutive frames of a recording, every start as likely as any other.

    A recording shorter than the window is taken whole and its last frame repeated.

    Args:
        n_frames: length of the recording, at least 1.
        frames: length of the window, at least 1.

    Returns:
        int64 (frames,), ascending, in 0 .. n_frames - 1.
    """
    _check(n_frames, frames)
    start = rng.integers(0, max(n_frames - frames, 0), endpoint=True)
    return np.minimum(np.arange(start, start + frames), n_frames - 1)


def causal_windows(
    moments: np.ndarray, frames: int, fps: float, rate: float, n_frames: int
) -> np.ndarray:
    """What was seen by each moment: the frames at t, t - 1 / fps, ..., `frames` of them.

    Before the start the first frame is repeated. A moment past the end is that of the last frame.

    Args:
        moments: (S,) seconds, at least 0.

    Returns:
        int64 (S, frames), each row ascending, none after its moment.
    """
    return _windows(moments, np.arange(1 - frames, 1), fps, rate, n_frames)


def centred_windows(
    moments: np.ndarray, frames: int, fps: float, rate: float, n_frames: int
) -> np.ndarray:
    """What surrounds each moment: offline, since half of the frames come after it.

    `(frames - 1) // 2` frames lie before the one at the moment and `frames // 2` after it, 1 / fps
    apart. The first and the last frame of the recording are repeated beyond its ends.

    Returns:
        int64 (S, frames), each row ascending.
    """
    offsets = np.arange(frames) - (frames - 1) // 2
    return _windows(moments, offsets, fps, rate, n_frames)


def spread_window(first: int, count: int, frames: int) -> np.ndarray:
    """`frames` frames spread evenly over the `count` frames from `first`.

    Each is the middle one of an equal share of the stretch. Fewer frames than wanted are repeated,
    each equally often to within one.

    Returns:
        int64 (frames,), ascending, in first .. first + count - 1.
    """
    _check(count, frames)
    return first + (2 * np.arange(frames) + 1) * count // (2 * frames)


def frames_at(times: np.ndarray, rate: float, n_frames: int) -> np.ndarray:
    """The frame that is seen at each time (seconds), int64 in 0 .. n_frames - 1."""
    seen = np.floor(times * rate + TOLERANCE).astype(np.int64)
    return np.clip(seen, 0, n_frames - 1)


def _windows(
    moments: np.ndarray, offsets: np.ndarray, fps: float, rate: float, n_frames: int
) -> np.ndarray:
    _check(n_frames, len(offsets))
    if moments.size and moments.min() < 0:
        raise ValueError(f"second {moments.min():g} lies before the recording")
    seen = np.minimum(moments, (n_frames - 1) / rate)
    return frames_at(seen[:, None] + offsets / fps, rate, n_frames)


def _check(n_frames: int, frames: int) -> None:
    if n_frames < 1 or frames < 1:
        raise ValueError(f"a window of {frames} frames from {n_frames} frames")
