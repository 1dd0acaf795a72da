"""PitVis-2023 as its owners ship it: videos, and steps and instruments per second.

    pitvis/{video_NN.mp4,annotations_NN.csv,map_steps.csv,map_instruments.csv}

Windows' line ends in the annotations; one row more than the video has seconds. Nine steps occur,
and all that the challenge leaves out: -1 before and after every operation, 11 in every other one,
13 in every third. Where the step is -1, so is the first instrument.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.exact import ONE
from unisurg.synthetic.layouts.files import WINDOWS, write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import SETTINGS, film, operate, played
from unisurg.synthetic.operation import Operation, States

WORLD = "nose"
FPS, OTHER_FPS = 24, {24: 25}
NOT_OPERATING = -1
STEPS = {
    "Preparation": 1,
    "CalotTriangleDissection": 2,
    "GallbladderDissection": 4,
    "ClippingCutting": 5,
    "CleaningCoagulation": 6,
    "GallbladderPackaging": 7,
    "GallbladderRetraction": 8,
    "Marking": 10,
    "Swabbing": 14,
}
SELDOM = {"Suturing": (11, 2), "Irrigation": (13, 3)}  # step, and in one of so many operations
NUMBERS = STEPS | {name: step for name, (step, _) in SELDOM.items()} | {"Outside": NOT_OPERATING}
STEP_NAMES = (
    "-1,operation_ended",
    "-1,operation_not_started",
    "-1,out_of_patient",
    "1,nasal corridor creation ",
    "2,anterior sphenoidotomy",
    "3,septum displacement",
    "4,sphenoid sinus clearance",
    "5,sellotomy",
    "6,durotomy",
    "7,tumour excision",
    "8,haemostasis",
    "9,synthetic_graft_placement",
    "10,fat graft placement",
    "11,gasket seal construct",
    "12,dural sealant",
    "13,nasal packing",
    "14,debris clearance",
)
NOT_IN_PATIENT, NONE_VISIBLE, NO_SECOND = -1, 0, -2
INSTRUMENTS = {"FreerElevator": 5, "Rongeur": 11, "RingCurette": 13, "Suction": 16}
INSTRUMENT_NAMES = (
    "-2,no_secondary_instrument",
    "-1,out_of_patient",
    "0,no_visible_instrument",
    "0,occluded_image_inside_patient",
    "5,freer_elevator",
    "11,pituitary_rongeurs",
    "13,ring_curette",
    "16,suction",
)


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "pitvis"
    return [
        Job(folder / "map_steps.csv", _write_maps, (folder,)),
        *(
            Job(folder / f"annotations_{n:02d}.csv", _write_case, (folder, n, settings, seed))
            for n in range(1, settings.small_videos + 1)
        ),
    ]


def _write_maps(folder: Path) -> None:
    rows = ["int_instrument,str_instrument", *INSTRUMENT_NAMES]
    write_rows(folder / "map_instruments.csv", rows)
    write_rows(folder / "map_steps.csv", ["int_step,str_step", *STEP_NAMES])


def _write_case(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    operation = _operate(number, settings, seed)
    fps = OTHER_FPS.get(number, FPS)
    states = film(folder / f"video_{number:02d}.mp4", operation, fps, settings.small_side_px)
    rows = []
    for second, name in enumerate(played(states)[::fps]):
        instruments = _instruments(operation, states[second * fps], NUMBERS[name])
        rows.append(f"{number},{second},{NUMBERS[name]},{instruments}")
    ended = f"{number},{operation.seconds},{NOT_OPERATING},{NOT_IN_PATIENT},{NO_SECOND}"
    header = "int_video,int_time,int_step,int_instrument1,int_instrument2"
    write_rows(folder / f"annotations_{number:02d}.csv", [header, *rows, ended], WINDOWS)


def _operate(number: int, settings: Theatre, seed: int) -> Operation:
    """Operation `number`: not operating, the steps in their usual order, not operating."""
    seldom = [name for name, (_, every) in SELDOM.items() if number % every == 0]
    own = seed_of(seed, "pitvis", number)
    after = [*seldom, "Outside"]
    return operate(WORLD, own, number, list(STEPS), settings, before=["Outside"], after=after)


def _instruments(operation: Operation, state: States, step: int) -> str:
    """The two instrument columns: the numbers of what is in the picture, the lower first."""
    if step == NOT_OPERATING:
        return f"{NOT_IN_PATIENT},{NO_SECOND}"
    seen = {
        INSTRUMENTS[operation.world.instruments[state.kind[hand]].name]
        for hand in range(2)
        if state.inserted[hand] > ONE // 2
    }
    first, second = [*(sorted(seen) or [NONE_VISIBLE]), NO_SECOND][:2]
    return f"{first},{second}"


PITVIS = Layout(name="pitvis", edition=1, settings=SETTINGS, jobs=jobs)
