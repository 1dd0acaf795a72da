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
        operation_seed = seed_of(seed, "cholec80", number)
        jobs.append(Job(last, _write_case, (root / "cholec80", name, settings, operation_seed)))
    return jobs


def _write_case(folder: Path, name: str, settings: Theatre, seed: int) -> None:
    fps = settings.phase_fps
    seconds = int(stream(seed, 2).integers(*SECONDS))
    operation = Operation(WORLD, seed, seconds)
    states = film(folder / "videos" / f"{name}.mp4", operation, fps, settings.side_px)
    rows = [f"{frame}\t{phase}" for frame, phase in enumerate(played(states))]
    write_rows(folder / "phase_annotations" / f"{name}-phase.txt", ["Frame\tPhase", *rows])
    seen = tools(operation, states)
    rows = ["\t".join(map(str, [frame, *seen[frame]])) for frame in range(0, len(states), fps)]
    header = "\t".join(["Frame", *CHOLEC80_TOOLS])
    write_rows(folder / "tool_annotations" / f"{name}-tool.txt", [header, *rows])


CHOLEC80 = Layout(
    name="cholec80",
    edition=2,
    settings=("side_px", "phase_videos", "phase_fps"),
    jobs=jobs,
)
