"""Which frames make a clip: index arithmetic only."""

from __future__ import annotations

import numpy as np


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


def causal_window(second: float, frames: int, fps: float, n_frames: int) -> np.ndarray:
    """The `frames` last frames that were seen at `second`, of a recording at `fps`.

    The last one is the frame at `second`; before the start the first frame is repeated.

    Returns:
        int64 (frames,), ascending, in 0 .. n_frames - 1.

    Raises:
        ValueError: `second` lies outside the recording.
    """
    _check(n_frames, frames)
    last = round(second * fps)
    if not 0 <= last < n_frames:
        raise ValueError(
            f"second {second:g} is frame {last} at {fps:g} fps, the recording has {n_frames} frames"
        )
    return np.maximum(np.arange(last - frames + 1, last + 1), 0)


def _check(n_frames: int, frames: int) -> None:
    if n_frames < 1 or frames < 1:
        raise ValueError(f"a window of {frames} frames from {n_frames} frames")
