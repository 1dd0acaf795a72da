"""The cases of a probe: a video with its labelled moments, a group of clips, or a picture.

Benchmarks tell what a data set holds; here it is put into the units that a probe is trained and
scored on, and that statistics draw: clips of one operation or recording are no independent cases.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    Benchmark,
    BenchmarkError,
    ClipCase,
    Part,
    PictureCase,
    VideoCase,
)
from unisurg.benchmarks.kvasir import read_mask, read_picture
from unisurg.settings import Settings

# What some file system does not take in a name, and the sign that stands in for it.
_ODD = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]|^\.')
LONGEST_NAME = 180  # bytes; file systems allow 255, and an ending and a mark are added


@dataclass(frozen=True, eq=False)
class Video:
    """A file or a folder of pictures, `fps` a second, and the `moments` (S,) of it in seconds.

    The annotation has a label every `every_s` seconds and covers `labelled_s` seconds.
    """

    video: Path
    fps: float
    moments: np.ndarray
    every_s: float
    labelled_s: float

    def __len__(self) -> int:
        return len(self.moments)


@dataclass(frozen=True)
class Clip:
    """One clip: of a file from `start_s` to `end_s`, excluded, or the whole where they are None."""

    video: Path
    start_s: float | None
    end_s: float | None

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Picture:
    """A still picture and its mask."""

    image: Path
    mask: Path

    def __len__(self) -> int:
        return 1


Source = Video | Clip | Picture


@dataclass(frozen=True, eq=False)
class ProbeCase:
    """One case: its clips are those of its `sources`, one after the other.

    `case` is a name that any file system takes, unique within the benchmark. `labels` (S,) int64
    and `moments` (S,) seconds are empty for a picture.
    """

    case: str
    split: Part
    sources: tuple[Source, ...]
    labels: np.ndarray
    moments: np.ndarray

    def __len__(self) -> int:
        """Number of clips."""
        return sum(len(source) for source in self.sources)

    def truth(self) -> np.ndarray:
        """Labels (S,) int64 of a video or a group, mask (H, W) bool of a picture."""
        (first, *_) = self.sources
        return read_mask(first.mask) if isinstance(first, Picture) else self.labels

    def image(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a picture.

        Raises:
            TypeError: the case is none.
        """
        (first, *_) = self.sources
        if not isinstance(first, Picture):
            raise TypeError(f"{self.case} is no picture")
        return read_picture(first.image)


def read_cases(benchmark: Benchmark, settings: Settings) -> list[ProbeCase]:
    """Cases of the benchmark's block in the settings, in the order of the benchmark.

    Moments without a class are left out. A training or validation video is seen every
    `features.fit_every_s` seconds, on a grid that starts with the video; a test video at every
    labelled moment.

    Raises:
        BenchmarkError: the copy cannot be used, a video has no moment with a class, or cases are of
            a task that has no heads yet.
    """
    wanted = settings.benchmarks[benchmark.name]
    found = benchmark.read(wanted.root, wanted.split)
    if not all(isinstance(case, VideoCase | ClipCase | PictureCase) for case in found):
        raise BenchmarkError(
            wanted.root,
            f"{benchmark.name} is of the task {benchmark.task}, which has no heads yet",
            "`unisurg benchmarks check` reads it; take its block out of params.yaml",
        )
    videos = [case for case in found if isinstance(case, VideoCase)]
    clips = [case for case in found if isinstance(case, ClipCase)]
    pictures = [case for case in found if isinstance(case, PictureCase)]
    cases = [_video(case, settings.features.fit_every_s) for case in videos]
    return [*cases, *_groups(clips), *(_picture(case) for case in pictures)]


def spacing(cases: Iterable[ProbeCase], fit_every_s: float) -> tuple[float, float]:
    """Seconds between the clips of a training and of a test video; 0, 0 where cases are no videos.

    Raises:
        BenchmarkError: videos are labelled at different rates.
    """
    videos = [s for case in cases for s in case.sources if isinstance(s, Video)]
    for video in videos:
        if video.every_s != videos[0].every_s:
            raise BenchmarkError(
                video.video,
                f"has a label every {video.every_s:g} s, others every {videos[0].every_s:g} s",
                "label all videos of a data set at one rate",
            )
    if not videos:
        return 0.0, 0.0
    every_s = float(videos[0].every_s)
    return _stride(every_s, fit_every_s) * every_s, every_s


def _stride(every_s: float, fit_every_s: float) -> int:
    """Every so many labels of a training video are used."""
    return max(round(fit_every_s / every_s), 1)


def _video(case: VideoCase, fit_every_s: float) -> ProbeCase:
    stride = 1 if case.split == "test" else _stride(case.every_s, fit_every_s)
    places = np.flatnonzero(case.labels != IGNORED)
    used = places[places % stride == 0]
    if not len(used):
        few = f"on a multiple of {stride * case.every_s:g} s" if len(places) else "with a class"
        raise BenchmarkError(
            case.video,
            f"the video has no moment {few}",
            "lower features.fit_every_s"
            if len(places)
            else "label it, or take it out of the split",
        )
    moments = used * case.every_s
    source = Video(case.video, case.fps, moments, case.every_s, len(case.labels) * case.every_s)
    return ProbeCase(file_name(case.case), case.split, (source,), case.labels[used], moments)


def _groups(clips: Sequence[ClipCase]) -> list[ProbeCase]:
    """Clips of one group and part together, in the order in which the groups first occur."""
    members: dict[tuple[str, Part], list[ClipCase]] = {}
    for clip in clips:
        members.setdefault((clip.group, clip.split), []).append(clip)
    torn = {g for g, part in members for other in members if other[0] == g and other[1] != part}
    names = {
        (group, part): f"{group}-{part}" if group in torn else group for group, part in members
    }
    return [_group(names[key], key[1], found) for key, found in members.items()]


def _group(name: str, part: Part, clips: Sequence[ClipCase]) -> ProbeCase:
    return ProbeCase(
        file_name(name),
        part,
        tuple(Clip(clip.video, clip.start_s, clip.end_s) for clip in clips),
        np.array([clip.label for clip in clips], np.int64),
        np.array([clip.start_s or 0.0 for clip in clips]),
    )


def _picture(case: PictureCase) -> ProbeCase:
    source = Picture(case.image, case.mask)
    nothing = np.zeros(0)
    return ProbeCase(file_name(case.case), case.split, (source,), nothing.astype(np.int64), nothing)


def file_name(name: str) -> str:
    """The name itself, or one like it that every file system takes; different ones stay different.

    Odd characters become %XX as in an address. A very long name is cut and ends with a digest.
    """
    safe = _ODD.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if len(safe.encode()) <= LONGEST_NAME:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    kept = safe.encode()[: LONGEST_NAME - 17].decode(errors="ignore")
    return f"{kept}-{digest}"
