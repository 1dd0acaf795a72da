"""Augmentation of whole clips on uint8: crop first, resize what is left, the same for all frames.

Uint8 and in this order because it is an order of magnitude cheaper than floats of the full picture.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unisurg.video.opencv import opencv

Box = tuple[int, int, int, int]  # top, left, height, width in pixels
ASPECT = (3 / 4, 4 / 3)  # width to height of a random crop, as in V-JEPA


def random_box(
    height: int, width: int, scale: tuple[float, float], rng: np.random.Generator
) -> Box:
    """A crop: its area a share of the picture within `scale`, its sides unlike by `ASPECT`.

    Where a drawn shape is longer than the picture, that side is cut to it.
    """
    area = height * width * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
    box_height = min(height, max(1, round(math.sqrt(area / aspect))))
    box_width = min(width, max(1, round(math.sqrt(area * aspect))))
    top = int(rng.integers(0, height - box_height + 1))
    left = int(rng.integers(0, width - box_width + 1))
    return top, left, box_height, box_width


def centre_box(height: int, width: int) -> Box:
    """The largest square in the middle of the picture."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def crop_and_resize(clip: NDArray[np.uint8], box: Box, size_px: int) -> NDArray[np.uint8]:
    """The box of every frame at `size_px` square: uint8 `(T, H, W, 3)` -> uint8 `(T, S, S, 3)`.

    A side that shrinks by k or more, k whole, is averaged over k pixels first, so that a shrunk
    instrument does not flicker; what is left of the way, less than a factor of 2, is bilinear.
    Averaging over broken numbers of pixels would cost seven times as much.
    """
    cv2 = opencv()
    top, left, height, width = box
    down, across = max(height // size_px, 1), max(width // size_px, 1)
    means = (width // across, height // down)
    part = clip[:, top : top + means[1] * down, left : left + means[0] * across]
    small = np.empty((len(clip), size_px, size_px, 3), np.uint8)
    for frame, out in zip(part, small, strict=True):
        if down > 1 or across > 1:
            frame = cv2.resize(frame, means, interpolation=cv2.INTER_AREA)
        cv2.resize(frame, (size_px, size_px), dst=out, interpolation=cv2.INTER_LINEAR)
    return small


def random_resized_crop(
    clip: NDArray[np.uint8],
    size_px: int,
    scale: tuple[float, float],
    hflip: bool,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """One random crop of a clip, mirrored half of the time if `hflip`.

    Args:
        clip: uint8 RGB `(T, H, W, 3)`.
        scale: least and greatest area of the crop, as a share of the picture.

    Returns:
        uint8 `(T, size_px, size_px, 3)`.
    """
    _, height, width, _ = clip.shape
    small = crop_and_resize(clip, random_box(height, width, scale, rng), size_px)
    # Drawn in any case, so that the switch changes nothing else.
    mirrored = rng.random() < 0.5
    return np.ascontiguousarray(small[:, :, ::-1]) if hflip and mirrored else small
