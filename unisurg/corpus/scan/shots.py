"""Hard cuts, looked for on every frame: at one frame a second all frames differ like cuts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv

WIDTH, HEIGHT = 192, 108
"""Frames are compared at this size, whatever their proportions."""
WINDOW = 2
"""Frames on either side against whose changes a change is measured."""


@dataclass(frozen=True)
class Shot:
    """From `start_s` to before `end_s`, seconds since the first frame of the recording.

    `score` is the mean difference of colour across the cut that begins it, 0..255; NaN for the
    first.
    """

    start_s: float
    end_s: float
    score: float


class Cuts:
    """Finds cuts while frames pass by, with PySceneDetect's AdaptiveDetector.

    A cut is a frame whose difference from its predecessor is `content` grey levels or more (mean of
    hue, saturation and value) and `ratio` times the mean of its neighbours' or more, at least
    `shortest_s` behind the cut before it.
    """

    def __init__(self, fps: Fraction, ratio: float, content: float, shortest_s: float) -> None:
        from av.video.reformatter import VideoReformatter
        from scenedetect.detectors import AdaptiveDetector

        self._fps = fps
        self._detector = AdaptiveDetector(
            adaptive_threshold=ratio,
            min_content_val=content,
            min_scene_len=float(shortest_s),
            window_width=WINDOW,
        )
        # One for all frames: making its tables costs more than using them.
        self._reformatter = VideoReformatter()
        self._recent: deque[tuple[float, NDArray[np.uint8]]] = deque(maxlen=WINDOW + 2)
        self._found: list[tuple[float, float]] = []

    def see(self, time: Fraction, frame: Any) -> None:
        """Take the next frame, shown `time` seconds after the first."""
        from scenedetect.common import FrameTimecode

        small: Any = self._reformatter.reformat(
            frame, WIDTH, HEIGHT, "bgr24", interpolation="AREA", threads=1
        ).to_ndarray()
        self._recent.append((float(time), small))
        cuts = self._detector.process_frame(FrameTimecode(float(time), self._fps), small)
        self._found += [(cut.seconds, self._score(cut.seconds)) for cut in cuts]

    def _score(self, cut_s: float) -> float:
        times = [time for time, _ in self._recent]
        place = max(1, times.index(cut_s))  # of frames with one stamp, not the first
        return float(opencv().absdiff(self._recent[place - 1][1], self._recent[place][1]).mean())

    def shots(self, end_s: float) -> list[Shot]:
        """The shots between the cuts; the first begins at 0, the last ends at `end_s`."""
        starts = [(0.0, float("nan")), *self._found]
        ends = [start for start, _ in self._found] + [end_s]
        return [Shot(start, end, score) for (start, score), end in zip(starts, ends, strict=True)]
