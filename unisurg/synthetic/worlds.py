"""The visual worlds: what each source of recordings looks like, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Instrument:
    """An instrument: its name, what it does to tissue when it closes, and its shape in pixels."""

    name: str
    verb: str
    jaws: int
    jaw_length: int
    jaw_width: int
    shaft_width: int
    shaft: Colour


GRASPER = Instrument("Grasper", "grasp", 2, 40, 11, 21, (62, 64, 70))
BIPOLAR = Instrument("Bipolar", "coagulate", 2, 35, 10, 17, (44, 62, 104))
HOOK = Instrument("Hook", "dissect", 1, 33, 10, 17, (70, 58, 50))
SCISSORS = Instrument("Scissors", "cut", 2, 38, 10, 17, (74, 76, 80))
CLIPPER = Instrument("Clipper", "clip", 2, 33, 13, 23, (112, 114, 118))
IRRIGATOR = Instrument("Irrigator", "irrigate", 1, 25, 13, 17, (128, 130, 134))
PROBE = Instrument("Probe", "palpate", 1, 35, 6, 15, (136, 138, 144))
SHAVER = Instrument("Shaver", "resect", 1, 30, 15, 21, (118, 120, 128))
PUNCH = Instrument("Punch", "cut", 2, 30, 11, 17, (120, 122, 126))
SNARE = Instrument("Snare", "snare", 1, 35, 6, 13, (86, 110, 148))
FORCEPS = Instrument("Forceps", "biopsy", 2, 25, 10, 13, (60, 96, 150))


@dataclass(frozen=True)
class Camera:
    """How the camera is held: rests, then moves by at most these amounts."""

    hold_ms: tuple[int, int]
    pan_px: int
    span: int  # change of scale, of 1024
    roll_deg: int


@dataclass(frozen=True)
class World:
    """A source of recordings. Colours are RGB; `tissue` runs from deep to raised."""

    specialty: str
    projection: Literal["bowl", "tunnel"]
    instruments: tuple[Instrument, ...]
    hands: int  # instruments in the picture, 0..2
    targets: tuple[str, str, str, str]  # names of regions: ground, back, organ, fat
    tissue: tuple[Colour, ...]
    back: Colour
    organ: Colour
    fat: Colour
    fat_share: int  # of 1024
    vessel: Colour
    film: Colour
    field: int  # radius of the round field, of 1024 half short sides
    camera: Camera
    lesions: int
    left_handed: int  # share of the surgeons, of 1024


LAPAROSCOPY_A = World(
    specialty="general_surgery",
    projection="bowl",
    instruments=(GRASPER, BIPOLAR, HOOK, SCISSORS, CLIPPER, IRRIGATOR),
    hands=2,
    targets=("cystic_plate", "liver", "gallbladder", "omentum"),
    tissue=((96, 26, 26), (168, 62, 56), (206, 104, 92), (228, 146, 128)),
    back=(104, 38, 34),
    organ=(140, 146, 112),
    fat=(222, 186, 92),
    fat_share=330,
    vessel=(128, 18, 26),
    film=(112, 8, 12),
    field=980,
    camera=Camera((14_000, 26_000), 12, 60, 2),
    lesions=0,
    left_handed=0,
)
LAPAROSCOPY_B = World(
    specialty="general_surgery",
    projection="bowl",
    instruments=(GRASPER, BIPOLAR, SCISSORS, CLIPPER, IRRIGATOR),
    hands=2,
    targets=("mesentery", "liver", "gallbladder", "omentum"),
    tissue=((122, 44, 40), (188, 92, 74), (214, 130, 104), (232, 172, 142)),
    back=(86, 30, 40),
    organ=(116, 138, 136),
    fat=(232, 204, 128),
    fat_share=420,
    vessel=(146, 34, 48),
    film=(134, 18, 20),
    field=1180,
    camera=Camera((9000, 18_000), 16, 90, 4),
    lesions=0,
    left_handed=200,
)
COLONOSCOPY = World(
    specialty="colonoscopy",
    projection="tunnel",
    instruments=(SNARE, FORCEPS),
    hands=1,
    targets=("mucosa", "fold", "polyp", "residue"),
    tissue=((150, 62, 52), (202, 108, 88), (222, 140, 114), (236, 168, 142)),
    back=(196, 100, 84),
    organ=(206, 98, 84),
    fat=(204, 164, 74),
    fat_share=60,
    vessel=(168, 52, 54),
    film=(150, 120, 60),
    field=1100,
    camera=Camera((6000, 12_000), 10, 0, 20),
    lesions=7,
    left_handed=200,
)
ARTHROSCOPY = World(
    specialty="skills_training",
    projection="bowl",
    instruments=(PROBE, SHAVER, PUNCH),
    hands=2,
    targets=("cartilage", "bone", "meniscus", "synovium"),
    tissue=((150, 112, 92), (198, 172, 146), (222, 206, 184), (238, 230, 214)),
    back=(176, 128, 104),
    organ=(226, 206, 160),
    fat=(206, 134, 116),
    fat_share=360,
    vessel=(172, 74, 68),
    film=(196, 196, 190),
    field=930,
    camera=Camera((9000, 18_000), 14, 80, 9),
    lesions=0,
    left_handed=200,
)
COLONOSCOPY_STILL = replace(COLONOSCOPY, hands=0, lesions=0, field=1250)
WORLDS = {
    "laparoscopy-a": LAPAROSCOPY_A,
    "laparoscopy-b": LAPAROSCOPY_B,
    "colonoscopy": COLONOSCOPY,
    "arthroscopy": ARTHROSCOPY,
    "colonoscopy-still": COLONOSCOPY_STILL,
}
