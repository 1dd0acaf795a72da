"""Pixels of benchmark cases as clips for the encoder, each frame decoded once.

The whole picture is used: the border is never cropped away. A video keeps its aspect, its short
side becomes `size_px` and its long side the nearest multiple of the tubelet. A still picture is
squashed to a square, as PraNet does, so that pictures of all sizes share one token grid.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.benchmarks.base import LABEL_TOLERANCE_S, BenchmarkError
from unisurg.benchmarks.kvasir import read_picture
from unisurg.settings import Curate
from unisurg.video.decode import open_clip
from unisurg.video.sampling import causal_window


class Clips:
    """The clips of one case: iterating yields uint8 (B, T, H, W, 3), `batch` clips at a time."""

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        windows: np.ndarray,
        size: tuple[int, int],
        batch: int,
    ) -> None:
        """`read(indices)` gives frames (n, h, w, 3) uint8; `windows` (S, T) names each clip's."""
        self._read, self._windows, self._batch = read, windows, batch
        self.size = size

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[np.ndarray]:
        # Only the frames of the current batch are held, so a recording of hours fits.
        held: dict[int, np.ndarray] = {}
        for start in range(0, len(self._windows), self._batch):
            windows = self._windows[start : start + self._batch]
            needed = np.unique(windows)
            missing = np.array([i for i in needed if i not in held])
            fresh: Iterable[np.ndarray] = self._read(missing) if missing.size else ()
            resized = (resize(frame, self.size) for frame in fresh)
            held.update(zip(missing.tolist(), resized, strict=True))
            held = {i: held[i] for i in needed.tolist()}
            yield np.stack([held[i] for i in windows.ravel().tolist()]).reshape(
                *windows.shape, *self.size, 3
            )


def video_clips(
    clip: Path,
    source: Path,
    seconds: int,
    every: int,
    frames: int,
    size_px: int,
    multiple: int,
    batch: int,
) -> Clips:
    """A causal clip of `frames` frames for each `every`-th labelled second of a normalised video.

    Raises:
        BenchmarkError: labels and the video `source` differ by more than LABEL_TOLERANCE_S.
    """
    reader = open_clip(clip)
    length_s = len(reader) / reader.fps
    if abs(length_s - seconds) > LABEL_TOLERANCE_S:
        raise BenchmarkError(
            source,
            f"lasts {length_s:.0f} s but has labels for {seconds} s",
            "the annotation is of another video, or the video is cut: restore the pair",
        )
    windows = [_window(t, frames, reader.fps, len(reader)) for t in range(0, seconds, every)]
    height, width = reader.read(np.array([0])).shape[1:3]
    size = whole_frame(height, width, size_px, multiple)
    return Clips(reader.read, np.array(windows), size, batch)


def picture_clip(image: Path, frames: int, size_px: int) -> Clips:
    """A still picture as one clip of equal frames, squashed to a square."""
    windows = np.zeros((1, frames), np.int64)
    return Clips(lambda _: read_picture(image)[None], windows, (size_px, size_px), batch=1)


def whole_frame(height: int, width: int, size_px: int, multiple: int) -> tuple[int, int]:
    """Size (height, width) with short side `size_px` and the long side a multiple, aspect kept."""
    scale = size_px / min(height, width)
    tokens = (max(round(side * scale / multiple), 1) for side in (height, width))
    rows, columns = tokens
    return rows * multiple, columns * multiple


def _window(second: int, frames: int, fps: float, n_frames: int) -> np.ndarray:
    """Frames (T,) up to `second`, none after it; past the end of the video, up to its end."""
    last = min(math.floor(second * fps + 1e-6), n_frames - 1)
    return causal_window(last / fps, frames, fps, n_frames)


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frame (h, w, 3) uint8 resampled to `size` (height, width), anti-aliased."""
    if frame.shape[:2] == size:
        return frame
    height, width = size
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def normalised(video: Path, sha256: str, fps: float, curate: Curate, scratch: Path) -> Path:
    """The video normalised as the pretraining corpus is, from scratch if it was done before."""
    from unisurg.corpus.child import ChildFailed, Limits
    from unisurg.corpus.facts import Unusable
    from unisurg.corpus.normalise import normalise_video

    key = f"{sha256}-{fps:g}fps-{curate.short_side_px}px-crf{curate.quality_crf}"
    clip = scratch / "video" / f"{key}.mp4"
    if not clip.exists():
        clip.parent.mkdir(parents=True, exist_ok=True)
        aside = clip.with_name(f".{key}-{os.getpid()}.mp4")
        limits = Limits(curate.timeout_s, curate.memory_mib)
        try:
            normalise_video(
                video, aside, fps, curate.short_side_px, curate.quality_crf, limits=limits
            )
        except (Unusable, ChildFailed) as error:
            raise BenchmarkError(video, f"cannot be read ({error})", "restore the video") from error
        aside.replace(clip)
    return clip


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
