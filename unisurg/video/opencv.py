"""OpenCV on one thread: the data path runs several processes, each of which is to use one core."""

from __future__ import annotations

import functools
from types import ModuleType


@functools.cache
def opencv() -> ModuleType:
    """The module `cv2`, imported at the first call and set to one thread."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
