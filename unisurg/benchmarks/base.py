"""What a benchmark is: a row of facts, named splits as data, a reader of its official layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from unisurg.benchmarks.findings import BenchmarkError, Finding, Findings
from unisurg.benchmarks.splits import (
    PARTS,
    THEATRE,
    ByCase,
    NamedSplit,
    Part,
    ShareSplit,
    Split,
    StatedSplit,
    listed,
    natural,
    require_parts,
    split_cases,
)

__all__ = [
    "IGNORED",
    "LABEL_TOLERANCE_S",
    "PARTS",
    "THEATRE",
    "Benchmark",
    "BenchmarkError",
    "ByCase",
    "Case",
    "ClipCase",
    "Counts",
    "DepthCase",
    "Finding",
    "Findings",
    "NamedSplit",
    "Part",
    "PictureCase",
    "ShareSplit",
    "SkillCase",
    "Split",
    "StatedSplit",
    "TripletCase",
    "VideoCase",
    "listed",
    "natural",
    "require_parts",
    "split_cases",
]

IGNORED = -1
# Annotation rows and container durations of real videos disagree by a few frames, not by more.
LABEL_TOLERANCE_S = 5.0


@dataclass(frozen=True)
class VideoCase:
    """One labelled video.

    `video` is a file, or a folder of pictures that sort by name into the order of time, and `fps`
    the frames per second that lie there by the data set's own account (25 for most videos, 1 or
    0.5 for folders). `labels[i]` is the class index of the moment `i * every_s` seconds after the
    first frame, shape (S,) int64; `IGNORED` (-1) where the data set has no class there or its
    evaluation leaves it out. `group` names what must not be shared between parts of a split; it is
    the case itself unless told otherwise.
    """

    case: str
    video: Path
    split: Part
    labels: np.ndarray
    fps: float
    every_s: float = 1.0
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.case)


@dataclass(frozen=True)
class ClipCase:
    """One clip with one label, the index of its class.

    `video` is the file that holds the clip: from `start_s` to `end_s` (seconds, end excluded), or
    the whole of it where both are None. `group` is the procedure, the recording or the YouTube id:
    what must not be shared between parts of a split.
    """

    case: str
    video: Path
    split: Part
    label: int
    start_s: float | None
    end_s: float | None
    group: str


@dataclass(frozen=True)
class TripletCase:
    """One video of which any number of classes may be seen at a moment.

    `video` is a folder of pictures that sort by name into the order of time, `fps` of them a
    second. `labels[i]` is of the moment `i * every_s` seconds after the first picture, shape
    (S, classes) int8: 1 where the class is seen, 0 where it is not. A moment that nobody labelled
    is a row of `IGNORED` (-1), which differs from a labelled one where nothing is seen. `group` is
    the case itself unless told otherwise.
    """

    case: str
    video: Path
    split: Part
    labels: np.ndarray
    fps: float
    every_s: float = 1.0
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.case)


@dataclass(frozen=True)
class SkillCase:
    """One rated trial of an exercise, filmed by several cameras at once.

    `videos` are the cameras' files, of equal length; being of one case, they are never parted.
    `rating` is the score to predict, `elements` the scores it is the sum of, `level` the index of
    the class. `gestures[i]` is the index of the gesture `i * every_s` seconds after the first
    frame, shape (S,) int64, `IGNORED` (-1) where none is told; S is 0 where nobody transcribed it.
    """

    case: str
    task: str
    videos: tuple[Path, ...]
    split: Part
    rating: int
    elements: tuple[int, ...]
    level: int
    gestures: np.ndarray
    fps: float
    every_s: float
    group: str


@dataclass(frozen=True)
class PictureCase:
    """One labelled picture and its mask; `size` is (height, width) of both, in pixels.

    `group` names what must not be shared between parts of a split; it is the picture itself unless
    told otherwise.
    """

    case: str
    image: Path
    mask: Path
    split: Part
    size: tuple[int, int]
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.case)


@dataclass(frozen=True)
class DepthCase:
    """One sequence of frames with the depth of every pixel.

    `frames[i]` and `depths[i]` are pictures of `size` (height, width) pixels, in the order of time
    and without a gap: `frames[i - k : i + 1]` is a clip of neighbours that ends at frame i. By
    `camera`, parameters of `unisurg.video.omnidirectional`, they can be undistorted. `group` is the
    modelled piece of anatomy: what must not be shared between parts of a split.
    """

    case: str
    frames: tuple[Path, ...]
    depths: tuple[Path, ...]
    split: Part
    size: tuple[int, int]
    camera: Mapping[str, float]
    group: str


Case = VideoCase | PictureCase | ClipCase | TripletCase | SkillCase | DepthCase
Reader = Callable[[Path, Split, Findings], list[Case]]


@dataclass(frozen=True)
class Counts:
    """What the owners publish of a data set, to hold a copy against.

    `cases` and `labels` are per part of the split named `split`, `labels` being labelled moments,
    clips, pictures or trials, whichever the data set counts; `total` is all labels of the split,
    with the ignored ones, where only that is published. A data set without a validation list has no
    key `val`: our val is then counted into its train. A key that nobody published is left out.
    `fps` is of the files, None where it differs from file to file. `source` says who counted.
    """

    split: str
    cases: Mapping[Part, int]
    classes: int
    source: str
    fps: float | None = None
    labels: Mapping[Part, int] | None = None
    total: int | None = None


@dataclass(frozen=True)
class Benchmark:
    """One row of the table of benchmarks.

    `main` is the exact name of the metric by which probes are chosen on validation cases and
    encoders are compared; `reader` reads the official layout below a root and reports what is
    wrong; `counts` is what the owners publish, None where no one did (a user's own data). `seen`
    tells, of a family with one training list and several test lists, whether the tested source is
    also trained on: results on seen and on unseen sources are never averaged together. `overlaps`
    are functions of the test cases' names, by the name under which results report what they find:
    the cases that belong to another data set's training part, whose pictures an encoder may know.
    """

    name: str
    title: str
    task: Literal["phase", "action", "segmentation", "triplet", "skill", "depth"]
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    unit: Literal["video", "clip", "picture", "trial", "sequence"]
    main: str
    licence: str
    access: str
    reader: Reader
    counts: Counts | None = None
    seen: bool | None = None
    overlaps: Mapping[str, Callable[[Sequence[str]], tuple[str, ...]]] = field(default_factory=dict)

    def overlaps_in(self, test: Sequence[str]) -> dict[str, list[str]]:
        """What `overlaps` find among the names of the test cases, ready for JSON."""
        return {name: list(found(test)) for name, found in self.overlaps.items()}

    def read(self, root: Path, split: str) -> list[Case]:
        """Cases of the named split, in natural order of their names.

        Raises:
            BenchmarkError: naming the file and the line that cannot be used, and the remedy.
        """
        return self.audit(split, Findings(Path(root)))

    def audit(self, split: str, findings: Findings) -> list[Case]:
        """Cases that can be read; what is wrong with the copy goes into `findings`.

        Raises:
            BenchmarkError: on the first error, if the findings are strict; always when there is no
                such split.
        """
        rule = self.split(split, findings.root)
        if not findings.root.is_dir():
            findings.error(findings.root, "no such folder", f"to get the data: {self.access}")
            return []
        try:
            return self.reader(findings.root, rule, findings)
        except BenchmarkError as error:
            if findings.strict:
                raise
            # What makes the whole layout unreadable is raised in a check as well.
            findings.error(error.path, error.problem, error.remedy, error.line)
            return []

    def split(self, name: str, root: Path = Path()) -> Split:
        """The split of that name."""
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise BenchmarkError(
                root, f"{self.name} has no split {name!r}", f"choose one of: {known}"
            )
        return self.splits[name]
