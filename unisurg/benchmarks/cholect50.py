"""CholecT50: triplets of instrument, verb and target in 50 videos of cholecystectomy.

    videos/VIDNN/000000.png   one picture a second, named by its second
    labels/VIDNN.json         `annotations`: second -> rows of 15 numbers, -1 where absent
    label_mapping.txt         `IVT, I, V, T, IV, IT`: the parts of each of the 100 triplets

A row is triplet; instrument, score, box x, y, w, h; verb; target, score, box x, y, w, h; phase.
Keys are not padded ("16" is 000016.png) and may be sparse: a second without a key was not looked
at, one whose rows name no triplet was, and shows none. Nwoye et al., Rendezvous, 2022; splits:
Nwoye and Padoy, "Data Splits and Metrics", arXiv 2204.05235.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    THEATRE,
    Benchmark,
    BenchmarkError,
    Case,
    Counts,
    Findings,
    NamedSplit,
    Split,
    TripletCase,
    listed,
    natural,
    split_cases,
)
from unisurg.benchmarks.media import pictures
from unisurg.benchmarks.tables import read_lines, whole

INSTRUMENTS = ("grasper", "bipolar", "hook", "scissors", "clipper", "irrigator")
VERBS = (
    "grasp",
    "retract",
    "dissect",
    "coagulate",
    "clip",
    "cut",
    "aspirate",
    "irrigate",
    "pack",
    "null_verb",
)
TARGETS = (
    "gallbladder",
    "cystic_plate",
    "cystic_duct",
    "cystic_artery",
    "cystic_pedicle",
    "blood_vessel",
    "fluid",
    "abdominal_wall_cavity",
    "liver",
    "adhesion",
    "omentum",
    "peritoneum",
    "gut",
    "specimen_bag",
    "null_target",
)
# Instrument, verb and the targets of both, in the order in which triplets are numbered.
_GROUPS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (0, 2, (1, 0, 10)),
    (0, 0, (3, 2, 4, 1, 0, 12, 8, 10, 11, 13)),
    (0, 8, (0,)),
    (0, 1, (2, 4, 1, 0, 12, 8, 10, 11)),
    (1, 3, (7, 5, 3, 2, 4, 1, 0, 8, 10, 11)),
    (1, 2, (9, 3, 2, 1, 0, 10)),
    (1, 0, (1, 8, 13)),
    (1, 1, (2, 4, 0, 8, 10)),
    (2, 3, (5, 3, 2, 4, 1, 0, 8, 10)),
    (2, 5, (5, 11)),
    (2, 2, (5, 3, 2, 1, 0, 10, 11)),
    (2, 1, (0, 8)),
    (3, 3, (10,)),
    (3, 5, (9, 5, 3, 2, 1, 8, 10, 11)),
    (3, 2, (1, 0, 10)),
    (4, 4, (5, 3, 2, 4, 1)),
    (5, 6, (6,)),
    (5, 2, (2, 4, 1, 0, 10)),
    (5, 7, (7, 4, 8)),
    (5, 1, (0, 8, 10)),
    *((instrument, 9, (14,)) for instrument in range(6)),
)
# Instrument, verb and target of each triplet, (100, 3).
PARTS_OF = np.array([(i, v, t) for i, v, targets in _GROUPS for t in targets])
TRIPLETS = tuple(f"{INSTRUMENTS[i]},{VERBS[v]},{TARGETS[t]}" for i, v, t in PARTS_OF)
# The rows of label_mapping.txt, (100, 6): triplet, instrument, verb, target, and the two pairs.
MAP = np.column_stack(
    [
        np.arange(len(TRIPLETS)),
        PARTS_OF,
        PARTS_OF[:, 0] * len(VERBS) + PARTS_OF[:, 1],
        PARTS_OF[:, 0] * len(TARGETS) + PARTS_OF[:, 2],
    ]
)
# Class of each triplet (100,) in each component, by the owners' numbers.
COMPONENTS: Mapping[str, np.ndarray] = dict(
    zip(("ivt", "i", "v", "t", "iv", "it"), MAP.T, strict=True)
)
FPS = 1
ROW = 15
# Videos 1 to 40 are Cholec80's training half.
CHOLEC80_TRAIN = 40
_LABELS = re.compile(r"(VID\d+)\.json")


def _videos(numbers: str) -> tuple[str, ...]:
    return tuple(f"VID{int(number):02d}" for number in numbers.split())


def number_of(case: str) -> int:
    """The video's number, which up to 80 is the number of the same operation in Cholec80."""
    return int(case.removeprefix("VID"))


