"""PmLR50: five phases of laparoscopic liver resection in 50 videos.

    frames/XX/NNNNNNNN.jpg       one picture a second, counted from 0
    phase_annotations/XX.txt     a header, then `FRAME PHASE` parted by blanks, phases by number
    blocking_annotations/, bbox_annotations/   not read here

The owners' README puts the text files one folder deeper (train, val, test) and ends the pictures
in .png, their script does neither: both are read. Their pickles are not: unpickling runs code.
Guo et al., PmNet, AAAI 2025 (github.com/RascalGdd/PmNet).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    Case,
    Counts,
    Findings,
    NamedSplit,
    ShareSplit,
    Split,
    VideoCase,
    natural,
    split_cases,
)
from unisurg.benchmarks.media import pictures
from unisurg.benchmarks.tables import read_lines, whole

PHASES = (
    "Preparation stage",
    "Knotting of the Foley catheter",
    "Procedure of the liver resection",
    "Release of the Foley catheter",
    "Postprocessing stage",
)
FPS = 1
_ANNOTATION = re.compile(r"(\d{2})\.txt")


def _videos(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in numbers)


SPLITS: dict[str, Split] = {
    "official": NamedSplit(
        note="35 train, 5 val and 10 test videos of PmNet's script, which calls val `test` and "
        "test `infer`.",
        train=_videos(*range(1, 34), 49, 50),
        val=_videos(*range(34, 38), 48),
        test=_videos(*range(38, 48)),
    ),
    "theatre": ShareSplit(
        note="for the embedded data: the first half of the videos trains, the last third tests.",
        train=1 / 2,
        val=1 / 6,
    ),
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per second, shape (S,), S = pictures in the folder."""
    annotations = _annotations(root, findings)
    for folder in sorted((root / "frames").glob("[0-9][0-9]")):
        if folder.name not in annotations:
            findings.error(
                folder, "has no labels in phase_annotations", "restore them or remove the video"
            )
    parts = split_cases({case: case for case in annotations}, split, findings)
    cases: list[Case] = []
    for case, part in parts.items():
        folder = root / "frames" / case
        labels = read_phases(annotations[case], findings)
        if labels is not None and _fits(folder, labels, annotations[case], findings):
            cases.append(VideoCase(case, folder, part, labels, fps=FPS))
    return cases


def read_phases(path: Path, findings: Findings) -> np.ndarray | None:
    """Class index of every frame of an annotation file, shape (frames,) int64.

    None where the header is missing, a row cannot be read, a frame is out of turn or a phase is
    none of 0 to 4, which are findings.
    """
    lines = read_lines(path, findings)
    if not lines:
        return None
    if all(whole(field) is not None for field in lines[0].split()):
        findings.error(
            path, f"the first line {lines[0]!r} is no header", "get the original file", 1
        )
        return None
    if len(lines) == 1:
        findings.error(path, "no rows below the header", "get the original file")
        return None
    labels = [_phase(path, n, line, n - 2, findings) for n, line in enumerate(lines[1:], start=2)]
    known = [label for label in labels if label is not None]
    return np.array(known, np.int64) if len(known) == len(labels) else None


def _phase(path: Path, number: int, line: str, expected: int, findings: Findings) -> int | None:
    fields = line.split()
    if len(fields) != 2:
        problem = f"{len(fields)} fields, expected 2 parted by blanks"
        findings.error(path, problem, "repair the row", number)
        return None
    frame, phase = whole(fields[0]), whole(fields[1])
    if frame != expected:
        problem = f"frame {fields[0]!r} where {expected} was expected"
        findings.error(path, problem, "rows must hold every frame, counted from 0", number)
    elif phase is None or not 0 <= phase < len(PHASES):
        problem = f"unknown phase {fields[1]!r}"
        findings.error(path, problem, f"phases are 0 to {len(PHASES) - 1}", number)
    else:
        return phase
    return None


def _fits(folder: Path, labels: np.ndarray, annotation: Path, findings: Findings) -> bool:
    """Whether the pictures count 0, 1, ... and are as many as the labels."""
    found = pictures(folder) if folder.is_dir() else []
    if not found:
        findings.error(folder, "no pictures in it", "restore the video's pictures")
    for expected, picture in enumerate(found):
        if whole(picture.stem) != expected:
            findings.error(
                picture,
                f"where picture {expected} was expected",
                "pictures must count from 0 without a gap: restore the missing or original names",
            )
            return False
    if found and len(found) != len(labels):
        findings.error(
            annotation,
            f"{len(labels)} rows for {len(found)} pictures in {folder}",
            "restore the missing pictures or the original file",
        )
    return len(found) == len(labels)


def _annotations(root: Path, findings: Findings) -> dict[str, Path]:
    """Annotation file of every video, in natural order of the videos."""
    folder = root / "phase_annotations"
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*/*.txt")]):
        match = _ANNOTATION.fullmatch(path.name)
        if match and match[1] in found:
            findings.error(path, f"{found[match[1]]} labels the same video", "keep one of the two")
        elif match:
            found[match[1]] = path
    if not found:
        raise BenchmarkError(
            folder,
            "no XX.txt in it",
            "copy the text annotations there; the pickles in labels/ are not read",
        )
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


PMLR50 = Benchmark(
    name="pmlr50",
    title="PmLR50, phases of laparoscopic liver resection",
    task="phase",
    classes=PHASES,
    splits=SPLITS,
    unit="video",
    main="f1_sm_per_video_unrelaxed",
    licence="non-commercial research, no redistribution",
    access="fill in the form at github.com/RascalGdd/PmNet",
    reader=read,
    counts=Counts(
        split="official",
        cases={"train": 35, "val": 5, "test": 10},
        classes=5,
        source="PmNet, AAAI 2025, which counts 25,037 frames over all parts",
        fps=FPS,
    ),
)
