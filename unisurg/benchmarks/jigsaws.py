"""JIGSAWS: rated trials of suturing, needle passing and knot tying by eight surgeons.

    TASK/meta_file_TASK.txt                 a row per trial, columns parted by one or two tabs
    TASK/video/TASK_SNNN_capture{1,2}.avi   both cameras of a stereo endoscope, 30 fps
    TASK/transcriptions/TASK_SNNN.txt       `START END GESTURE` in rows of the kinematics, from 1
    TASK/kinematics/AllGestures/TASK_SNNN.txt   30 rows a second, counted but not read here

S is the surgeon (B to I), NNN the trial. A row of the meta file is the trial's name, the surgeon's
experience (N below 10 hours, I below 100, E above), the global rating score (GRS, 6 to 30) and the
six elements (1 to 5) that it sums. A case is a trial, with both cameras. Gao et al., "The JHU-ISI
Gesture and Skill Assessment Working Set", M2CAI 2014.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    LABEL_TOLERANCE_S,
    THEATRE,
    Benchmark,
    Case,
    Counts,
    Findings,
    NamedSplit,
    Part,
    SkillCase,
    Split,
    listed,
    natural,
    split_cases,
)
from unisurg.benchmarks.tables import read_lines, whole

TASKS = ("Suturing", "Needle_Passing", "Knot_Tying")
SURGEONS = "BCDEFGHI"
TRIALS_EACH = 5
LEVELS = ("novice", "intermediate", "expert")
GESTURES = tuple(f"G{number}" for number in range(1, 16))
# Of the GRS and of each of its elements: least and most.
GRS_RANGE, ELEMENT_RANGE = (6, 30), (1, 5)
ELEMENTS = (
    "respect for tissue",
    "suture and needle handling",
    "time and motion",
    "flow of operation",
    "overall performance",
    "quality of final product",
)
FPS = 30
CAMERAS = ("capture1", "capture2")
# Trials that the owners do not ship: without a video or, Suturing_H002, without scores.
NOT_SHIPPED = {
    "Suturing": ("H002",),
    "Needle_Passing": (
        *("B005", "E002", "F002", "F005"),
        *("G001", "G002", "G003", "G004", "G005"),
        *("H001", "H003", "I001"),
    ),
    "Knot_Tying": ("B005", "H001", "H002", "I004"),
}
TRIALS = tuple(
    f"{task}_{letter}{number:03d}"
    for task in TASKS
    for letter in SURGEONS
    for number in range(1, TRIALS_EACH + 1)
    if f"{letter}{number:03d}" not in NOT_SHIPPED[task]
)
_TRIAL = re.compile(rf"({'|'.join(TASKS)})_([{SURGEONS}])(\d{{3}})")
_LEVEL = {"N": 0, "I": 1, "E": 2}


def surgeon(trial: str) -> str:
    """The letter of the trial's surgeon; any other name stands for itself."""
    match = _TRIAL.fullmatch(trial)
    return match[2] if match else trial


def _number(trial: str) -> str:
    return trial[-1]


@dataclass(frozen=True)
class BySurgeon:
    """A rule for surgeons, which all trials of a surgeon follow."""

    rule: Split

    @property
    def note(self) -> str:
        return f"by surgeon: {self.rule.note}"

    @property
    def refit(self) -> bool:
        return self.rule.refit

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        parts = self.rule.assign({surgeon(trial): None for trial in stated}, findings)
        return {trial: parts[surgeon(trial)] for trial in stated if surgeon(trial) in parts}


def _louo(test: str) -> NamedSplit:
    val = SURGEONS[(SURGEONS.index(test) + 1) % len(SURGEONS)]
    return NamedSplit(
        note=f"leave one user out: surgeon {test} tests. There is no validation list: probes are "
        f"chosen on surgeon {val} and then trained on all others.",
        train=tuple(trial for trial in TRIALS if surgeon(trial) not in (test, val)),
        val=tuple(trial for trial in TRIALS if surgeon(trial) == val),
        test=tuple(trial for trial in TRIALS if surgeon(trial) == test),
        refit=True,
    )


