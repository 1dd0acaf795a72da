"""A sequence of frames with depth: pixels and truth of a frame, undistorted where asked for.

Everything is read frame by frame: a sequence of the data set is some gigabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from unisurg.benchmarks.c3vd import read_depth
from unisurg.benchmarks.polyps import read_picture
from unisurg.video.omnidirectional import (
    Omnidirectional,
    pinhole_of,
    undistort,
    undistortion_maps,
)


@dataclass(frozen=True)
class Undistortion:
    """From a camera's pictures to those of a pinhole; its maps are made once for all sequences."""

    camera: Omnidirectional

    @cached_property
    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        return undistortion_maps(self.camera, pinhole_of(self.camera))

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (H, W, 3) as the pinhole sees them, black outside."""
        return undistort(pixels, self.maps, nearest=False)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """Depth (H, W) as the pinhole sees it, 0 (unknown) outside."""
        return undistort(depth, self.maps, nearest=True)


@dataclass(frozen=True, eq=False)
class DepthSequence:
    """Frames in the order of time, and the `places` (S,) among them of which depth is asked.

    A clip is a frame with its neighbours, so that `len` is S.
    """

    frames: tuple[Path, ...]
    depths: tuple[Path, ...]
    places: np.ndarray
    undistortion: Undistortion | None

    def __len__(self) -> int:
        return len(self.places)

    def picture(self, frame: int) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a frame."""
        pixels = read_picture(self.frames[frame])
        return pixels if self.undistortion is None else self.undistortion.picture(pixels)

    def depth(self, frame: int) -> np.ndarray:
        """Depth (H, W) float32 of a frame in mm, 0 where it is not known."""
        depth = read_depth(self.depths[frame])
        return depth if self.undistortion is None else self.undistortion.depth(depth)


class SequenceTruth(Sequence[np.ndarray]):
    """Depths (H, W) float32 in mm of the frames that a sequence is asked of, read as they come."""

    def __init__(self, source: DepthSequence) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]
        return self._source.depth(int(self._source.places[place]))
