"""SurgicalActions160 as its owners ship it: a folder of short clips for each of 16 actions.

    surgicalactions160/01_abdominal_access/01_01.mp4 ... 16_endobag-out/16_10.mp4

Action n is the n-th motif of the repertoire, which has just as many.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.benchmarks.surgicalactions160 import FOLDERS
from unisurg.settings import Theatre
from unisurg.synthetic.exact import stream
from unisurg.synthetic.layouts.clips import CLIP, cut, draw_frames, rehearse
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of

WORLD = "pelvis"
FPS = 25


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    result = []
    for action, name in enumerate(FOLDERS):
        for clip in range(1, settings.surgicalactions160_clips + 1):
            path = root / "surgicalactions160" / name / f"{name[:2]}_{clip:02d}.mp4"
            own = seed_of(seed, "surgicalactions160", action * 100 + clip)
            result.append(Job(path, _write_clip, (path, action, settings, own)))
    return result


def _write_clip(path: Path, action: int, settings: Theatre, seed: int) -> None:
    frames = draw_frames(stream(seed, CLIP), settings.clip_seconds * FPS)
    operation, starts = rehearse(WORLD, seed, [action], [frames], FPS)
    cut(path, operation, starts[0], frames, FPS, settings.small_side_px)


SURGICALACTIONS160 = Layout(
    name="surgicalactions160",
    edition=1,
    settings=("small_side_px", "clip_seconds", "surgicalactions160_clips"),
    jobs=jobs,
)
