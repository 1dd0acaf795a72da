"""AVOS: actions of open surgery in clips of YouTube videos.

    anno_meta.txt       `CLIP.mp4<TAB>LABEL`, no header
    videos/CLIP.mp4     CLIP is YOUTUBEID_START_END

The owners release YouTube ids and annotations; this is the derived form that SurgMotion reads. A
YouTube id has 11 letters, which may be `_` and `-`: START and END are parsed from the right. The
classes are the paper's (Goodman et al., arXiv 2112.07219). SurgMotion's eight classes are not
published and may be procedures: other labels are refused, not guessed.
"""

from __future__ import annotations

import re
from pathlib import Path

from unisurg.benchmarks.base import (
    Benchmark,
    ByCase,
    Case,
    ClipCase,
    Counts,
    Findings,
    ShareSplit,
    Split,
    split_cases,
)
from unisurg.benchmarks.clips import with_files
from unisurg.benchmarks.hashed import HashSplit
from unisurg.benchmarks.tables import read_lines

ACTIONS = ("background", "cutting", "suturing", "tying")
_CLIP = re.compile(r"(?P<id>[A-Za-z0-9_-]{11})_(?P<start>\d+)_(?P<end>\d+)\.mp4")

SPLITS: dict[str, Split] = {
    "by-video": HashSplit(
        note="70 / 15 / 15 % of the YouTube videos by sha256 of the id; all clips of a video share "
        "a part. There is no official split.",
        train=0.70,
        val=0.15,
    ),
    "leaky-by-clip": ByCase(
        HashSplit(
            note="70 / 15 / 15 % of the clips, as SurgMotion divides them: clips of one video are "
            "in train and in test, so the result is too good. The draw is by sha256 of the clip, "
            "because SurgMotion's own depends on a list that is not published.",
            train=0.70,
            val=0.15,
        )
    ),
    "theatre": ShareSplit(
        note="for the embedded data: the first half of the videos trains, the last third tests.",
        train=1 / 2,
        val=1 / 6,
    ),
}


def youtube_id(clip: str) -> str | None:
    """The YouTube id in the name of a clip, `ID_START_END.mp4`; None where it is not so named."""
    match = _CLIP.fullmatch(clip)
    return match["id"] if match and int(match["start"]) < int(match["end"]) else None


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Clips of the split, named like their files; a group is a YouTube id."""
    table = root / "anno_meta.txt"
    labels = read_labels(table, findings)
    if not labels:
        return []
    parts = split_cases({clip: _group(clip) for clip in labels}, split, findings)
    clips = (
        ClipCase(
            clip, root / "videos" / f"{clip}.mp4", part, labels[clip], None, None, _group(clip)
        )
        for clip, part in parts.items()
    )
    return with_files(clips, table, findings)


def _group(clip: str) -> str:
    """The YouTube id of a clip whose name has been checked."""
    return clip.rsplit("_", 2)[0]


def read_labels(path: Path, findings: Findings) -> dict[str, int]:
    """Class index of each clip (without `.mp4`); a row that cannot be used is a finding."""
    index = {name: i for i, name in enumerate(ACTIONS)}
    labels: dict[str, int] = {}
    for number, line in enumerate(read_lines(path, findings), start=1):
        fields = [field.strip() for field in line.split("\t")]
        clip = fields[0].removesuffix(".mp4")
        if len(fields) != 2:
            problem, remedy = f"{len(fields)} fields, expected 2 parted by a tab", "repair the row"
        elif youtube_id(fields[0]) is None:
            problem = f"clip {fields[0]!r}"
            remedy = (
                "clips are named YOUTUBEID_START_END.mp4, start before end, the id of 11 letters: "
                "restore a leading _ that was stripped"
            )
        elif fields[1].lower() not in index:
            problem = f"unknown label {fields[1]!r}"
            remedy = f"labels are {', '.join(ACTIONS)}: write one of them or remove the row"
        elif clip in labels:
            problem, remedy = f"a second row for clip {fields[0]!r}", "keep one of the two"
        else:
            labels[clip] = index[fields[1].lower()]
            continue
        findings.error(path, problem, remedy, number)
    return labels


AVOS = Benchmark(
    name="avos",
    title="AVOS, actions of open surgery",
    task="action",
    classes=ACTIONS,
    splits=SPLITS,
    unit="clip",
    main="f1_macro_over_clips",
    licence="the authors' terms; YouTube videos",
    access="annotations from the authors (arXiv 2112.07219); fetch the videos from YouTube by id",
    reader=read,
    counts=Counts(
        split="by-video",
        cases={},
        classes=4,
        source="1,997 videos by the paper; no clip list is published",
    ),
)
