"""Which frames are encoded, and which of the tokens make a clip: the two protocols as arithmetic.

- dense: a window of frames per clip. Exact.
- fast: a whole video in half-overlapping windows, and of every window the tokens of its last half.
  The first window ends half a window after the start and repeats the first frame before it, as a
  dense one does, so every token has at least half a window of past. A token knows of the frames up
  to the end of its window, at most half a window less one frame after its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unisurg.benchmarks.base import BenchmarkError
from unisurg.evaluation.extraction.cases import Clip, Picture, Source, Video
from unisurg.evaluation.extraction.sequences import DepthSequence
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Protocol, WindowKind
from unisurg.video.sampling import TOLERANCE, causal_windows, centred_windows, spread_window

_WINDOWS = {"causal": causal_windows, "centred": centred_windows}


def clip_windows(
    source: Source, wanted: Wanted, window: WindowKind, rate: float, n_frames: int
) -> np.ndarray:
    """Frames (S, T) of each clip of a source, which has `n_frames` frames, `rate` a second.

    Raises:
        BenchmarkError: a clip starts after the end of its file, or a sequence with depth is to be
            seen in centred windows.
    """
    if isinstance(source, Video):
        make = _WINDOWS[window]
        return make(source.moments, wanted.frames, wanted.fps, rate, n_frames)
    if isinstance(source, Picture):
        return np.zeros((1, wanted.frames), np.int64)
    if isinstance(source, DepthSequence):  # neighbours, at whatever rate they were filmed
        _check_depth(source, window)
        return causal_windows(source.places.astype(float), wanted.frames, 1.0, 1.0, n_frames)
    first, count = _stretch(source, rate, n_frames)
    return spread_window(first, count, wanted.frames)[None]


def _check_depth(source: DepthSequence, window: WindowKind) -> None:
    # A decoder of depth takes a clip's last time step, where a causal window has the frame.
    if window != "causal":
        raise BenchmarkError(
            source.frames[0].parent,
            f"its depth cannot be told from windows that are {window}: their last time step lies"
            " after the frame",
            "set features.window: causal, or take benchmarks of depth out of params.yaml",
        )


def _stretch(clip: Clip, rate: float, n_frames: int) -> tuple[int, int]:
    """First frame and number of frames with start_s <= time < end_s; at least one."""
    start_s = clip.start_s or 0.0
    first = math.ceil(start_s * rate - TOLERANCE)
    end = n_frames if clip.end_s is None else math.ceil(clip.end_s * rate - TOLERANCE)
    if first >= n_frames and start_s >= n_frames / rate:
        raise BenchmarkError(
            clip.video,
            f"lasts {n_frames / rate:.1f} s, but a clip of it starts at {start_s:g} s",
            "the table is of another video, or the video is cut: restore the pair",
        )
    if first >= min(end, n_frames):  # shorter than the time between two frames: the one before
        return min(math.floor(start_s * rate + TOLERANCE), n_frames - 1), 1
    return first, min(end, n_frames) - first


@dataclass(frozen=True)
class Overlapping:
    """Half-overlapping windows over a whole video.

    `windows` (W, T) names the frames of each. `fresh` (W,) says how many frames at the end of each
    are in no window before it: their tokens are kept, of `n_frames` frames over all, 1 / `fps`
    apart. `last_s` is the time of the video's last frame.
    """

    windows: np.ndarray
    fresh: np.ndarray
    n_frames: int
    fps: float
    last_s: float

    def steps(self, moments: np.ndarray, frames: int, tubelet: int, kind: WindowKind) -> np.ndarray:
        """Time steps (S, frames // tubelet) of the video that make the clip of each moment.

        The newest one of a causal clip holds the frame at the moment.
        """
        seen = np.minimum(moments, self.last_s)
        here = np.floor(seen * self.fps + TOLERANCE).astype(np.int64) // tubelet
        count = frames // tubelet
        offsets = np.arange(1 - count, 1) + (count // 2 if kind == "centred" else 0)
        return np.clip(here[:, None] + offsets, 0, self.n_frames // tubelet - 1)


def overlapping_windows(
    frames: int, fps: float, rate: float, length: int, multiple: int
) -> Overlapping:
    """Half-overlapping windows over a video of `length` frames, `rate` a second.

    Args:
        frames: T of a window, 1 / `fps` apart in time.
        multiple: frames of a tubelet, which divides T; the last tubelet of a video is filled up
            with its last frame.
    """
    last_s = (length - 1) / rate
    count = math.floor(last_s * fps + TOLERANCE) + 1
    total = -(-count // multiple) * multiple
    step = hop(frames, multiple)
    ends = np.minimum(step * np.arange(1, -(-total // step) + 1), total)
    places = np.clip(ends[:, None] + np.arange(-frames, 0), 0, count - 1)
    windows = causal_windows(places.reshape(-1) / fps, 1, fps, rate, length)
    return Overlapping(windows.reshape(places.shape), np.diff(ends, prepend=0), total, fps, last_s)


def hop(frames: int, multiple: int) -> int:
    """Frames from one half-overlapping window to the next: half a window in whole tubelets."""
    return max(frames // multiple // 2, 1) * multiple


def lookahead_s(
    protocol: Protocol, kind: WindowKind, frames: int, fps: float, tubelets: Iterable[int]
) -> float:
    """Seconds after the labelled moment that a clip of a video may know of: the exact bound.

    Args:
        tubelets: frames of a token of each encoder that sees whole windows.
    """
    lengths = sorted(set(tubelets))
    if protocol == "dense" or not lengths:
        return frames // 2 / fps if kind == "centred" else 0.0
    after = (frames // length // 2 * length for length in lengths)
    step = hop(frames, math.lcm(*lengths))
    return ((max(after) if kind == "centred" else 0) + step - 1) / fps
