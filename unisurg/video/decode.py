"""Frames of a normalised clip, by number.

Only files written by `unisurg.corpus.normalise` are read here: on ordinary recordings decord hangs
or returns other frames than asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np


class VideoError(RuntimeError):
    """A clip cannot be read; the message names the file and the remedy."""


class Reader(Protocol):
    """Random access to the frames of one clip. Holds memory and a file until it is closed."""

    @property
    def fps(self) -> float: ...

    def __len__(self) -> int:
        """Number of frames."""

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Frames at `indices` (T), which may repeat and come in any order.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            IndexError: an index outside 0 .. len - 1.
            VideoError: the clip is damaged or closed.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Reader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_clip(path: str | Path) -> Reader:
    """Open a normalised clip.

    Raises:
        VideoError: no such file, or not a readable clip.
    """
    return DecordReader(Path(path))


class DecordReader:
    """`Reader` on decord, with one decoding thread: clips are small and loaders run in parallel."""

    def __init__(self, path: Path) -> None:
        import decord

        if not path.is_file():
            raise VideoError(f"{path}: no such clip; run `unisurg curate` to write it")
        decord.logging.set_level(decord.logging.QUIET)
        self._path = path
        try:
            self._video = decord.VideoReader(str(path), num_threads=1)
            self._fps = float(self._video.get_avg_fps())
        except (decord.DECORDError, RuntimeError) as error:
            raise self._failure(error) from None
        self._length = len(self._video)

    @property
    def fps(self) -> float:
        return self._fps

    def __len__(self) -> int:
        return self._length

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        import decord

        if self._video is None:
            raise VideoError(f"{self._path}: read after close")
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size == 0:
            raise IndexError(f"{self._path}: no index asked for")
        if wanted.min() < 0 or wanted.max() >= self._length:
            raise IndexError(
                f"{self._path}: frames {wanted.min()}..{wanted.max()} asked for, "
                f"the clip has 0..{self._length - 1}"
            )
        try:
            frames: np.ndarray = self._video.get_batch(wanted.tolist()).asnumpy()
        except (decord.DECORDError, RuntimeError) as error:
            raise self._failure(error) from None
        return frames

    def close(self) -> None:
        self._video = None

    def __enter__(self) -> DecordReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, error: Exception) -> VideoError:
        cause = (str(error).strip().splitlines() or ["unknown error"])[-1]
        return VideoError(
            f"{self._path}: not a readable clip ({cause}); only clips written by `unisurg curate` "
            "can be read, delete the file and run it again"
        )