def cholec80_train_in_test(test: Sequence[str]) -> tuple[str, ...]:
    """Of the test videos those that are training videos (1 to 40) of Cholec80, in natural order.

    An encoder that was pretrained on Cholec80's training half has seen their pictures. CAMMA states
    that numbers up to 80 are the operations of Cholec80.
    """
    seen = (case for case in test if number_of(case) <= CHOLEC80_TRAIN)
    return tuple(sorted(seen, key=natural))


def _noted(note: str, train: str, val: str, test: str) -> NamedSplit:
    """The split, whose note says how many of its test videos Cholec80 trains on."""
    split = NamedSplit(note, _videos(train), _videos(val), _videos(test))
    seen = cholec80_train_in_test(split.test)
    overlap = (
        f"Of its {len(split.test)} test videos {len(seen)} are training videos of Cholec80"
        f"{': ' if seen else ''}{', '.join(seen)}."
    )
    return NamedSplit(f"{note} {overlap}", split.train, split.val, split.test)


FOLDS = (
    "79 2 51 6 25 14 66 23 50 111",
    "80 32 5 15 40 47 26 48 70 96",
    "31 57 36 18 52 68 10 8 73 103",
    "42 29 60 27 65 75 22 49 12 110",
    "78 43 62 35 74 1 56 4 13 92",
)
_VAL = 5


def _fold(name: str, test: int, size: int) -> NamedSplit:
    """The fold tests; the others train in their order, but for their last five videos, val."""
    folds = [fold.split()[:size] for fold in FOLDS]
    rest = [video for i, fold in enumerate(folds) if i != test for video in fold]
    return _noted(
        f"fold {test + 1} of {name}'s official cross-validation tests; val are the last five of "
        "the other folds' videos.",
        " ".join(rest[:-_VAL]),
        " ".join(rest[-_VAL:]),
        " ".join(folds[test]),
    )


