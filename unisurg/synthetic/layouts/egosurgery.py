"""EgoSurgery-Phase as its owners ship it: pictures every 2 seconds, and a phase for each.

    egosurgery/{images/XX/XX_Y_NNNN.jpg,annotations/phase/XX_Y.csv}

Every third video has two recordings. The surgeon moves at half speed, so that pictures every
2 seconds show as much of a motion as other videos do every second. All nine phases occur.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, operate, photograph, played

WORLD = "open"
PHASES = {
    "Swabbing": "disinfection",
    "Marking": "design",
    "ClippingCutting": "anesthesia",
    "CalotTriangleDissection": "incision",
    "GallbladderDissection": "dissection",
    "CleaningCoagulation": "hemostasis",
    "GallbladderPackaging": "irrigation",
    "GallbladderRetraction": "closure",
    "Preparation": "dressing",
}
ABSENT = 16  # the owners' list of videos has no such number


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "egosurgery"
    result = []
    for number in range(1, settings.small_videos + 1):
        name = f"{number + (number >= ABSENT):02d}"
        last = folder / "annotations" / "phase" / f"{name}_{_recordings(number)}.csv"
        result.append(Job(last, _write_case, (folder, name, number, settings, seed)))
    return result


def _recordings(number: int) -> int:
    return 2 if number % 3 == 0 else 1


def _write_case(folder: Path, name: str, number: int, settings: Theatre, seed: int) -> None:
    own = seed_of(seed, "egosurgery", number)
    operation = operate(WORLD, own, number, list(PHASES), settings)
    count = _recordings(number)
    ends = [operation.seconds * i // count for i in range(count + 1)]
    names = [
        [f"{name}_{recording}_{picture:04d}" for picture in range(1, end - start + 1)]
        for recording, (start, end) in enumerate(pairwise(ends), start=1)
    ]
    paths = [folder / "images" / name / f"{stem}.jpg" for part in names for stem in part]
    states = photograph(paths, operation, settings.small_side_px)
    phases = iter(PHASES[name] for name in played(states))
    for recording, part in enumerate(names, start=1):
        rows = [f"{stem},{next(phases)}" for stem in part]
        path = folder / "annotations" / "phase" / f"{name}_{recording}.csv"
        write_rows(path, ["Frame,Phase", *rows])


EGOSURGERY = Layout(name="egosurgery", edition=1, settings=SETTINGS, jobs=jobs)
