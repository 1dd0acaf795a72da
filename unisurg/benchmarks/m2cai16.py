"""M2CAI16-workflow: eight phases of laparoscopic cholecystectomy in 41 videos.

    train_dataset/workflow_video_NN.{mp4,txt}       NN = 01..27, 25 fps
    test_dataset/test_workflow_video_NN.{mp4,txt}   NN = 01..14

or all of them in one folder. Annotation: `Frame<TAB>Phase`, a row per 25-fps frame, phases by name.
Side files `*_timestamp.txt` and `*_pred.txt` of the challenge's tools are no annotations. 20 videos
are of TUM LapChole (Stauder et al., 2016), the others of Strasbourg.

The label of second i is row 25 * i, as in Cholec80: the frame that a causal clip ends with.
SurgMotion's script takes the last row of the second here, and the first one there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from unisurg.benchmarks.base import (
    THEATRE,
    Benchmark,
    BenchmarkError,
    Case,
    Counts,
    Findings,
    NamedSplit,
    Split,
    VideoCase,
    listed,
    split_cases,
)
from unisurg.benchmarks.frame_phase import check_frames, class_indices, read_frame_phases
from unisurg.benchmarks.pairs import labelled_videos

PHASES = (
    "TrocarPlacement",
    "Preparation",
    "CalotTriangleDissection",
    "ClippingCutting",
    "GallbladderDissection",
    "GallbladderPackaging",
    "CleaningCoagulation",
    "GallbladderRetraction",
)
ANNOTATION_FPS = 25
FOLDERS = ("train_dataset", "test_dataset")
_LABEL_FILE = re.compile(r"((?:test_)?workflow_video_\d+)\.txt")
_VIDEO_FILE = re.compile(r"((?:test_)?workflow_video_\d+)\.mp4")
_SIDE_FILE = re.compile(r".*_(?:timestamp|pred)\.txt")


def _videos(first: int, last: int, kind: str = "") -> tuple[str, ...]:
    return tuple(f"{kind}workflow_video_{number:02d}" for number in range(first, last + 1))


SPLITS: dict[str, Split] = {
    "official": NamedSplit(
        note="train 27, test 14 (the challenge). The data set has no validation list: probes are "
        "chosen on 23-27 after training on 01-22, then trained again on all of 01-27.",
        train=_videos(1, 22),
        val=_videos(23, 27),
        test=_videos(1, 14, "test_"),
        refit=True,
    ),
    "theatre": THEATRE,
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per second, shape (S,), S = ceil(rows / 25)."""
    folders = [root / name for name in FOLDERS if (root / name).is_dir()] or [root]
    pairs: dict[str, tuple[Path, Path]] = {}
    for folder in folders:
        found = labelled_videos(
            (folder, _LABEL_FILE), (folder, _VIDEO_FILE), findings, known=_SIDE_FILE
        )
        twice = sorted(pairs.keys() & found.keys())
        if twice:
            raise BenchmarkError(
                found[twice[0]][0], f"{pairs[twice[0]][0]} is of the same name", "keep one of them"
            )
        pairs |= found
    _name_side_files(folders, findings)
    parts = split_cases({case: case for case in pairs}, split, findings)
    cases: list[Case] = []
    for case, part in parts.items():
        annotation, video = pairs[case]
        rows = read_frame_phases(annotation, findings, delimiter="\t")
        if rows is None:
            continue
        index = {name: i for i, name in enumerate(PHASES)}
        labels = class_indices(rows, index, f"phases are spelt {', '.join(PHASES)}", findings)
        # Copies count frames from 0 or from 1; either way row r is the r-th frame of the video.
        first = int(rows.frames[0] != 0)
        remedy = "rows must hold every 25-fps frame, counted from 0 or 1"
        if check_frames(rows, first, remedy, findings) and labels is not None:
            cases.append(VideoCase(case, video, part, labels[::ANNOTATION_FPS], fps=ANNOTATION_FPS))
    return cases


def _name_side_files(folders: Iterable[Path], findings: Findings) -> None:
    for folder in folders:
        side = [path.name for path in folder.iterdir() if _SIDE_FILE.fullmatch(path.name)]
        if side:
            findings.note(
                folder,
                f"{len(side)} side files, which are no annotations: {listed(side, 4)}",
                "they are not read",
            )


M2CAI16 = Benchmark(
    name="m2cai16",
    title="M2CAI16-workflow, phases of cholecystectomy",
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
        cases={"train": 27, "test": 14},
        classes=8,
        source="the challenge; seconds from the frame counts in public training code",
        fps=25,
        labels={"train": 67_560, "test": 26_953},
    ),
)
