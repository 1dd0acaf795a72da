"""Frames of many videos, by row and number: what every store offers, and a cache over any of them.

A store pickles small, without open files and decoded frames, so that it can travel to a worker.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MIB = 2**20


@dataclass(frozen=True)
class Video:
    """One row of a store's table: what sampling needs to know of a video."""

    video_id: str
    source: str
    specialty: str
    n_frames: int
    fps: float
    width_px: int
    height_px: int


class FrameStore(Protocol):
    """Random access to the frames of many videos."""

    @property
    def videos(self) -> Sequence[Video]:
        """The table: row r of `read` is `videos[r]`."""

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) that changes when a frame or the table does."""

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames `(T,)` of a video, which may repeat: uint8 RGB `(T, H, W, 3)`.

        Raises:
            IndexError: a frame outside 0 .. n_frames - 1.
            ShardError, VideoError: the video's file is missing or damaged.
        """


def check_frames(video: Video, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """`frames` as they are.

    Raises:
        IndexError: none asked for, or one that the video does not have.
    """
    if frames.size == 0 or frames.min() < 0 or frames.max() >= video.n_frames:
        raise IndexError(
            f"video {video.video_id}: frames {frames.tolist()} asked for,"
            f" it has 0..{video.n_frames - 1}"
        )
    return frames


class CachedStore:
    """A store that keeps the frames used last decoded, at most `cache_mib` of them.

    Frames and not whole videos are kept: a corpus that fits is decoded once, and of one that does
    not fit no frame is ever decoded that nobody asked for.
    """

    def __init__(self, store: FrameStore, cache_mib: float) -> None:
        self._store = store
        self._budget = cache_mib * MIB
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self.cached_bytes = 0

    @property
    def videos(self) -> Sequence[Video]:
        return self._store.videos

    @property
    def digest(self) -> str:
        return self._store.digest

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        keys = [(row, frame) for frame in frames.tolist()]
        missing = sorted({key for key in keys if key not in self._kept})
        if missing or not keys:
            self._keep(missing, self._store.read(row, np.array([f for _, f in missing], np.int64)))
        clip = np.stack([self._kept[key] for key in keys])
        for key in keys:
            self._kept.move_to_end(key)
        while self.cached_bytes > self._budget:
            _, dropped = self._kept.popitem(last=False)
            self.cached_bytes -= dropped.nbytes
        return clip

    def _keep(self, keys: list[tuple[int, int]], pictures: NDArray[np.uint8]) -> None:
        for key, picture in zip(keys, pictures, strict=True):
            self._kept[key] = picture.copy()  # a view would keep all of `pictures` alive
            self.cached_bytes += picture.nbytes

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kept": OrderedDict(), "cached_bytes": 0}