SPLITS: dict[str, Split] = {
    "cholect50": _noted(
        "the split of Rendezvous, the first one of CholecT50.",
        train="1 15 26 40 52 65 79 2 18 27 43 56 66 92 4 22 31 47 57 68 96 5 23 35 48 60 70 103 "
        "13 25 36 49 62 75 110",
        val="8 12 29 50 78",
        test="6 51 10 73 14 74 32 80 42 111",
    ),
    "cholect50-challenge": _noted(
        "the split of CholecTriplet 2021 and 2022.",
        train="1 15 26 40 52 79 2 27 43 56 66 4 22 31 47 57 68 23 35 48 60 70 13 25 49 62 75 8 12 "
        "29 50 78 6 51 10 73 14 32 80 42",
        val="5 18 36 65 74",
        test="92 96 103 110 111",
    ),
    **{f"cholect50-crossval-fold{i + 1}": _fold("CholecT50", i, 10) for i in range(5)},
    **{f"cholect45-crossval-fold{i + 1}": _fold("CholecT45", i, 9) for i in range(5)},
    "challenge-validation": _noted(
        "for trials on the challenge's five validation clips, which anyone may download; their "
        "parts are ours, and no result was published on them.",
        train="68 73 74",
        val="70",
        test="75",
    ),
    "theatre": THEATRE,
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per picture, shape (S, 100), S = pictures in the folder."""
    _check_map(root / "label_mapping.txt", findings)
    labels = _label_files(root)
    for folder in sorted((root / "videos").glob("VID*")):
        if folder.name not in labels:
            findings.error(folder, "has no labels in labels/", "restore them or remove the video")
    parts = split_cases({case: case for case in labels}, split, findings)
    cases: list[Case] = []
    for case, part in parts.items():
        seconds = _seconds(root / "videos" / case, labels[case], findings)
        seen = read_triplets(labels[case], findings)
        if seconds and seen is not None:
            rows = _per_picture(seconds, seen, labels[case], findings)
            cases.append(TripletCase(case, root / "videos" / case, part, rows, fps=FPS))
    return cases


def read_triplets(path: Path, findings: Findings) -> dict[int, list[int]] | None:
    """Triplets seen at each labelled second, [] where none is; None where the file is unusable.

    Scores, boxes and phases are not read. Of a row whose instrument, verb or target is not its
    triplet's, the triplet counts, as for `ivtmetrics`; that is a warning.
    """
    content = _parsed(path, findings)
    if content is None or not _check_head(path, content, findings):
        return None
    seen: dict[int, list[int]] = {}
    sound = True
    for key, rows in content["annotations"].items():
        second = whole(key)
        if second is None or second < 0 or second in seen:
            problem = f"frame {key!r} is no second of its own"
            findings.error(path, problem, "keys count seconds from 0: get the original file")
            sound = False
        elif not all(_sound_row(path, key, row, findings) for row in rows):
            sound = False
        else:
            seen[second] = sorted({int(row[0]) for row in rows if row[0] != IGNORED})
    return seen if sound else None


def _parsed(path: Path, findings: Findings) -> Mapping[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        findings.error(path, f"no JSON ({error.msg})", "get the original file", error.lineno)
        return None
    except (OSError, UnicodeDecodeError) as error:
        findings.error(path, f"cannot be read as text ({error})", "get the original file")
        return None
    frames = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(frames, dict) or not all(isinstance(rows, list) for rows in frames.values()):
        findings.error(path, "holds no lists by frame in `annotations`", "get the original file")
        return None
    return content


def _check_head(path: Path, content: Mapping[str, Any], findings: Findings) -> bool:
    """Whether the file speaks of its own video, at 1 fps, and names classes as this one does."""
    faults = []
    if content.get("video") != number_of(path.stem):
        faults.append(f"`video` is {content.get('video')!r}")
    if content.get("fps") != FPS:
        faults.append(f"`fps` is {content.get('fps')!r}, expected {FPS}")
    named = content.get("categories") or {}
    for kind, names in (
        ("instrument", INSTRUMENTS),
        ("verb", VERBS),
        ("target", TARGETS),
        ("triplet", TRIPLETS),
    ):
        if named.get(kind) != {str(i): name for i, name in enumerate(names)}:
            faults.append(f"`categories.{kind}` names other classes or numbers them otherwise")
    for fault in faults:
        findings.error(path, fault, "get the original file")
    frames = len(content["annotations"])
    if content.get("num_frames") != frames:
        problem = f"`num_frames` is {content.get('num_frames')!r} for {frames} labelled frames"
        findings.warning(path, problem, "the file may be cut: compare it with the original")
    return not faults


def _sound_row(path: Path, frame: str, row: Any, findings: Findings) -> bool:
    """Whether a row can be read; one whose parts are not its triplet's is, with a warning."""
    if not isinstance(row, list) or len(row) != ROW:
        size = len(row) if isinstance(row, list) else "no"
        problem = f"frame {frame}: a row of {size} numbers, expected {ROW}"
        findings.error(path, problem, "get the original file")
        return False
    triplet, parts = row[0], (row[1], row[7], row[8])
    if triplet not in range(IGNORED, len(TRIPLETS)):
        problem = f"frame {frame}: unknown triplet {triplet!r}"
        findings.error(path, problem, f"triplets are 0 to {len(TRIPLETS) - 1}, or -1 for none")
        return False
    expected = (IGNORED,) * 3 if triplet == IGNORED else tuple(PARTS_OF[int(triplet)].tolist())
    if any(part not in (IGNORED, own) for part, own in zip(parts, expected, strict=True)):
        problem = f"frame {frame}: parts {parts} are not those of triplet {triplet}"
        findings.warning(path, problem, "the triplet counts")
    return True


def _seconds(folder: Path, labelled_in: Path, findings: Findings) -> list[int]:
    """Second of every picture in the folder, in their order; [] is a finding."""
    found = pictures(folder) if folder.is_dir() else []
    if not found:
        findings.missing.append(folder.name)
        problem = f"no pictures in it, but {labelled_in.name} labels the video"
        findings.error(folder, problem, "restore the video's pictures")
        return []
    strangers = [path for path in found if whole(path.stem) is None]
    if strangers:
        findings.error(strangers[0], "not named by its second", "restore names like 000016.png")
        return []
    seconds = [int(path.stem) for path in found]
    if seconds != list(range(seconds[0], seconds[0] + len(seconds))):
        gaps = sum(after - before != 1 for before, after in itertools.pairwise(seconds))
        problem = f"{gaps} gaps between its pictures {seconds[0]} and {seconds[-1]}"
        findings.warning(folder, problem, "windows of pictures step over them: restore the rest")
    return seconds


def _per_picture(
    seconds: list[int], seen: Mapping[int, list[int]], path: Path, findings: Findings
) -> np.ndarray:
    """Labels (S, 100) int8 of the pictures; rows of -1 where a picture was not labelled."""
    rows = np.full((len(seconds), len(TRIPLETS)), IGNORED, np.int8)
    for i, second in enumerate(seconds):
        if second in seen:
            rows[i] = 0
            rows[i, seen[second]] = 1
    lost = seen.keys() - set(seconds)
    if lost:
        problem = f"{len(lost)} of its {len(seen)} labelled frames have no picture"
        names = listed(f"{second:06d}" for second in lost)
        findings.error(path, f"{problem}: {names}", "restore the pictures")
    return rows


def _check_map(path: Path, findings: Findings) -> None:
    """The copy's map of triplets must be the one that classes are numbered by."""
    if not path.is_file():
        findings.warning(path, "missing", "the published map is taken; restore it to be sure")
        return
    lines = [line for line in read_lines(path, findings) if not line.startswith("#")]
    for number, line in enumerate(lines):
        if number >= len(MAP) or line.split(",") != [str(part) for part in MAP[number]]:
            problem = f"triplet {number} is {line!r}"
            findings.error(path, f"{problem}, which is not its map", "get the original file")
            return
    if len(lines) < len(MAP):
        problem = f"{len(lines)} triplets, expected {len(MAP)}"
        findings.error(path, problem, "get the original file")


def _label_files(root: Path) -> dict[str, Path]:
    """Label file of every video, in natural order of the videos."""
    paths = sorted((root / "labels").glob("*.json"), key=lambda path: natural(path.name))
    found = {match[1]: path for path in paths if (match := _LABELS.fullmatch(path.name))}
    if not found:
        raise BenchmarkError(
            root / "labels",
            "no file named like VID01.json in it",
            "copy the owners' JSON labels there; the older text labels of CholecT45 are not read",
        )
    return found


CHOLECT50 = Benchmark(
    name="cholect50",
    title="CholecT50, action triplets of cholecystectomy",
    task="triplet",
    classes=TRIPLETS,
    splits=SPLITS,
    unit="video",
    main="ap_ivt_videowise",
    licence="CC BY-NC-SA 4.0",
    access="request it from CAMMA, University of Strasbourg (github.com/CAMMA-public/cholect50)",
    reader=read,
    overlaps={"cholec80_train_in_test": cholec80_train_in_test},
    counts=Counts(
        split="cholect50",
        cases={"train": 35, "val": 5, "test": 10},
        classes=len(TRIPLETS),
        source="the owners' loader; they count 100.9 K frames and 151.0 K triplets in all",
        fps=FPS,
    ),
)
