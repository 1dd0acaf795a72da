"""M2CAI16-workflow as its owners ship it: videos, a phase per frame, and the same by the clock.

    m2cai16/train_dataset/workflow_video_NN.{mp4,txt}, ..._timestamp.txt
    m2cai16/test_dataset/test_workflow_video_NN.{mp4,txt}, ..._timestamp.txt

Frames are counted from 1, at 25 per second. It has Cholec80's phases and TrocarPlacement, during
which no instrument is in the picture yet.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, film, operate, played
from unisurg.synthetic.motifs import PHASE_NAMES

WORLD = "laparoscopy-a"
FPS = 25
PHASES = {"Outside": "TrocarPlacement"} | {name: name for name in PHASE_NAMES}


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    train = settings.small_videos - settings.small_videos // 3
    result = []
    for number in range(1, settings.small_videos + 1):
        if number <= train:
            stem = root / "m2cai16" / "train_dataset" / f"workflow_video_{number:02d}"
        else:
            stem = root / "m2cai16" / "test_dataset" / f"test_workflow_video_{number - train:02d}"
        last = stem.with_name(f"{stem.name}.txt")
        result.append(Job(last, _write_case, (stem, number, settings, seed)))
    return result


def _write_case(stem: Path, number: int, settings: Theatre, seed: int) -> None:
    operation = operate(WORLD, seed_of(seed, "m2cai16", number), number, list(PHASES), settings)
    states = film(stem.with_suffix(".mp4"), operation, FPS, settings.small_side_px)
    phases = [PHASES[name] for name in played(states)]
    clock = [f"{_clock(frame)}\t{phase}" for frame, phase in enumerate(phases, start=1)]
    write_rows(stem.with_name(f"{stem.name}_timestamp.txt"), ["Time\tPhase", *clock])
    rows = [f"{frame}\t{phase}" for frame, phase in enumerate(phases, start=1)]
    write_rows(stem.with_suffix(".txt"), ["Frame\tPhase", *rows])


def _clock(frame: int) -> str:
    """The frame's time as 00:00:00.04."""
    seconds, rest = divmod(frame, FPS)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{rest * 100 // FPS:02d}"


M2CAI16 = Layout(name="m2cai16", edition=1, settings=SETTINGS, jobs=jobs)
