"""The cases of a probe: a video with its moments, a trial, a group of clips, or a picture.

Benchmarks tell what a data set holds; here it is put into the units that a probe is trained and
scored on, and that statistics draw: clips of one operation or recording are no independent cases.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    Benchmark,
    BenchmarkError,
    ClipCase,
    DepthCase,
    Part,
    PictureCase,
    SkillCase,
    TripletCase,
    VideoCase,
)
from unisurg.benchmarks.findings import Findings
from unisurg.benchmarks.media import video_facts
from unisurg.benchmarks.polyps import read_mask, read_picture
from unisurg.evaluation.extraction.sequences import DepthSequence, SequenceTruth, Undistortion
from unisurg.evaluation.store import TRIAL, pictured
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Settings
from unisurg.video.omnidirectional import CameraError, Omnidirectional

# What some file system does not take in a name, and the sign that stands in for it.
_ODD = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]|^\.')
# A trial is seen once a second, to be fitted as well: there are few, they are short, and skill does
# not show at every moment. Gestures last several seconds; their annotation has thirty rows in each.
TRIAL_EVERY_S = 1.0
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


Source = Video | Clip | Picture | DepthSequence


@dataclass(frozen=True, eq=False)
class ProbeCase:
    """One case: its clips are those of its `sources`, one after the other.

    `case` is a name that any file system takes, unique within the benchmark. `labels` (S,) int64,
    of a trial rows (S,) of `unisurg.evaluation.store.TRIAL`, and `moments` (S,) seconds are empty
    for a picture and for a sequence with depth. Statistics draw the cases of one `group` together;
    it is the case itself unless told otherwise.
    """

    case: str
    split: Part
    sources: tuple[Source, ...]
    labels: np.ndarray
    moments: np.ndarray
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.case)

    def __len__(self) -> int:
        """Number of clips."""
        return sum(len(source) for source in self.sources)

    def truth(self) -> Any:
        """Labels (S,) of a video, a trial or a group, mask (H, W) bool of a picture.

        Of a sequence with depth the maps of its S frames, read one by one.
        """
        (first, *_) = self.sources
        if isinstance(first, DepthSequence):
            return SequenceTruth(first)
        return read_mask(first.mask) if isinstance(first, Picture) else self.labels

    def image(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a picture, or of the middle one of a sequence with depth.

        Raises:
            TypeError: the case is none.
        """
        (first, *_) = self.sources
        if isinstance(first, DepthSequence):
            return first.picture(int(pictured("depth", first.places)))
        if not isinstance(first, Picture):
            raise TypeError(f"{self.case} is no picture")
        return read_picture(first.image)


def read_cases(benchmark: Benchmark, settings: Settings) -> list[ProbeCase]:
    """Cases of the benchmark's block in the settings, in the order of the benchmark.

    Moments without a class are left out. A training or validation video is seen every
    `features.fit_every_s` seconds, on a grid whose start is the video's own; a test video at every
    labelled moment. A trial is seen by every camera at every second, with a gesture or without. Of
    a sequence with depth every `every`-th frame of the block is seen, of a test sequence each one.

    Raises:
        BenchmarkError: the copy or the block cannot be used, or a video has no moment with a class.
    """
    wanted = settings.benchmarks[benchmark.name]
    _check_block(benchmark, wanted)
    found = benchmark.read(wanted.root, wanted.split)
    trials = [case for case in found if isinstance(case, SkillCase)]
    videos = [case for case in found if isinstance(case, VideoCase | TripletCase)]
    clips = [case for case in found if isinstance(case, ClipCase)]
    pictures = [case for case in found if isinstance(case, PictureCase)]
    cases = [_video(case, settings.features.fit_every_s) for case in videos]
    cases += [_trial(case) for case in trials]
    cases += _sequences([case for case in found if isinstance(case, DepthCase)], wanted)
    return [*cases, *_groups(clips), *(_picture(case) for case in pictures)]


def _check_block(benchmark: Benchmark, wanted: Wanted) -> None:
    """The keys of depth are in blocks of depth alone."""
    for key, value in (("every", wanted.every), ("undistort", wanted.undistort)):
        if (value is not None) != (benchmark.task == "depth"):
            raise BenchmarkError(
                wanted.root,
                f"is read by benchmarks.{benchmark.name} of params.yaml, whose `{key}` is"
                f" {'missing' if value is None else 'of no use'}",
                "blocks of benchmarks of depth have it, and no others",
            )


