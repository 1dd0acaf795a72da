"""OphNet2024 as its owners ship it: the challenge's table of phases, and the trimmed clips.

    ophnet/annotation/OphNet2024_loca_challenge_phase.csv       Windows' line ends
    ophnet/OphNet2024_trimmed_phase/case_0001/case_0001_0.mp4

Eight of the 52 phases occur, those of a cataract operation; every video shows six of them, one
after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.exact import stream
from unisurg.synthetic.layouts.clips import CLIP, PACE, cut, draw_frames, rehearse
from unisurg.synthetic.layouts.files import WINDOWS, write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import part_of
from unisurg.synthetic.motifs import motif
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.scripts import usual_order

WORLD = "eye"
FPS = 25
CLIPS = 6
CATARACT = 0
PHASES = {
    "Marking": 6,
    "Preparation": 0,
    "CalotTriangleDissection": 7,
    "GallbladderPackaging": 1,
    "GallbladderDissection": 8,
    "ClippingCutting": 4,
    "CleaningCoagulation": 11,
    "GallbladderRetraction": 5,
}


@dataclass(frozen=True)
class Plan:
    """An operation, and for each of its clips the start in it (ms), the frames and the phase."""

    operation: Operation
    starts_ms: list[int]
    frames: list[int]
    phases: list[int]


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "ophnet"
    table = folder / "annotation" / "OphNet2024_loca_challenge_phase.csv"
    result = [Job(table, _write_table, (table, settings, seed))]
    for number in range(1, settings.ophnet_videos + 1):
        clips = folder / "OphNet2024_trimmed_phase" / _case(number)
        last = clips / f"{_case(number)}_{CLIPS - 1}.mp4"
        result.append(Job(last, _write_clips, (clips, number, settings, seed)))
    return result


def _case(number: int) -> str:
    return f"case_{number:04d}"


def plan(number: int, settings: Theatre, seed: int) -> Plan:
    """What video `number` shows."""
    own = seed_of(seed, "ophnet", number)
    rng = stream(own, CLIP)
    names = list(PHASES)
    order = [names[step] for step in usual_order(rng, number, len(names), CLIPS)]
    frames = [draw_frames(rng, settings.clip_seconds * FPS) for _ in order]
    operation, starts = rehearse(WORLD, own, [motif(name) for name in order], frames, FPS)
    return Plan(operation, starts, frames, [PHASES[name] for name in order])


def _write_table(path: Path, settings: Theatre, seed: int) -> None:
    rows = ["video_id,start,end,split,surgery_id,phase_id"]
    for number in range(1, settings.ophnet_videos + 1):
        shown = plan(number, settings, seed)
        part = part_of(number, settings.ophnet_videos)
        for start_ms, frames, phase in zip(
            shown.starts_ms, shown.frames, shown.phases, strict=True
        ):
            start = start_ms / (1000 * PACE)
            times = f"{round(start, 2):g},{round(start + frames / FPS, 2):g}"
            rows.append(f"{_case(number)},{times},{part},{CATARACT},{phase}")
    write_rows(path, rows, WINDOWS)


def _write_clips(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    shown = plan(number, settings, seed)
    clips = zip(shown.starts_ms, shown.frames, strict=True)
    for clip, (start, frames) in enumerate(clips):
        path = folder / f"{_case(number)}_{clip}.mp4"
        cut(path, shown.operation, start, frames, FPS, settings.small_side_px)


OPHNET = Layout(
    name="ophnet",
    edition=1,
    settings=("small_side_px", "clip_seconds", "ophnet_videos"),
    jobs=jobs,
)