def _loso(test: int) -> NamedSplit:
    val = test % TRIALS_EACH + 1
    return NamedSplit(
        note=f"leave one super-trial out: trial {test} of every surgeon tests, so that every "
        "surgeon is on both sides. There is no validation list: probes are chosen on the trials "
        f"{val} and then trained on all others.",
        train=tuple(trial for trial in TRIALS if _number(trial) not in (str(test), str(val))),
        val=tuple(trial for trial in TRIALS if _number(trial) == str(val)),
        test=tuple(trial for trial in TRIALS if _number(trial) == str(test)),
        refit=True,
    )


SPLITS: dict[str, Split] = {
    **{f"louo-{name}": _louo(name) for name in SURGEONS},
    **{f"loso-{number}": _loso(number) for number in range(1, TRIALS_EACH + 1)},
    "theatre": BySurgeon(THEATRE),
}


@dataclass(frozen=True)
class Rating:
    """One row of a meta file: GRS (6 to 30), its six elements (1 to 5), index of the level."""

    grs: int
    elements: tuple[int, ...]
    level: int


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split, named like `Suturing_B001`."""
    folders = {task: folder for task in TASKS if (folder := _task_folder(root, task, findings))}
    ratings: dict[str, Rating] = {}
    for task, folder in folders.items():
        found = read_ratings(folder / f"meta_file_{task}.txt", task, findings)
        ratings |= _filmed(folder / "video", found, findings)
    parts = split_cases({trial: trial for trial in ratings}, split, findings)
    return [
        _case(folders[_task(trial)], trial, ratings[trial], part, findings)
        for trial, part in parts.items()
    ]


def read_ratings(path: Path, task: str, findings: Findings) -> dict[str, Rating]:
    """Rating of every trial of a meta file whose row can be read."""
    found: dict[str, Rating] = {}
    for number, line in enumerate(read_lines(path, findings), start=1):
        if not line.strip():
            continue
        # The owners part some columns by two tabs: a strict table would see empty columns.
        name, *fields = line.split()
        match = _TRIAL.fullmatch(name)
        if match is None or match[1] != task:
            findings.error(path, f"{name!r} is no trial of {task}", "repair the row", number)
        elif name in found:
            findings.error(path, f"a second row of {name}", "keep one of the two", number)
        else:
            rating = _rating(path, number, fields, findings)
            if rating is not None:
                found[name] = rating
    return found


def read_gestures(path: Path, rows: int | None, findings: Findings) -> np.ndarray:
    """Index of the gesture at every row of the kinematics, (S,) int64, -1 where none is told.

    S is `rows`, or the last gesture's end where `rows` is None. Starts and ends count from 1 and
    belong to the gesture. An end that lies a little behind the last row is cut to it, a note.
    """
    spans = _spans(path, findings)
    length = max((end for _, end, _ in spans), default=0) if rows is None else rows
    labels = np.full(length, IGNORED, np.int64)
    for start, end, gesture in spans:
        labels[start - 1 : end] = gesture
    last = max((end for _, end, _ in spans), default=0)
    if last > length + LABEL_TOLERANCE_S * FPS:
        problem = f"a gesture ends at row {last}, but the kinematics have {length} rows"
        findings.error(path, problem, "the two are of different trials: restore the pair")
    elif last > length:
        problem = f"a gesture ends {last - length} rows after the {length} of the kinematics"
        findings.note(path, problem, "it is cut to the last row")
    return labels


def _task(trial: str) -> str:
    return trial.rpartition("_")[0]


def _task_folder(root: Path, task: str, findings: Findings) -> Path | None:
    """The folder with the task's meta file; some unpackers put it into another of its name."""
    for folder in (root / task, root / task / task):
        if (folder / f"meta_file_{task}.txt").is_file():
            return folder
    findings.error(root / task, f"no meta_file_{task}.txt in it", f"unpack the archive of {task}")
    return None


def _rating(path: Path, number: int, fields: list[str], findings: Findings) -> Rating | None:
    if len(fields) != 2 + len(ELEMENTS):
        problem = f"{len(fields) + 1} columns, expected {3 + len(ELEMENTS)}"
        findings.error(path, problem, "repair the row", number)
        return None
    level, grs, *elements = fields[0], *map(whole, fields[1:])
    known = [value for value in elements if value is not None and _within(value, ELEMENT_RANGE)]
    if level not in _LEVEL:
        findings.error(path, f"unknown level {level!r}", "levels are N, I and E", number)
    elif grs is None or not _within(grs, GRS_RANGE):
        problem = f"a rating of {fields[1]}"
        findings.error(path, problem, "ratings are 6 to 30: repair the row", number)
    elif len(known) != len(elements):
        problem = f"elements {', '.join(fields[2:])}"
        findings.error(path, problem, "elements are 1 to 5: repair the row", number)
    else:
        if sum(known) != grs:
            problem = f"the rating is {grs}, its elements sum to {sum(known)}"
            findings.warning(path, problem, "the rating is taken", number)
        return Rating(grs, tuple(known), _LEVEL[level])
    return None


