"""Cholec80: seven phases of laparoscopic cholecystectomy in 80 videos.

    videos/videoNN.mp4                    25 fps
    phase_annotations/videoNN-phase.txt   `Frame<TAB>Phase`, a row per 25-fps frame, phases by name
    tool_annotations/videoNN-tool.txt     not read here

Twinanda et al., EndoNet, 2017. Index order of the phases as in the literature (TF-Cholec80 orders
the last three differently, and a mirror in circulation swaps the numbers 4 and 6: names are mapped,
numbers refused). The label of second i is row 25 * i of the annotation file.
"""

from __future__ import annotations

import re
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
from unisurg.benchmarks.frame_phase import check_frames, class_indices, read_frame_phases
from unisurg.benchmarks.pairs import labelled_videos
from unisurg.benchmarks.tables import whole

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
_PHASE_FILE = re.compile(r"(video\d+)-phase\.txt")
_VIDEO_FILE = re.compile(r"(video\d+)\.mp4")


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
    "40-8-32": NamedSplit(
        note="train 01-40, val 41-48, test 49-80 (TeCNO, EndoViT): a smaller test list.",
        train=_videos(1, 40),
        val=_videos(41, 48),
        test=_videos(49, 80),
    ),
    "theatre": THEATRE,
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per second, shape (S,), S = ceil(rows / 25)."""
    pairs = labelled_videos(
        (root / "phase_annotations", _PHASE_FILE), (root / "videos", _VIDEO_FILE), findings
    )
    parts = split_cases({case: case for case in pairs}, split, findings)
    cases: list[Case] = []
    for case, part in parts.items():
        annotation, video = pairs[case]
        phases = read_phases(annotation, findings)
        if phases is not None:
            labels = phases[::ANNOTATION_FPS]
            cases.append(VideoCase(case, video, part, labels, fps=ANNOTATION_FPS))
    return cases


def read_phases(path: Path, findings: Findings) -> np.ndarray | None:
    """Class index of every row of an annotation file, shape (rows,) int64.

    None where there is a wrong header, a missing or repeated frame, an unknown phase or no row:
    findings, or in strict reading the first of them as a BenchmarkError.
    """
    rows = read_frame_phases(path, findings, delimiter="\t")
    if rows is None:
        return None
    if all(whole(phase) is not None for phase in rows.phases):
        findings.error(
            path,
            "phases by number, not by name",
            "copies in circulation number them differently (one swaps 4 and 6): get the original",
            int(rows.lines[0]),
        )
        return None
    index = {name: i for i, name in enumerate(PHASES)}
    labels = class_indices(rows, index, f"phases are spelt {', '.join(PHASES)}", findings)
    remedy = "rows must hold every 25-fps frame, counted from 0"
    return labels if check_frames(rows, 0, remedy, findings) else None


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
    counts=Counts(
        split="official",
        cases={"train": 40, "test": 40},
        classes=7,
        source="EndoNet; seconds as quoted in a public discussion of SurgMotion's weights",
        fps=25,
        labels={"train": 86_304, "test": 98_194},
    ),
)
