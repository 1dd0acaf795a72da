"""JIGSAWS as its owners ship it: rated trials of three exercises, each filmed by two cameras.

    jigsaws/TASK/video/TASK_SNNN_capture{1,2}.avi
    jigsaws/TASK/transcriptions/TASK_SNNN.txt
    jigsaws/TASK/kinematics/AllGestures/TASK_SNNN.txt   tips of both instruments, 30 rows a second
    jigsaws/TASK/meta_file_TASK.txt                Windows line ends, some columns two tabs apart

A trial's rating is that of the skill which bends its trajectories; the surgeon's level says in what
range it lies. A gesture is a motif. As in the original, Suturing_H002 is filmed and not rated, a
trial that has no video may have a row, and the last gesture of some trials ends behind the last
row of the kinematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from unisurg.benchmarks.jigsaws import CAMERAS, ELEMENTS, FPS, NOT_SHIPPED, SURGEONS, TASKS
from unisurg.settings import Theatre
from unisurg.synthetic.encode import CRF, Encoding
from unisurg.synthetic.exact import SUB, stream
from unisurg.synthetic.layouts.clips import rehearse
from unisurg.synthetic.layouts.files import WINDOWS, write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import shoot
from unisurg.synthetic.motifs import motif
from unisurg.synthetic.operation import Operation, Skill, States
from unisurg.synthetic.scripts import usual_order

WORLD = "bench"
ENCODING = Encoding(".avi", "mpeg4", Fraction(FPS), CRF)
LENGTH, HAND = 2, 3
SPREAD = 4  # a trial is up to a quarter longer or shorter
SHOWN = 4  # gestures of a trial, of its exercise's
# Every part of the split by surgeon has trials of several ratings, and the test all three levels.
LEVELS = dict(zip(SURGEONS, "NEINIENI", strict=True))
# What a level's surgeons can, in thousandths of all there is; levels overlap, as in the original.
TRAITS = {"N": (0, 450), "I": (300, 751), "E": (600, 1001)}
STRAY = 4
# Half as fast as in clips of actions, so that a tremor is told from a motion at 15 frames a second.
PACE = 2
MOTIFS = {
    "G1": "Inspection",
    "G2": "CalotTriangleDissection",
    "G3": "GallbladderPackaging",
    "G4": "GallbladderDissection",
    "G6": "Preparation",
    "G11": "Retraction",
    "G13": "Marking",
    "G15": "Suction",
}
GESTURES = {
    "Suturing": ("G1", "G2", "G3", "G6", "G4"),
    "Needle_Passing": ("G1", "G2", "G3", "G6", "G11"),
    "Knot_Tying": ("G1", "G13", "G15", "G11"),
}
UNRATED = "Suturing_H002"  # is filmed and has no row in the meta file
UNFILMED = {"Needle_Passing": "Needle_Passing_I001", "Knot_Tying": "Knot_Tying_I004"}  # have a row
DISPARITY = 5 * SUB, 7 * SUB  # between the cameras: of the ground, of the nearer instruments
UNTOLD = FPS // 2  # frames before the first gesture and after the last
BEHIND = 2  # rows by which a last gesture ends too late, in trials with an even number


@dataclass(frozen=True)
class Trial:
    """One trial as it is played."""

    operation: Operation
    states: States
    gestures: tuple[str, ...]
    ends: tuple[int, ...]  # frame after the last of each gesture

    @property
    def rows(self) -> list[str]:
        """Of the transcription: first and last row of the kinematics, from 1, and the gesture."""
        starts = [0, *self.ends[:-1]]
        spans = zip(starts, self.ends, self.gestures, strict=True)
        last = len(self.states) - UNTOLD
        return [
            f"{max(start, UNTOLD) + 1} {min(end, last)} {gesture} " for start, end, gesture in spans
        ]


def trials_of(task: str, settings: Theatre) -> list[str]:
    """Names of an exercise's trials that are filmed, like `Suturing_B001`."""
    numbers = range(1, settings.jigsaws_trials + 1)
    missing = {f"{task}_{place}" for place in NOT_SHIPPED[task]} - {UNRATED}
    every = [f"{task}_{letter}{number:03d}" for letter in SURGEONS for number in numbers]
    return [name for name in every if name not in missing]


def place_of(name: str) -> tuple[str, int]:
    """Letter of a trial's surgeon, and which of the surgeon's trials it is, from 1."""
    place = name.rpartition("_")[2]
    return place[0], int(place[1:])


