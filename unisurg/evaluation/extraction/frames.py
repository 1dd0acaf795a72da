"""Pixels of a case's sources: read once, normalised as the pretraining corpus is, resized.

The whole picture is used: the border is never cropped away. A video keeps its aspect, its short
side becomes `size_px` and its long side the nearest multiple of the tubelet. A still picture is
squashed to a square, as PraNet does, so that pictures of all sizes share one token grid.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from unisurg.benchmarks.base import LABEL_TOLERANCE_S, BenchmarkError
from unisurg.benchmarks.media import pictures
from unisurg.benchmarks.polyps import read_picture
from unisurg.evaluation.extraction.cases import Clip, Picture, ProbeCase, Source, Video
from unisurg.evaluation.extraction.sequences import DepthSequence
from unisurg.progress import track
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Curate
from unisurg.video.decode import open_clip


class Frames(Protocol):
    """Resized frames of one source, by number. Holds a file until it is closed."""

    @property
    def rate(self) -> float:
        """Frames a second."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (n, *size, 3) uint8 at `indices` (n,)."""

    def close(self) -> None: ...


class VideoFrames:
    """Frames of a normalised clip with `rate` frames a second."""

    def __init__(self, clip: Path, rate: float, size_px: int, multiple: int) -> None:
        self._reader = open_clip(clip)
        self.rate = rate
        height, width = self._reader.read(np.array([0])).shape[1:3]
        self.size = whole_frame(height, width, size_px, multiple)

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([resize(frame, self.size) for frame in self._reader.read(indices)])

    def close(self) -> None:
        self._reader.close()


class PictureFrames:
    """A still picture as a recording of one frame, squashed to a square."""

    rate = 1.0

    def __init__(self, image: Path, size_px: int) -> None:
        self._image = image
        self.size = (size_px, size_px)

    def __len__(self) -> int:
        return 1

    def read(self, indices: np.ndarray) -> np.ndarray:
        frame = resize(read_picture(self._image), self.size)
        return np.repeat(frame[None], len(indices), axis=0)

    def close(self) -> None:
        """Nothing is held."""


class SequenceFrames:
    """The pictures of a sequence with depth, one a second, whose aspect is kept."""

    rate = 1.0

    def __init__(self, source: DepthSequence, size_px: int, multiple: int) -> None:
        self._source = source
        height, width = source.picture(0).shape[:2]
        self.size = whole_frame(height, width, size_px, multiple)

    def __len__(self) -> int:
        return len(self._source.frames)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([resize(self._source.picture(int(i)), self.size) for i in indices])

    def close(self) -> None:
        """Nothing is held."""


