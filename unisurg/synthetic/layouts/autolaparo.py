"""AutoLaparo, task 1, as its owners ship it: videos, and a phase per second.

    autolaparo/task1/{videos/NN.mp4,labels/label_NN.txt}

Phases are numbered from 1 to 7, seconds are counted from 1. Its seven phases are the seven motifs.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, film, operate, played
from unisurg.synthetic.motifs import PHASE_NAMES

WORLD = "pelvis"
FPS = 25
PHASES = {name: number for number, name in enumerate(PHASE_NAMES, start=1)}


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "autolaparo" / "task1"
    return [
        Job(folder / "labels" / f"label_{n:02d}.txt", _write_case, (folder, n, settings, seed))
        for n in range(1, settings.small_videos + 1)
    ]


def _write_case(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    operation = operate(WORLD, seed_of(seed, "autolaparo", number), number, list(PHASES), settings)
    states = film(folder / "videos" / f"{number:02d}.mp4", operation, FPS, settings.small_side_px)
    phases = [PHASES[name] for name in played(states)[::FPS]]
    rows = [f"{second}\t{phase}" for second, phase in enumerate(phases, start=1)]
    write_rows(folder / "labels" / f"label_{number:02d}.txt", ["Frame\tPhase", *rows])


AUTOLAPARO = Layout(name="autolaparo", edition=1, settings=SETTINGS, jobs=jobs)
