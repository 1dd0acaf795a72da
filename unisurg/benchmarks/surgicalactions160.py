"""SurgicalActions160: 16 actions of gynaecologic laparoscopy, ten short clips of each.

    01_abdominal_access/01_01.mp4 ... 16_endobag-out/16_10.mp4   25 fps, 51 to 126 frames

There is no official split. The names do not tell which of the 59 recordings a clip was cut from, so
that clips of one recording may be on both sides of every split; results must say so. Schoeffmann
et al., Multimedia Tools and Applications, 2018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    Case,
    ClipCase,
    Counts,
    Findings,
    NamedSplit,
    Part,
    Split,
    natural,
    split_cases,
)

ACTIONS = (
    "abdominal_access",
    "injection",
    "cutting",
    "blunt_dissection",
    "dissection_thermal",
    "irrigation",
    "coagulation",
    "suction",
    "needle_positioning",
    "needle_puncture",
    "knot_pushing",
    "knotting",
    "thread_cut",
    "sling-in",
    "endobag-in",
    "endobag-out",
)
FOLDERS = tuple(f"{number:02d}_{action}" for number, action in enumerate(ACTIONS, start=1))
_CLIP = re.compile(r"(\d{2})_\d{2}\.mp4")

# Fold of each action's clips 01 to 10 after SurgMotion's rule: one generator of seed 42 shuffles
# the ten clips of each action in turn, and clip i of the shuffled ten goes to fold i mod 4.
FOLDS = (
    "0121301032",
    "3020310211",
    "2230013011",
    "3202301011",
    "0113201230",
    "1032311002",
    "0113202103",
    "0211133002",
    "1103200132",
    "0203012311",
    "2101300123",
    "1210323100",
    "2310101302",
    "1032121003",
    "3100312102",
    "3310221010",
)

# Clips 01 to 10 of each action in VideoEval's lists: t train, v the train clip of the highest
# number, on which probes are chosen here, and . test.
VIDEOEVAL = (
    ".tt....t.v",
    "..tt..tv..",
    ".....t.ttv",
    "..t.tt..v.",
    "..t..t.tv.",
    "...t.tt.v.",
    "....tt.tv.",
    "..tttv....",
    "t...t.tv..",
    "..t.t.t..v",
    "t.t.t..v..",
    "tt.t.....v",
    ".....ttt.v",
    "tt.t.v....",
    "...t..tt.v",
    "..t...t.tv",
)


@dataclass(frozen=True)
class DealtSplit:
    """A split that deals the groups out in natural order, part after part, over and over.

    Clips of one action are neighbours in that order, so that every part gets some of each.
    """

    note: str
    turn: tuple[Part, ...]
    refit: bool = False

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        if len(stated) < len(self.turn):
            findings.error(
                findings.root,
                f"{len(stated)} clips cannot be dealt to train, val and test",
                f"at least {len(self.turn)} are needed",
            )
            return {}
        ordered = sorted(stated, key=natural)
        return {name: self.turn[i % len(self.turn)] for i, name in enumerate(ordered)}


def _clips(rows: tuple[str, ...], marks: str) -> tuple[str, ...]:
    """Clips whose place in the rows, one row an action, holds one of the marks."""
    return tuple(
        f"{action:02d}_{clip:02d}"
        for action, row in enumerate(rows, start=1)
        for clip, mark in enumerate(row, start=1)
        if mark in marks
    )


def _fold(test: int) -> NamedSplit:
    """SurgMotion's split with that fold as test; the fold after it is val, then trained on too."""
    val = (test + 1) % 4
    rest = "".join(str(fold) for fold in range(4) if fold not in (test, val))
    return NamedSplit(
        note=f"fold {test} of SurgMotion's four tests and the others train. There is no validation "
        f"list: probes are chosen on fold {val} after training on {' and '.join(rest)}, then "
        "trained again on all three.",
        train=_clips(FOLDS, rest),
        val=_clips(FOLDS, str(val)),
        test=_clips(FOLDS, str(test)),
        refit=True,
    )


SPLITS: dict[str, Split] = {
    **{f"fold{test}": _fold(test) for test in range(4)},
    "videoeval": NamedSplit(
        note="VideoEval's lists (arXiv 2407.06491), 4 train and 6 test clips of each action. They "
        "have no validation list: probes are chosen on one of the 4, then trained on all of them.",
        train=_clips(VIDEOEVAL, "t"),
        val=_clips(VIDEOEVAL, "v"),
        test=_clips(VIDEOEVAL, "."),
        refit=True,
    ),
    "theatre": DealtSplit(
        note="for the embedded data: of every four clips two train, one is val and one test.",
        turn=("train", "val", "train", "test"),
    ),
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Clips of the split, named like their files; a group is a clip, for want of the recording."""
    if not any((root / folder).is_dir() for folder in FOLDERS):
        raise BenchmarkError(
            root, f"no folder like {FOLDERS[0]} in it", f"unpack the 16 folders there, {FOLDERS[0]}"
        )
    _name_strangers(root, findings)
    clips: dict[str, tuple[Path, int]] = {}
    for label, folder in enumerate(FOLDERS):
        for video in _videos(root / folder, findings):
            clips[video.stem] = video, label
    parts = split_cases({case: case for case in clips}, split, findings)
    return [
        ClipCase(case, clips[case][0], part, clips[case][1], None, None, case)
        for case, part in parts.items()
    ]


def _videos(folder: Path, findings: Findings) -> list[Path]:
    """Clips in the folder of one action, by name."""
    if not folder.is_dir():
        findings.error(folder, "no such folder", "restore it; the names must be the owners'")
        return []
    found = []
    for path in sorted(folder.glob("*.mp4")):
        match = _CLIP.fullmatch(path.name)
        if path.name.startswith("."):
            continue
        if match and match[1] == folder.name[:2]:
            found.append(path)
        else:
            findings.error(
                path, f"not named {folder.name[:2]}_NN.mp4", "restore its name or its folder"
            )
    return found


def _name_strangers(root: Path, findings: Findings) -> None:
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in FOLDERS and path.name[:2].isdecimal():
            findings.warning(path, "not one of the 16 actions, so not read", "restore its name")


SURGICALACTIONS160 = Benchmark(
    name="surgicalactions160",
    title="SurgicalActions160, actions of gynaecologic laparoscopy",
    task="action",
    classes=ACTIONS,
    splits=SPLITS,
    unit="clip",
    main="f1_macro_over_clips",
    licence="CC BY-NC-SA",
    access="download it from ftp.itec.aau.at/datasets/SurgicalActions160",
    reader=read,
    counts=Counts(
        split="fold0",
        cases={"train": 112, "test": 48},
        classes=16,
        source="160 clips by the owners' page, divided into folds as by SurgMotion",
        fps=25,
    ),
)
