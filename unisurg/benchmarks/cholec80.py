"""Cholec80: seven phases of laparoscopic cholecystectomy in 80 videos.

    videos/videoNN.mp4                    25 fps
    phase_annotations/videoNN-phase.txt   `Frame<TAB>Phase`, a row per 25-fps frame, phases by name
    tool_annotations/videoNN-tool.txt     not read here

Twinanda et al., EndoNet, 2017. Index order of the phases as in the literature (TF-Cholec80 orders
the last three differently, hence names are mapped, never positions). The label of second i is row
25 * i of the annotation file.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    Case,
    NamedSplit,
    ShareSplit,
    Split,
    VideoCase,
    natural,
)

PHASES = (
    "Preparation",
    "CalotTriangleDissection",
    "ClippingCutting",
    "GallbladderDissection",
    "GallbladderPackaging",
    "CleaningCoagulation",
    "GallbladderRetraction",
)
ANNOTATION_FPS = 25
HEADER = ["Frame", "Phase"]
_PHASE_FILE = re.compile(r"(video\d+)-phase\.txt")


def _videos(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"video{number:02d}" for number in range(first, last + 1))


SPLITS: dict[str, Split] = {
    "official": NamedSplit(
        note="train 01-40, test 41-80 (EndoNet). The data set has no validation list: probes are "
        "chosen on 33-40 after training on 01-32, then trained again on all of 01-40.",
        train=_videos(1, 32),
        val=_videos(33, 40),
        test=_videos(41, 80),
        refit=True,
    ),
    "32-8-40": NamedSplit(
        note="train 01-32, val 33-40, test 41-80 (P-JEPA); val videos are never trained on.",
        train=_videos(1, 32),
        val=_videos(33, 40),
        test=_videos(41, 80),
    ),
    "theatre": ShareSplit(
        note="for the embedded data: the first half of the videos trains, the last third tests.",
        train=1 / 2,
        val=1 / 6,
    ),
}


def read(root: Path, split: Split) -> list[Case]:
    """Cases of the split; labels are per second, shape (S,), S = ceil(rows / 25)."""
    annotations = _annotations(root)
    parts = split.assign(list(annotations), root)
    cases: list[Case] = []
    for case, part in sorted(parts.items(), key=lambda item: natural(item[0])):
        video = root / "videos" / f"{case}.mp4"
        if not video.is_file():
            raise BenchmarkError(
                video, f"missing, but {annotations[case].name} labels it", "restore the video"
            )
        labels = read_phases(annotations[case])[::ANNOTATION_FPS]
        cases.append(VideoCase(case, video, part, labels))
    return cases


def read_phases(path: Path) -> np.ndarray:
    """Class index of every row of an annotation file, shape (rows,) int64.

    Raises:
        BenchmarkError: on a wrong header, a missing or repeated frame, an unknown phase, no rows.
    """
    index = {name: i for i, name in enumerate(PHASES)}
    # utf-8-sig drops a byte order mark; splitlines drops the carriage returns of Windows copies.
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    if not lines or lines[0].split("\t") != HEADER:
        found = repr(lines[0]) if lines else "an empty file"
        raise BenchmarkError(
            path, f"the header is {found}, expected 'Frame<TAB>Phase'", "get the original file", 1
        )
    labels: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            raise BenchmarkError(path, "an empty row", "remove it or get the original", number)
        labels.append(_label(path, number, line, expected=len(labels), index=index))
    if not labels:
        raise BenchmarkError(path, "no rows below the header", "get the original file")
    return np.array(labels, np.int64)


def _label(path: Path, number: int, line: str, expected: int, index: dict[str, int]) -> int:
    fields = line.split("\t")
    if len(fields) != 2:
        raise BenchmarkError(
            path, f"{len(fields)} fields, expected 2 parted by a tab", "repair the row", number
        )
    frame, phase = fields
    if frame != str(expected):
        raise BenchmarkError(
            path,
            f"frame {frame!r} where {expected} was expected",
            "rows must hold every 25-fps frame, counted from 0",
            number,
        )
    if phase not in index:
        raise BenchmarkError(
            path, f"unknown phase {phase!r}", f"phases are spelt {', '.join(PHASES)}", number
        )
    return index[phase]


def _annotations(root: Path) -> dict[str, Path]:
    """Annotation file of every case; a video without one is an error."""
    folder, videos = root / "phase_annotations", root / "videos"
    for needed in (folder, videos):
        if not needed.is_dir():
            raise BenchmarkError(needed, "no such folder", "the root must be Cholec80's own layout")
    matches = ((path, _PHASE_FILE.fullmatch(path.name)) for path in folder.iterdir())
    found = {match[1]: path for path, match in matches if match}
    if not found:
        raise BenchmarkError(folder, "no videoNN-phase.txt in it", "copy the annotations there")
    unlabelled = {path.stem for path in videos.glob("video*.mp4")} - set(found)
    if unlabelled:
        case = min(unlabelled, key=natural)
        raise BenchmarkError(
            folder / f"{case}-phase.txt", f"missing, but videos/{case}.mp4 is there", "restore it"
        )
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


CHOLEC80 = Benchmark(
    name="cholec80",
    title="Cholec80, phases of cholecystectomy",
    task="phase",
    classes=PHASES,
    splits=SPLITS,
    unit="video",
    main="f1_sm_per_video_unrelaxed",
    licence="CC BY-NC-SA 4.0",
    access="request it from CAMMA, University of Strasbourg (camma.unistra.fr/datasets)",
    reader=read,
)
