"""One clip of a batch: which it is, and how it is made. What a worker runs, and light to import."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisurg.pretrain.draws import generator
from unisurg.pretrain.sampler import Draw
from unisurg.video.store import FrameStore
from unisurg.video.transforms import centre_box, crop_and_resize, random_resized_crop


@dataclass(frozen=True)
class Crop:
    """What is done to each clip; the fields are those of `pretrain` and the seed of the run."""

    size_px: int
    scale: tuple[float, float]
    hflip: bool
    seed: int


@dataclass(frozen=True)
class Sample:
    """A drawn clip and its place `(step, number in the global batch)`; None: its centre crop."""

    video_id: str
    draw: Draw
    place: tuple[int, int] | None

    def __str__(self) -> str:
        frames = self.draw.frames
        return f"video {self.video_id}, frames {frames[0]}..{frames[-1]}"


def make_clip(store: FrameStore, crop: Crop, task: Sample) -> NDArray[np.uint8]:
    """uint8 RGB `(T, size_px, size_px, 3)`, a function of its arguments alone."""
    clip = store.read(task.draw.row, task.draw.frames)
    if task.place is None:
        return crop_and_resize(clip, centre_box(*clip.shape[1:3]), crop.size_px)
    rng = generator(crop.seed, "crop", *task.place)
    return random_resized_crop(clip, crop.size_px, crop.scale, crop.hflip, rng)
