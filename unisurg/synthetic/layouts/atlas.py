"""Atlas-Neurosurgical in the layout of one's own data, since its owners publish none.

    atlas/{labels.csv,videos/caseNN.mp4}

Phases 0 to 6 are the seven motifs; spans of `labels.csv` are exact to the millisecond.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, film, operate, part_of
from unisurg.synthetic.motifs import PHASE_NAMES
from unisurg.synthetic.operation import Operation

WORLD = "brain"
FPS = 10


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "atlas"
    videos = [folder / _video(number) for number in range(1, settings.small_videos + 1)]
    return [
        Job(folder / "labels.csv", _write_table, (folder, settings, seed)),
        *(
            Job(video, _write_video, (video, number, settings, seed))
            for number, video in enumerate(videos, start=1)
        ),
    ]


def _video(number: int) -> str:
    return f"videos/case{number:02d}.mp4"


def _operate(number: int, settings: Theatre, seed: int) -> Operation:
    return operate(WORLD, seed_of(seed, "atlas", number), number, PHASE_NAMES, settings)


def _write_video(path: Path, number: int, settings: Theatre, seed: int) -> None:
    film(path, _operate(number, settings, seed), FPS, settings.small_side_px)


def _write_table(folder: Path, settings: Theatre, seed: int) -> None:
    rows = ["video,start_s,end_s,label,split"]
    for number in range(1, settings.small_videos + 1):
        operation = _operate(number, settings, seed)
        part = part_of(number, settings.small_videos)
        ends = np.append(operation.starts_ms[1:], operation.span_ms)
        for start, end, phase in zip(operation.starts_ms, ends, operation.phases, strict=True):
            span = f"{start / 1000:.3f},{end / 1000:.3f}"
            rows.append(f"{_video(number)},{span},{phase},{part}")
    write_rows(folder / "labels.csv", rows)


ATLAS = Layout(name="atlas", edition=1, settings=SETTINGS, jobs=jobs)
