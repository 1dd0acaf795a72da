"""A store over normalised clips: one mp4 file per video, opened for every read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unisurg.video.decode import open_clip
from unisurg.video.store import Video, check_frames


class ClipStore:
    """`FrameStore` over the files of a curated corpus; `clips[r]` is the file of `videos[r]`."""

    def __init__(self, videos: Sequence[Video], clips: Sequence[Path], digest: str) -> None:
        self.videos = videos
        self.digest = digest
        self._clips = clips

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        wanted = check_frames(self.videos[row], frames)
        with open_clip(self._clips[row]) as reader:
            return reader.read(wanted)
