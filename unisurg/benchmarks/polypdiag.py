"""PolypDiag: is there a polyp in the clip? 253 colonoscopy clips.

    videos/NAME.mp4                   30 fps
    splits/train.txt, splits/val.txt  `NAME.mp4,LABEL`, no header; 0 is normal, 1 abnormal

Names end in -FIRST-LAST, the frames of the source video that the clip is made of. Clips come from
Hyper-Kvasir and LDPolypVideo (Tian et al., weakly-polyp, MICCAI 2022), the lists from Endo-FM,
MICCAI 2023; everybody tests on val.txt, and so does this reader: it is never validated on.
"""

from __future__ import annotations

import re
from pathlib import Path

from unisurg.benchmarks.base import (
    Benchmark,
    Case,
    ClipCase,
    Counts,
    Findings,
    Part,
    Split,
    listed,
    split_cases,
)
from unisurg.benchmarks.clips import with_files
from unisurg.benchmarks.hashed import HashedValidation
from unisurg.benchmarks.tables import read_lines, whole

CLASSES = ("normal", "abnormal")
LISTS: dict[str, Part] = {"train.txt": "train", "val.txt": "test"}
_SOURCE = re.compile(r"(?:indexed-(?:train|test)_set[-_](?:ab)?normal(?:_test)?-)?(.+?)-\d+-\d+")

SPLITS: dict[str, Split] = {
    "official": HashedValidation(
        note="Endo-FM's lists; val.txt is the test. They have no validation list: probes are "
        "chosen on a fifth of the training videos, by sha256 of the source video, and then "
        "trained again on all of train.txt.",
        val=0.2,
        refit=True,
    ),
}


def source_video(clip: str) -> str:
    """Name of the video that a clip was cut from, or the clip itself where its name tells none."""
    match = _SOURCE.fullmatch(clip)
    return match[1] if match else clip


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Clips of the split, named like their files; a group is a source video."""
    labels: dict[str, int] = {}
    stated: dict[str, Part] = {}
    for name, part in LISTS.items():
        path = root / "splits" / name
        for clip, label in read_labels(path, findings).items():
            if clip in labels:
                findings.error(path, f"{clip}.mp4 is in both lists", "remove it from one of them")
                continue
            labels[clip], stated[clip] = label, part
    if not labels:
        return []
    _name_strangers(root / "videos", set(labels), findings)
    groups = {clip: source_video(clip) for clip in labels}
    parts = split_cases(groups, split, findings, stated)
    clips = (
        ClipCase(
            clip, root / "videos" / f"{clip}.mp4", part, labels[clip], None, None, groups[clip]
        )
        for clip, part in parts.items()
    )
    return with_files(clips, root / "splits", findings)


def read_labels(path: Path, findings: Findings) -> dict[str, int]:
    """Label of each clip (without `.mp4`) of one list; a row that cannot be used is a finding."""
    labels: dict[str, int] = {}
    for number, line in enumerate(read_lines(path, findings), start=1):
        fields = [field.strip() for field in line.split(",")]
        label = whole(fields[-1])
        clip = fields[0].removesuffix(".mp4")
        if len(fields) != 2 or not fields[0].endswith(".mp4"):
            problem, remedy = f"{line!r} is not NAME.mp4,LABEL", "repair the row"
        elif label is None or not 0 <= label < len(CLASSES):
            problem, remedy = f"unknown label {fields[1]!r}", "labels are 0 (normal), 1 (abnormal)"
        elif clip in labels:
            problem, remedy = f"a second row for {fields[0]}", "keep one of the two"
        else:
            labels[clip] = label
            continue
        findings.error(path, problem, remedy, number)
    return labels


def _name_strangers(folder: Path, known: set[str], findings: Findings) -> None:
    strangers = [p.name for p in folder.glob("*.mp4") if p.stem not in known]
    if strangers:
        findings.warning(
            folder,
            f"{len(strangers)} videos are in neither list, so not read: {listed(strangers)}",
            "remove them, or get the original lists",
        )


POLYPDIAG = Benchmark(
    name="polypdiag",
    title="PolypDiag, diagnosis of colonoscopy clips",
    task="action",
    classes=CLASSES,
    splits=SPLITS,
    unit="clip",
    main="f1_macro_over_clips",
    licence="Hyper-Kvasir CC BY 4.0; LDPolypVideo for research",
    access="download it by the links in the README of github.com/med-air/Endo-FM",
    reader=read,
    counts=Counts(
        split="official",
        cases={"train": 173, "test": 80},
        classes=2,
        source="Endo-FM's lists, 102 and 60 of them abnormal",
        fps=30,
    ),
)
