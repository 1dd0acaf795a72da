"""Cholec80 as its owners ship it: videos, a phase per frame, tools per second.

    cholec80/{videos,phase_annotations,tool_annotations}

All seven phases occur, each the motif of its name.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.exact import stream
from unisurg.synthetic.labels import CHOLEC80_TOOLS, tools
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import film, played
from unisurg.synthetic.operation import Operation

WORLD = "laparoscopy-a"
SECONDS = (130, 151)


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    jobs = []
    for number in range(1, settings.phase_videos + 1):
        name = f"video{number:02d}"
        last = root / "cholec80" / "tool_annotations" / f"{name}-tool.txt"
        jobs.append(Job(last, _write_case, (root / "cholec80", name, settings, number, seed)))
    return jobs


def operation(number: int, seed: int) -> Operation:
    """What the video of that number shows."""
    own = seed_of(seed, "cholec80", number)
    return Operation(WORLD, own, int(stream(own, 2).integers(*SECONDS)))


def _write_case(folder: Path, name: str, settings: Theatre, number: int, seed: int) -> None:
    shown, fps = operation(number, seed), settings.phase_fps
    states = film(folder / "videos" / f"{name}.mp4", shown, fps, settings.side_px)
    rows = [f"{frame}\t{phase}" for frame, phase in enumerate(played(states))]
    write_rows(folder / "phase_annotations" / f"{name}-phase.txt", ["Frame\tPhase", *rows])
    seen = tools(shown, states)
    rows = ["\t".join(map(str, [frame, *seen[frame]])) for frame in range(0, len(states), fps)]
    header = "\t".join(["Frame", *CHOLEC80_TOOLS])
    write_rows(folder / "tool_annotations" / f"{name}-tool.txt", [header, *rows])


CHOLEC80 = Layout(
    name="cholec80",
    edition=2,
    settings=("side_px", "phase_videos", "phase_fps"),
    jobs=jobs,
)
