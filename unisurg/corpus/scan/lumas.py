"""The small pictures of a recording, kept until its last frame tells where the picture is."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.normalise import Sizer
from unisurg.video.opencv import opencv

SHORT_SIDE_PX = 256
JPEG_QUALITY = 95
IN_MEMORY = 128 << 20
"""Bytes that are kept in memory, some two hours; a longer recording's go to a temporary file."""
FULL_RANGE = np.clip((np.arange(256) - 16) * 255 / 219, 0, 255).round().astype(np.uint8)
"""Luma as video stores it, black at 16 and white at 235, -> 0..255."""


class Lumas:
    """Luma of one frame after the other, uint8 `(H, W)`, 0 black to 255 white, upright.

    The short side is at most 256 px. Kept as JPEG: 6 hours at 1 fps would be 2.5 GB otherwise. What
    does not fit in memory lies in a file without a name, which the system removes with its owner.
    """

    def __init__(self, aspect: Fraction) -> None:
        self._sizer = Sizer(SHORT_SIDE_PX, aspect)
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._ends = [0]

    def add(self, frame: Any) -> None:
        cv2 = opencv()
        small = self._sizer(frame)
        luma = FULL_RANGE[small.to_ndarray()[: small.height]]
        data = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def sample(self, at_most: int) -> NDArray[np.uint8]:
        """Pictures of the middles of `at_most` equal parts, `(N, H, W)`; all, if there are less."""
        n = min(at_most, len(self))
        return np.stack([self._read(int((i + 0.5) * len(self) / n)) for i in range(n)])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, once there is a picture."""
        assert self._sizer.size is not None
        return self._sizer.size

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self._read(k) for k in range(len(self)))

    def _read(self, k: int) -> NDArray[np.uint8]:
        cv2 = opencv()
        self._file.seek(self._ends[k])
        data = np.frombuffer(self._file.read(self._ends[k + 1] - self._ends[k]), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
