"""CholecT50 as its owners ship it: a picture a second, and the triplets of each.

    cholect50/{videos/VIDNN/NNNNNN.png,labels/VIDNN.json,label_mapping.txt}

What the hands hold follows from the phase, as in the operating room: clips are set in the phase of
clipping alone. Videos are counted from 81: up to 80 a number is that of an operation of Cholec80,
and these are others. Seconds at which an instrument is on its way in or out are not labelled and
have no key. Boxes are not written (-1, as in most of its files).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unisurg.benchmarks.cholect50 import INSTRUMENTS, MAP, PARTS_OF, TARGETS, TRIPLETS, VERBS
from unisurg.settings import Theatre
from unisurg.synthetic.exact import ONE
from unisurg.synthetic.labels import Triplet, frame_times, triplets
from unisurg.synthetic.layouts.files import write_image, write_rows, write_text
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, operate, played
from unisurg.synthetic.motifs import PHASE_NAMES, REPERTOIRE
from unisurg.synthetic.operation import Operation, Script, States
from unisurg.synthetic.render import Renderer
from unisurg.synthetic.worlds import WORLDS

WORLD = "laparoscopy-a"
FIRST_NUMBER = 81
FPS = 1
# The low bits of a colour, which no eye tells, would make a lossless picture twice as large.
KEPT_BITS = 0xF8
# The owners' names of Cholec80's phases.
PHASES = (
    "preparation",
    "carlot-triangle-dissection",
    "clipping-and-cutting",
    "gallbladder-dissection",
    "gallbladder-packaging",
    "cleaning-and-coagulation",
    "gallbladder-extraction",
)
# Where the owners' map has no triplet of an instrument and a region, what lies there is called by
# the name of a target that it does have.
CALLED: dict[tuple[str, str], str] = {
    ("hook", "liver"): "peritoneum",
    ("scissors", "gallbladder"): "cystic_duct",
    ("clipper", "gallbladder"): "cystic_duct",
    ("clipper", "liver"): "cystic_artery",
    ("clipper", "omentum"): "blood_vessel",
    ("irrigator", "gallbladder"): "cystic_pedicle",
    ("irrigator", "cystic_plate"): "abdominal_wall_cavity",
    ("irrigator", "omentum"): "abdominal_wall_cavity",
}
# What the main hand and its assistant hold in each phase: one of these.
HELD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Preparation": (("grasper",), ("grasper",)),
    "CalotTriangleDissection": (("hook", "bipolar"), ("grasper",)),
    "ClippingCutting": (("clipper", "scissors"), ("grasper",)),
    "GallbladderDissection": (("grasper",), ("hook", "bipolar")),
    "GallbladderPackaging": (("grasper",), ("grasper",)),
    "CleaningCoagulation": (("bipolar", "grasper"), ("irrigator",)),
    "GallbladderRetraction": (("grasper",), ("grasper",)),
}
NAMES = [instrument.name.lower() for instrument in WORLDS[WORLD].instruments]
NO_BOX = [-1.0] * 4


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "cholect50"
    mapping = folder / "label_mapping.txt"
    return [Job(mapping, _write_mapping, (mapping,))] + [
        Job(folder / "labels" / f"{name_of(n)}.json", _write_case, (folder, n, settings, seed))
        for n in range(1, settings.small_videos + 1)
    ]


def name_of(number: int) -> str:
    """Of operation `number`, counted from 1."""
    return f"VID{FIRST_NUMBER - 1 + number}"


def operation_of(number: int, settings: Theatre, seed: int) -> Operation:
    of_seed = seed_of(seed, "cholect50", number)
    planned = operate(WORLD, of_seed, number, PHASE_NAMES, settings)
    held = [HELD[REPERTOIRE[phase].name] for phase in planned.phases]
    turn = number % 2  # of two instruments for one thing, one operation takes the one
    kinds = [[NAMES.index(names[turn % len(names)]) for names in hands] for hands in held]
    script = Script(planned.starts_ms, planned.phases, np.array(kinds))
    return Operation(WORLD, of_seed, planned.seconds, script=script)


def official(triplet: Triplet) -> int:
    """Number of a triplet of the theatre in the owners' map."""
    instrument, verb, region = triplet
    target = CALLED.get((instrument, region), region)
    return TRIPLETS.index(f"{instrument},{verb},{target}")


def labelled(state: States) -> bool:
    """Whether every instrument is either in place or away."""
    return bool(np.isin(state.inserted, (0, ONE)).all())


def _write_case(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    operation, side = operation_of(number, settings, seed), settings.small_side_px
    renderer = Renderer(operation, side, side)
    times = frame_times(operation.seconds, (FPS, 1))
    states = operation.at(times)
    phases = [PHASE_NAMES.index(name) for name in played(states)]
    annotations: dict[str, list[list[float]]] = {}
    for second, ms in enumerate(times.tolist()):
        picture = Image.fromarray(renderer.rgb(states[second]) & KEPT_BITS)
        write_image(folder / "videos" / name_of(number) / f"{second:06d}.png", picture)
        if labelled(states[second]):
            seen = sorted({official(triplet) for triplet in triplets(operation, renderer, ms)})
            rows = [_row(triplet, phases[second]) for triplet in seen]
            annotations[str(second)] = rows or [_absent(phases[second])]
    content = _header(FIRST_NUMBER - 1 + number, len(annotations)) | {"annotations": annotations}
    write_text(folder / "labels" / f"{name_of(number)}.json", json.dumps(content) + "\n")


def _row(triplet: int, phase: int) -> list[float]:
    """Triplet; instrument, score, box; verb; target, score, box; phase."""
    i, v, t = PARTS_OF[triplet].tolist()
    return [triplet, i, 1.0, *NO_BOX, v, t, 1.0, *NO_BOX, phase]


def _absent(phase: int) -> list[float]:
    return [-1, -1, -1.0, *NO_BOX, -1, -1, -1.0, *NO_BOX, phase]


def _header(video: int, frames: int) -> dict[str, Any]:
    kinds = {
        "instrument": INSTRUMENTS,
        "verb": VERBS,
        "target": TARGETS,
        "phase": PHASES,
        "triplet": TRIPLETS,
    }
    categories = {
        kind: {str(i): name for i, name in enumerate(names)} for kind, names in kinds.items()
    }
    return {"video": video, "fps": FPS, "num_frames": frames, "categories": categories}


def _write_mapping(path: Path) -> None:
    rows = [",".join(str(part) for part in row) for row in MAP.tolist()]
    write_rows(path, ["# IVT, I, V, T, IV, IT", *rows])


CHOLECT50 = Layout(name="cholect50", edition=1, settings=SETTINGS, jobs=jobs)
