"""PmLR50 as its owners ship it: a picture a second, and a phase for each.

    pmlr50/{frames/XX/NNNNNNNN.jpg,phase_annotations/XX.txt}

All five phases occur in every video. Its annotations of blocking and boxes are not written.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, operate, photograph, played

WORLD = "liver"
STEPS = (
    "Preparation",
    "ClippingCutting",
    "CalotTriangleDissection",
    "CleaningCoagulation",
    "GallbladderDissection",
)


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "pmlr50"
    return [
        Job(folder / "phase_annotations" / f"{n:02d}.txt", _write_case, (folder, n, settings, seed))
        for n in range(1, settings.small_videos + 1)
    ]


def _write_case(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    operation = operate(WORLD, seed_of(seed, "pmlr50", number), number, STEPS, settings)
    pictures = folder / "frames" / f"{number:02d}"
    paths = [pictures / f"{second:08d}.jpg" for second in range(operation.seconds)]
    states = photograph(paths, operation, settings.small_side_px)
    phases = [STEPS.index(name) for name in played(states)]
    rows = [f"{second}\t{phase}" for second, phase in enumerate(phases)]
    write_rows(folder / "phase_annotations" / f"{number:02d}.txt", ["Frame\tPhase", *rows])


PMLR50 = Layout(name="pmlr50", edition=1, settings=SETTINGS, jobs=jobs)
