"""AutoLaparo, task 1: seven phases of laparoscopic hysterectomy in 21 videos.

    task1/videos/NN.mp4         NN = 01..21, 25 fps
    task1/labels/label_NN.txt   `Frame Phase`, blanks or tabs, a row per second, frames from 1

Wang et al., AutoLaparo, 2022. The owners number the phases 1-7; copies numbered 0-6, frames from 0,
circulate as well. Which of the two a copy is, its smallest and largest phase tell; what mixes both
or shows neither is refused. The label of second i is row i.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    THEATRE,
    Benchmark,
    Case,
    Counts,
    Findings,
    NamedSplit,
    Split,
    VideoCase,
    split_cases,
)
from unisurg.benchmarks.frame_phase import (
    FramePhases,
    check_frames,
    class_indices,
    read_frame_phases,
)
from unisurg.benchmarks.pairs import labelled_videos

PHASES = (
    "Preparation",
    "Dividing Ligament and Peritoneum",
    "Dividing Uterine Vessels and Ligament",
    "Transecting the Vagina",
    "Specimen Removal",
    "Suturing",
    "Washing",
)
LOWEST, HIGHEST = "0", "7"
_LABEL_FILE = re.compile(r"label_(\d+)\.txt")
_VIDEO_FILE = re.compile(r"(\d+)\.mp4")


def _videos(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in range(first, last + 1))


SPLITS: dict[str, Split] = {
    "official": NamedSplit(
        note="train 01-10, val 11-14, test 15-21, the owners' and everyone's.",
        train=_videos(1, 10),
        val=_videos(11, 14),
        test=_videos(15, 21),
    ),
    "theatre": THEATRE,
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split, labels per second; `root` is the folder `task1` or the one above."""
    base = root / "task1" if (root / "task1").is_dir() else root
    pairs = labelled_videos(
        (base / "labels", _LABEL_FILE), (base / "videos", _VIDEO_FILE), findings
    )
    read_files = {case: read_frame_phases(path, findings) for case, (path, _) in pairs.items()}
    files = {case: rows for case, rows in read_files.items() if rows is not None}
    labels = _labels(root, files, findings)
    parts = split_cases({case: case for case in pairs}, split, findings)
    return [
        VideoCase(case, pairs[case][1], part, labels[case], fps=25)
        for case, part in parts.items()
        if case in labels
    ]


def _labels(
    root: Path, files: Mapping[str, FramePhases], findings: Findings
) -> dict[str, np.ndarray]:
    """Class index per second of every file that fits the copy's numbering."""
    base = numbering(root, files, findings)
    first = _first_frame(root, files, findings)
    if base is None or first is None:
        return {}
    index = {str(base + i): i for i in range(len(PHASES))}
    labels: dict[str, np.ndarray] = {}
    for case, rows in files.items():
        found = class_indices(rows, index, f"phases are {base} to {base + 6}", findings)
        remedy = f"rows must hold every second, counted from {first}"
        if check_frames(rows, first, remedy, findings) and found is not None:
            labels[case] = found
    return labels


def numbering(root: Path, files: Mapping[str, FramePhases], findings: Findings) -> int | None:
    """The number of the first phase in this copy, 1 or 0; None where it cannot be told."""
    zeros = [rows for rows in files.values() if LOWEST in rows.phases]
    sevens = [rows for rows in files.values() if HIGHEST in rows.phases]
    if zeros and sevens:
        other = f"{sevens[0].path}:{sevens[0].line_of(HIGHEST)}"
        findings.error(
            zeros[0].path,
            f"phase 0, but {other} has phase 7: files numbered 0-6 beside files numbered 1-7",
            "get the original labels, numbered 1-7",
            zeros[0].line_of(LOWEST),
        )
    elif zeros:
        findings.note(
            root,
            "phases are numbered 0-6, not 1-7 as the owners ship them",
            "read as 0 Preparation to 6 Washing",
        )
        return 0
    elif sevens:
        return 1
    elif files:
        findings.error(
            root,
            "neither phase 0 nor phase 7 occurs, so 0-6 and 1-7 cannot be told apart",
            "add a video that shows one of them, or get the original labels",
        )
    return None


def _first_frame(root: Path, files: Mapping[str, FramePhases], findings: Findings) -> int | None:
    firsts = {int(rows.frames[0]): rows for rows in files.values()}
    if set(firsts) == {0}:
        findings.note(root, "frames are counted from 0, not from 1", "read as seconds all the same")
    if len(firsts) == 1 and set(firsts) <= {0, 1}:
        return next(iter(firsts))
    for first, rows in sorted(firsts.items()):
        if first != 1:
            findings.error(
                rows.path,
                f"begins with frame {first}, other files with 1",
                "get the original labels, whose frames count from 1",
                int(rows.lines[0]),
            )
    return None


AUTOLAPARO = Benchmark(
    name="autolaparo",
    title="AutoLaparo, phases of hysterectomy",
    task="phase",
    classes=PHASES,
    splits=SPLITS,
    unit="video",
    main="f1_sm_per_video_unrelaxed",
    licence="CC BY-NC-SA 4.0, academic use only",
    access="request it from the owners (autolaparo.github.io), task 1",
    reader=read,
    counts=Counts(
        split="official",
        cases={"train": 10, "val": 4, "test": 7},
        classes=7,
        source="the owners' README: 21 videos, 23:08:00",
        fps=25,
        total=83_280,
    ),
)