def perform(name: str, settings: Theatre, seed: int) -> Trial:
    """Play the trial of that name."""
    task, (letter, number) = name.rpartition("_")[0], place_of(name)
    surgeon = SURGEONS.index(letter)
    own = seed_of(seed, "jigsaws", (TASKS.index(task) * len(SURGEONS) + surgeon) * 10 + number)
    rng, gestures = stream(own, LENGTH), GESTURES[task]
    order = usual_order(rng, number + surgeon, len(gestures), SHOWN)
    usual = settings.jigsaws_seconds * FPS // len(order)
    lengths = [
        int(n) for n in rng.integers(usual - usual // SPREAD, usual + usual // SPREAD, len(order))
    ]
    chosen = tuple(gestures[step] for step in order)
    motifs = [motif(MOTIFS[gesture]) for gesture in chosen]
    skill = _draw_skill(stream(own, HAND), LEVELS[letter])
    operation, (start, *_) = rehearse(WORLD, own, motifs, lengths, FPS, skill, PACE)
    times = start + np.arange(sum(lengths), dtype=np.int64) * 1000 * PACE // FPS
    states = operation.at(times)
    changes = np.flatnonzero(np.diff(states.phase)) + 1
    return Trial(operation, states, chosen, (*changes.tolist(), len(states)))


def _draw_skill(rng: np.random.Generator, level: str) -> Skill:
    """Steadiness and economy that differ a little, within what the level's surgeons have."""
    usual = int(rng.integers(*TRAITS[level]))
    steadiness, economy = np.clip(usual + rng.integers(-100, 101, 2), 0, 1000).tolist()
    return Skill(steadiness / 1000, economy / 1000, STRAY)


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    return [
        Job(
            root / "jigsaws" / task / "transcriptions" / f"{name}.txt",
            _write_trial,
            (root / "jigsaws" / task, name, settings, seed),
        )
        for task in TASKS
        for name in trials_of(task, settings)
    ]


def finish(root: Path, settings: Theatre, seed: int) -> None:
    """Write the meta files."""
    for task in TASKS:
        rated = [name for name in trials_of(task, settings) if name != UNRATED]
        if task in UNFILMED:
            rated.append(UNFILMED[task])
        rows = [meta_row(name, perform(name, settings, seed)) for name in rated]
        write_rows(root / "jigsaws" / task / f"meta_file_{task}.txt", rows, WINDOWS)


def meta_row(name: str, trial: Trial) -> str:
    """Name, level, rating and the six elements that it sums."""
    grs = trial.operation.skill.grs
    elements = [(grs + place) // len(ELEMENTS) for place in range(len(ELEMENTS))]
    level = LEVELS[place_of(name)[0]]
    return "\t\t".join([name, level, str(grs)]) + "\t\t" + "\t".join(map(str, elements))


def beside(states: States) -> States:
    """The same moments as the second camera sees them, which stands a little to the right."""
    ground, near = (np.array([shift, 0]) for shift in DISPARITY)
    return replace(
        states,
        camera=states.camera + ground,
        tip=states.tip - near,
        port=states.port - near,
    )


def _write_trial(folder: Path, name: str, settings: Theatre, seed: int) -> None:
    trial = perform(name, settings, seed)
    views = (trial.states, beside(trial.states))
    for camera, states in zip(CAMERAS, views, strict=True):
        path = folder / "video" / f"{name}_{camera}.avi"
        shoot(path, trial.operation, states, settings.small_side_px, ENCODING)
    write_labels(folder, name, trial)


def write_labels(folder: Path, name: str, trial: Trial) -> None:
    """The trial's kinematics and its gestures."""
    rows = _tips(trial.states)
    rows = rows[: len(rows) - BEHIND - UNTOLD] if place_of(name)[1] % 2 == 0 else rows
    write_rows(folder / "kinematics" / "AllGestures" / f"{name}.txt", rows)
    write_rows(folder / "transcriptions" / f"{name}.txt", trial.rows, WINDOWS)


def _tips(states: States) -> Sequence[str]:
    """x and y of both tips from the middle of the view, in pixels of a 256-pixel view."""
    return ["  ".join(f"{value / SUB:.3f}" for value in row) for row in states.tip.reshape(-1, 4)]


JIGSAWS = Layout(
    name="jigsaws",
    edition=1,
    settings=("small_side_px", "jigsaws_trials", "jigsaws_seconds"),
    jobs=jobs,
    finish=finish,
)
