"""EgoSurgery-Phase: nine phases of open surgery, seen from the surgeon's head, in 21 videos.

    annotations/phase/XX_Y.csv   `Frame,Phase`: the picture's name without its ending, the phase
    images/XX/XX_Y_NNNN.jpg      one picture every 2 seconds (0.5 fps), counted from 1

XX is the video (01 to 15 and 17 to 22) and Y one of its recordings, whose pictures share the
video's folder. Fujii et al., EgoSurgery-Phase, MICCAI 2024. Phases are read by name, in any case,
and numbered in the order of SurgMotion. A case is a video: its labels follow the pictures of the
folder by name, so that a causal clip may reach over the border of two recordings, as in SurgMotion.
images/by_split/ belongs to EgoSurgery-Tool: another division, and not all of the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    Benchmark,
    BenchmarkError,
    Case,
    Counts,
    Findings,
    NamedSplit,
    ShareSplit,
    Split,
    VideoCase,
    split_cases,
)
from unisurg.benchmarks.media import pictures
from unisurg.benchmarks.tables import read_rows

PHASES = (
    "disinfection",
    "design",
    "anesthesia",
    "incision",
    "dissection",
    "hemostasis",
    "irrigation",
    "closure",
    "dressing",
)
FPS = 0.5
_ANNOTATION = re.compile(r"(\d{2})_\d+\.csv")


def _videos(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in numbers)


SPLITS: dict[str, Split] = {
    "official": NamedSplit(
        note="EgoSurgery-Phase's own 13 train, 2 val and 5 test videos; 22 is in none. The 10 / 2 "
        "/ 3 videos of EgoSurgery-Tool are another division, for other labels.",
        train=_videos(1, 2, 3, 4, 8, 9, 11, 13, 14, 15, 17, 20, 21),
        val=_videos(5, 19),
        test=_videos(6, 7, 10, 12, 18),
    ),
    "theatre": ShareSplit(
        note="for the embedded data: the first half of the videos trains, the last third tests.",
        train=1 / 2,
        val=1 / 6,
    ),
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per picture, shape (S,), S = pictures in the folder."""
    annotations = _annotations(root / "annotations" / "phase", findings)
    parts = split_cases({case: case for case in annotations}, split, findings)
    cases: list[Case] = []
    for case, part in parts.items():
        folder = root / "images" / case
        labels = read_video(folder, annotations[case], findings)
        if labels is not None:
            cases.append(VideoCase(case, folder, part, labels, fps=FPS, every_s=1 / FPS))
    return cases


def read_video(folder: Path, annotations: list[Path], findings: Findings) -> np.ndarray | None:
    """Class index of every picture of the folder, by name, shape (S,) int64.

    A picture that no row names, or whose phase is left empty, is IGNORED, which is a warning. None
    where the folder cannot be read.
    """
    found = pictures(folder) if folder.is_dir() else []
    if not found:
        findings.error(
            folder,
            "no pictures in it",
            "restore them; those in images/by_split are EgoSurgery-Tool's, and not all",
        )
        return None
    place = {picture.stem: i for i, picture in enumerate(found)}
    if len(place) < len(found):
        findings.error(folder, "pictures of one stem and two endings", "keep one of each")
        return None
    labels = np.full(len(found), IGNORED, np.int64)
    labelled = np.zeros(len(found), bool)
    for annotation in annotations:
        _lay(annotation, place, labels, labelled, findings)
    unlabelled = np.flatnonzero(~labelled)
    if len(unlabelled):
        findings.warning(
            found[unlabelled[0]],
            f"{len(unlabelled)} of the {len(found)} pictures have no row in annotations/phase",
            "they are seen but not scored",
        )
    return labels


def _lay(
    annotation: Path,
    place: Mapping[str, int],
    labels: np.ndarray,
    labelled: np.ndarray,
    findings: Findings,
) -> None:
    """Lay the rows of one file over the labels of its video."""
    index = {name: i for i, name in enumerate(PHASES)}
    previous = -1
    for line, row in read_rows(annotation, ("Frame", "Phase"), findings):
        frame, phase = row["Frame"], row["Phase"].lower()
        here = place.get(frame)
        if here is None:
            problem, remedy = f"no picture {frame!r}", "restore it or remove the row"
        elif labelled[here]:
            problem, remedy = f"a second row for picture {frame!r}", "keep one of the two"
        elif here < previous:
            problem = f"picture {frame!r} sorts before the picture of the row above"
            remedy = "names must sort into the order of time: get the original names"
        elif phase and phase not in index:
            problem, remedy = f"unknown phase {row['Phase']!r}", f"phases are {', '.join(PHASES)}"
        else:
            previous, labelled[here] = here, True
            labels[here] = index[phase] if phase else IGNORED
            if not phase:
                findings.warning(annotation, "no phase", "the picture is not scored", line)
            continue
        findings.error(annotation, problem, remedy, line)


def _annotations(folder: Path, findings: Findings) -> dict[str, list[Path]]:
    """Annotation files of every video, in the order of their names."""
    if not folder.is_dir():
        raise BenchmarkError(
            folder, "no such folder", "the root must hold EgoSurgery's annotations and images"
        )
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.csv")):
        match = _ANNOTATION.fullmatch(path.name)
        if match:
            found.setdefault(match[1], []).append(path)
        else:
            findings.warning(path, "not named XX_Y.csv, so not read", "rename or remove it")
    if not found:
        raise BenchmarkError(folder, "no XX_Y.csv in it", "copy the phase annotations there")
    return found


EGOSURGERY = Benchmark(
    name="egosurgery",
    title="EgoSurgery-Phase, phases of open surgery from the surgeon's view",
    task="phase",
    classes=PHASES,
    splits=SPLITS,
    unit="video",
    main="f1_sm_per_video_unrelaxed",
    licence="CC BY-NC-SA 4.0",
    access="fill in the form at github.com/Fujiry0/EgoSurgery",
    reader=read,
    counts=Counts(
        split="official",
        cases={"train": 13, "val": 2, "test": 5},
        classes=9,
        source="EgoSurgery-Phase, MICCAI 2024; lists as in SurgMotion's egosurgery_prepare.py",
        fps=FPS,
    ),
)