class Footage:
    """Opens the sources of one benchmark; what it normalises is kept below `scratch`/video.

    A video is kept at the block's `fps`, or at its own rate where that is lower, so that a frame is
    never shown before its time. Threads and processes may share a scratch.
    """

    def __init__(self, wanted: Wanted, curate: Curate, scratch: Path, multiple: int) -> None:
        """`multiple`: height and width in pixels of a token."""
        self.wanted, self.multiple = wanted, multiple
        self._curate, self._scratch = curate, scratch
        self._digests: dict[Path, str] = {}

    def digest(self, source: Source) -> str:
        """SHA-256 over the bytes of a file, or over names and bytes of a folder's pictures.

        Of a sequence with depth over the bytes of its frames and how they are undistorted.
        """
        path = _path(source)
        if path not in self._digests:
            if isinstance(source, DepthSequence):
                self._digests[path] = _sequence_digest(source)
            else:
                self._digests[path] = sha256(path)
        return self._digests[path]

    def case_digest(self, case: ProbeCase) -> str:
        """Digest of all that the pixels of a case's clips come from, beside the settings."""
        digest = hashlib.sha256()
        for source in case.sources:
            digest.update(self.digest(source).encode())
            if isinstance(source, Video):
                digest.update(f"{self.rate(source)} {source.fps} {source.labelled_s}".encode())
                digest.update(source.moments.astype("<f8").tobytes())
            elif isinstance(source, DepthSequence):
                digest.update(source.places.astype("<i8").tobytes())
            elif not isinstance(source, Picture):
                digest.update(f"{source.start_s} {source.end_s}".encode())
        return digest.hexdigest()

    def rate(self, source: Source) -> float:
        """Frames a second at which a source is kept."""
        slow = source.fps if isinstance(source, Video) else self.wanted.fps
        return min(self.wanted.fps, slow)

    def prepare(self, cases: Iterable[ProbeCase]) -> None:
        """Normalise the videos of the cases that are not there yet, `curate.workers` side by side.

        Raises:
            BenchmarkError: naming the first video that cannot be read.
        """
        missing: dict[Path, Video | Clip] = {}
        for source in (source for case in cases for source in case.sources):
            if isinstance(source, Video | Clip) and not self._place(source).exists():
                # Several clips of one file, or equal files, are one video.
                missing.setdefault(self._place(source), source)
        with ThreadPoolExecutor(self._curate.workers) as pool:
            futures = [pool.submit(self._normalised, source) for source in missing.values()]
            try:
                # In order, so that of several unreadable videos the first is named, on every run.
                for future in track(futures, "normalised videos"):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def open(self, source: Source) -> Frames:
        """Frames of a source, which is normalised first if it was not yet.

        Raises:
            BenchmarkError: a video that cannot be read, or is much longer or shorter than its
                labels.
        """
        if isinstance(source, Picture):
            return PictureFrames(source.image, self.wanted.size_px)
        if isinstance(source, DepthSequence):
            return SequenceFrames(source, self.wanted.size_px, self.multiple)
        clip = self._normalised(source)
        frames = VideoFrames(clip, self.rate(source), self.wanted.size_px, self.multiple)
        if isinstance(source, Video):
            _check_length(source, len(frames) / frames.rate)
        return frames

    def _place(self, source: Video | Clip) -> Path:
        curate = self._curate
        key = f"{self.digest(source)}-{self.rate(source):g}fps"
        if isinstance(source, Video) and source.video.is_dir():
            key += f"-of-{source.fps:g}fps"  # which the pictures themselves do not tell
        return (
            self._scratch / "video" / f"{key}-{curate.short_side_px}px-crf{curate.quality_crf}.mp4"
        )

    def _normalised(self, source: Video | Clip) -> Path:
        from unisurg.corpus.child import ChildFailed, Limits
        from unisurg.corpus.facts import Unusable
        from unisurg.corpus.normalise import normalise_pictures, normalise_video

        clip, curate, raw = self._place(source), self._curate, source.video
        if clip.exists():
            return clip
        clip.parent.mkdir(parents=True, exist_ok=True)
        aside = clip.with_name(f".{clip.stem}-{os.getpid()}.mp4")
        limits = Limits(curate.timeout_s, curate.memory_mib)
        shape = (self.rate(source), curate.short_side_px, curate.quality_crf)
        try:
            if isinstance(source, Video) and raw.is_dir():
                normalise_pictures(pictures(raw), aside, source.fps, *shape, limits=limits)
            else:
                normalise_video(raw, aside, *shape, limits=limits)
        except (Unusable, ChildFailed) as error:
            raise BenchmarkError(raw, f"cannot be read ({error})", "restore the video") from error
        aside.replace(clip)
        return clip


def _check_length(source: Video, length_s: float) -> None:
    if abs(length_s - source.labelled_s) > max(LABEL_TOLERANCE_S, 1 / source.fps):
        raise BenchmarkError(
            source.video,
            f"lasts {length_s:.0f} s but has labels for {source.labelled_s:.0f} s",
            "the annotation is of another video, or the video is cut: restore the pair",
        )


def whole_frame(height: int, width: int, size_px: int, multiple: int) -> tuple[int, int]:
    """Size (height, width) with short side `size_px` and the long side a multiple, aspect kept."""
    scale = size_px / min(height, width)
    tokens = (max(round(side * scale / multiple), 1) for side in (height, width))
    rows, columns = tokens
    return rows * multiple, columns * multiple


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frame (h, w, 3) uint8 resampled to `size` (height, width), anti-aliased."""
    if frame.shape[:2] == size:
        return frame
    height, width = size
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def _path(source: Source) -> Path:
    """The file or folder by which a source is known: of a sequence its first frame."""
    if isinstance(source, DepthSequence):
        return source.frames[0]
    return source.image if isinstance(source, Picture) else source.video


def _sequence_digest(source: DepthSequence) -> str:
    """SHA-256 of all that the pixels of a sequence come from."""
    how = source.undistortion
    digest = hashlib.sha256(repr(None if how is None else asdict(how.camera)).encode())
    for frame in source.frames:
        digest.update(sha256(frame).encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, or of the names and bytes of a folder's pictures."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for picture in pictures(path):
        digest.update(f"{picture.name}\0{sha256(picture)}\n".encode())
    return digest.hexdigest()