def spacing(cases: Iterable[ProbeCase], fit_every_s: float) -> tuple[float, float]:
    """Seconds between the clips of a training and of a test video; 0, 0 where cases are no videos.

    Raises:
        BenchmarkError: videos are labelled at different rates.
    """
    known = list(cases)
    videos = [s for case in known for s in case.sources if isinstance(s, Video)]
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
    if all(case.labels.dtype == TRIAL for case in known):
        return every_s, every_s
    return _stride(every_s, fit_every_s) * every_s, every_s


def _stride(every_s: float, fit_every_s: float) -> int:
    """Every so many labels of a training video are used."""
    return max(round(fit_every_s / every_s), 1)


def _video(case: VideoCase | TripletCase, fit_every_s: float) -> ProbeCase:
    stride = 1 if case.split == "test" else _stride(case.every_s, fit_every_s)
    told = case.labels != IGNORED
    places = np.flatnonzero(told if told.ndim == 1 else told.any(1))
    if not len(places):
        raise BenchmarkError(
            case.video,
            "the video has no moment with a class",
            "label it, or take it out of the split",
        )
    used = places[places % stride == _start(case.case, places % stride)]
    moments = used * case.every_s
    source = Video(case.video, case.fps, moments, case.every_s, len(case.labels) * case.every_s)
    name = file_name(case.case)
    return ProbeCase(name, case.split, (source,), case.labels[used], moments, case.group)


def _start(case: str, starts: np.ndarray) -> int:
    """Where a video's grid starts, of the places that leave it a moment.

    A video has its own: were all to start at 0, what repeats within a stride, as a pump's pulse or
    a pan of the camera, would be met in one phase alone, and tests ask for every phase.
    """
    possible = np.unique(starts)
    return int(possible[zlib.crc32(case.encode()) % len(possible)])


def _trial(case: SkillCase) -> ProbeCase:
    """The clips of every camera at every second of the trial."""
    seconds = _trial_seconds(case)
    moments = np.arange(0, seconds, TRIAL_EVERY_S)
    rows = np.zeros((len(case.videos), len(moments)), TRIAL)
    rows["rating"], rows["level"], rows["exercise"] = case.rating, case.level, case.task
    rows["gesture"] = _told(case, moments)
    rows["camera"] = np.arange(len(case.videos))[:, None]
    sources = tuple(
        Video(video, case.fps, moments, TRIAL_EVERY_S, seconds) for video in case.videos
    )
    of_clips = np.tile(moments, len(sources))
    return ProbeCase(file_name(case.case), case.split, sources, rows.ravel(), of_clips)


def _trial_seconds(case: SkillCase) -> float:
    """How long a trial lasts by its gestures, or by its video where nobody transcribed it."""
    if len(case.gestures):
        return len(case.gestures) * case.every_s
    (first, *_) = case.videos
    facts = video_facts(first, Findings(first.parent))
    if facts is None or not facts.seconds:
        raise BenchmarkError(first, "does not tell how long it lasts", "restore the video")
    return facts.seconds


def _told(case: SkillCase, moments: np.ndarray) -> np.ndarray:
    """Gesture at each moment (S,), `IGNORED` where none is told."""
    if not len(case.gestures):
        return np.full(len(moments), IGNORED)
    places = np.floor(moments / case.every_s + 0.5).astype(np.int64)
    return case.gestures[np.minimum(places, len(case.gestures) - 1)]


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
    name, source = file_name(case.case), Picture(case.image, case.mask)
    return ProbeCase(name, case.split, (source,), np.zeros(0, np.int64), np.zeros(0), case.group)


def _sequences(cases: Sequence[DepthCase], wanted: Wanted) -> list[ProbeCase]:
    """Every frame of a test sequence; of others every so many, from the first on."""
    undistortions: dict[Omnidirectional, Undistortion] = {}
    found, nothing = [], np.zeros(0)
    for case in cases:
        stride = 1 if case.split == "test" else wanted.every
        how = None
        if wanted.undistort:
            camera = _camera(case)
            how = undistortions.setdefault(camera, Undistortion(camera))
        places = np.arange(0, len(case.frames), stride)
        source = DepthSequence(case.frames, case.depths, places, how)
        labels = nothing.astype(np.int64)
        found.append(ProbeCase(file_name(case.case), case.split, (source,), labels, nothing))
    return found


def _camera(case: DepthCase) -> Omnidirectional:
    """The camera of a sequence, for pictures of its size."""
    folder = case.frames[0].parent
    try:
        camera = Omnidirectional.of(case.camera)
    except CameraError as error:
        raise BenchmarkError(folder, f"its camera: {error}", "restore its parameters") from None
    if (camera.height, camera.width) != case.size:
        raise BenchmarkError(
            folder,
            f"pictures are {case.size[1]}x{case.size[0]}, the camera's"
            f" {camera.width}x{camera.height}",
            "get the original pictures, or set undistort: false",
        )
    return camera


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
