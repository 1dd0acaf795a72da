"""What stands still for a minute: the temporal median, in which text stays and surgery goes.

One median a minute is enough to find burned-in text, and reads better than any single frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.normalise import Sizer
from unisurg.video.opencv import opencv

JPEG_QUALITY = 95
CHUNK = 1 << 14
"""Pixels of all frames that are sorted at once; they fit the processor's cache."""


class Pictures(Sequence[NDArray[np.uint8]]):
    """Pictures of one size that are kept as JPEG, and read as uint8 RGB `(h, w, 3)`."""

    def __init__(self, files: Iterable[bytes] = ()) -> None:
        self._files = list(files)

    def add(self, rgb: NDArray[np.uint8]) -> None:
        self._files.append(jpeg(rgb))

    @property
    def files(self) -> list[bytes]:
        """The JPEG files."""
        return list(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        cv2 = opencv()
        data = np.frombuffer(self._files[i], np.uint8)
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """A picture, uint8 RGB `(h, w, 3)`, as a JPEG file."""
    cv2 = opencv()
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    written = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    data: bytes = written.tobytes()
    return data


class Medians:
    """Collects the median of every `every_s` seconds while frames of the grid pass by.

    `per_median` frames at most, evenly spread, stand for such a span. The short side is at most
    `short_side_px`.
    """

    def __init__(
        self, fps: Fraction, every_s: int, per_median: int, short_side_px: int, aspect: Fraction
    ) -> None:
        self._span = max(1, round(every_s * fps))
        self._stride = ceil(self._span / per_median)
        self._sizer = Sizer(short_side_px, aspect)
        self._waiting: list[NDArray[np.uint8]] = []
        self._done = Pictures()

    def see(self, k: int, frame: Any) -> None:
        """Take frame k of the grid."""
        place = k % self._span
        if place == 0:
            self._settle()
        if place % self._stride == 0:
            self._waiting.append(self._sizer(frame).to_ndarray())

    def pictures(self) -> Pictures:
        """The medians of the first, second, ... span; the last span may be shorter than others."""
        self._settle()
        return self._done

    def _settle(self) -> None:
        if self._waiting:
            self._done.add(_rgb(temporal_median(self._waiting)))
            self._waiting = []


def temporal_median(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Median of N arrays of one shape, value by value; the lower middle one of an even number.

    Sorts with a network of minima and maxima, which goes over all values at once.
    """
    flat = np.stack(frames).reshape(len(frames), -1)
    pairs = list(comparators(len(frames)))
    lower = np.empty(CHUNK, np.uint8)
    for start in range(0, flat.shape[1], CHUNK):
        part = flat[:, start : start + CHUNK]
        least = lower[: part.shape[1]]
        for i, j in pairs:
            np.minimum(part[i], part[j], out=least)
            np.maximum(part[i], part[j], out=part[j])
            part[i] = least
    return flat[(len(frames) - 1) // 2].reshape(frames[0].shape).copy()


def comparators(n: int) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, that sort n values when the lesser goes to i, one pair after the other.

    Batcher's merge exchange (D. Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).
    """
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top if n > 1 else 0
    while p:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def _rgb(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The planes of a yuv420p picture as one array `(3 h / 2, w)` -> RGB `(h, w, 3)`."""
    import av

    rgb: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p").to_ndarray(format="rgb24")
    return rgb
