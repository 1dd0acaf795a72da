"""One frame as JPEG and back, RGB on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv


def encode(frame: NDArray[np.uint8], quality: int) -> bytes:
    """uint8 RGB `(H, W, 3)` as a baseline JPEG of `quality` 1..100; equal frames, equal bytes."""
    cv2 = opencv()
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    encoded: bytes = data.tobytes()
    return encoded


def decode(data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """uint8 RGB `(H, W, 3)` of the bytes of a JPEG; None where they are no picture."""
    cv2 = opencv()
    frame: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    return frame
