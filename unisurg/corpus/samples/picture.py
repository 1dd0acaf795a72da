"""What of a frame may be seen: small, with text painted black, and in a few squares if need be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.deid.overlays import Rectangle, paint
from unisurg.corpus.samples.folder import ACROSS_PX
from unisurg.video import jpeg
from unisurg.video.opencv import opencv

SHORT_SIDE_PX = 144
QUALITY = 88
"""Of the JPEG files, 0..100."""

Frame = NDArray[np.uint8]
"""RGB, (H, W, 3)."""


def clear(frame: Frame, rectangles: Iterable[Rectangle]) -> Frame:
    """The frame with black rectangles, its short side at most SHORT_SIDE_PX."""
    return _shrunk(paint(frame, rectangles), SHORT_SIDE_PX / min(frame.shape[:2]))


def pixelated(frame: Frame, rectangles: Iterable[Rectangle]) -> Frame:
    """The frame with black rectangles, its long side at most ACROSS_PX: faces are squares then."""
    return _shrunk(paint(frame, rectangles), ACROSS_PX / max(frame.shape[:2]))


def write(path: Path, picture: Frame) -> None:
    """Write a JPEG file, which holds the picture and nothing beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg.encode(picture, QUALITY))


def frames_at(clip: Path, fps: float, numbers: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """The frames of these numbers of a normalised clip, by ascending number; frame k is at k / fps.

    Raises:
        IndexError: the clip is shorter.
    """
    import av

    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number in sorted(set(numbers)):
            container.seek(int(number / fps / float(stream.time_base or 1)), stream=stream)
            for frame in container.decode(stream):
                if frame.time is not None and round(frame.time * fps) >= number:
                    yield number, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                    break
            else:
                raise IndexError(f"{clip}: no frame {number}")


def _shrunk(frame: Frame, scale: float) -> Frame:
    if scale >= 1:
        return frame
    cv2 = opencv()
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