def _within(value: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _filmed(folder: Path, ratings: Mapping[str, Rating], findings: Findings) -> dict[str, Rating]:
    """Ratings of the trials that both cameras filmed; what lacks one or the other is told."""
    stems = {path.stem for path in folder.glob("*.avi")}
    both: dict[str, Rating] = {}
    for trial, rating in ratings.items():
        absent = [f"{trial}_{camera}.avi" for camera in CAMERAS if f"{trial}_{camera}" not in stems]
        if not absent:
            both[trial] = rating
        elif trial in TRIALS:
            findings.missing.append(trial)
            findings.error(folder, f"no {' and no '.join(absent)}", "restore the videos")
        else:
            findings.note(folder, f"no video of {trial}", "the owners ship none; it is left out")
    for trial in sorted({stem.rpartition("_")[0] for stem in stems} - ratings.keys(), key=natural):
        if trial in TRIALS:
            findings.error(folder, f"{trial} has no row in the meta file", "restore the row")
        else:
            findings.note(folder, f"{trial} has no ratings", "the owners give none; it is left out")
    return both


def _case(folder: Path, trial: str, rating: Rating, part: Part, findings: Findings) -> SkillCase:
    return SkillCase(
        case=trial,
        task=_task(trial),
        videos=tuple(folder / "video" / f"{trial}_{camera}.avi" for camera in CAMERAS),
        split=part,
        rating=rating.grs,
        elements=rating.elements,
        level=rating.level,
        gestures=_gestures(folder, trial, findings),
        fps=FPS,
        every_s=1 / FPS,
        group=trial,
    )


def _gestures(folder: Path, trial: str, findings: Findings) -> np.ndarray:
    """Gestures of a trial; none at all where nobody transcribed it, a warning."""
    path = folder / "transcriptions" / f"{trial}.txt"
    if not path.is_file():
        findings.warning(path, "missing", "the trial is rated all the same; restore the gestures")
        return np.empty(0, np.int64)
    kinematics = folder / "kinematics" / "AllGestures" / f"{trial}.txt"
    rows = len(kinematics.read_bytes().splitlines()) if kinematics.is_file() else None
    return read_gestures(path, rows, findings)


def _spans(path: Path, findings: Findings) -> list[tuple[int, int, int]]:
    """Start, end and index of the gesture of every row that can be read, in order of time."""
    spans: list[tuple[int, int, int]] = []
    for number, line in enumerate(read_lines(path, findings), start=1):
        fields = line.split()
        if not fields:
            continue
        start, end = (whole(field) for field in (*fields, "", "")[:2])
        if len(fields) != 3 or start is None or end is None:
            problem = f"{line!r} is not START END GESTURE"
            findings.error(path, problem, "repair the row", number)
        elif fields[2] not in GESTURES:
            problem = f"unknown gesture {fields[2]!r}"
            findings.error(path, problem, f"gestures are {listed(GESTURES, 15)}", number)
        elif not (spans[-1][1] if spans else 0) < start <= end:
            problem = f"rows {start} to {end} do not follow what is before them"
            findings.error(path, problem, "gestures must neither overlap nor go back", number)
        else:
            spans.append((start, end, GESTURES.index(fields[2])))
    return spans


JIGSAWS = Benchmark(
    name="jigsaws",
    title="JIGSAWS, skill in three exercises of robotic surgery",
    task="skill",
    classes=LEVELS,
    splits=SPLITS,
    unit="trial",
    main="closeness_grs_over_trials",
    licence="research only, no redistribution",
    access="register at cirl.lcsr.jhu.edu/research/hmm/datasets/jigsaws_release",
    reader=read,
    counts=Counts(
        split="louo-B",
        cases={"train": 90, "test": 13},
        classes=len(LEVELS),
        source="103 trials with videos and ratings: 39 of suturing, 28 of needle passing, 36 of "
        "knot tying",
        fps=FPS,
    ),
)
