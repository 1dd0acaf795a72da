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
NEEDLE_HOLDER = Instrument("NeedleHolder", "suture", 2, 28, 12, 19, (150, 140, 110))
ELEVATOR = Instrument("FreerElevator", "dissect", 1, 38, 8, 13, (132, 134, 142))
RONGEUR = Instrument("Rongeur", "cut", 2, 30, 11, 17, (92, 94, 100))
CURETTE = Instrument("RingCurette", "resect", 1, 30, 7, 13, (96, 104, 120))
SUCTION = Instrument("Suction", "aspirate", 1, 22, 11, 15, (140, 142, 146))
SCALPEL = Instrument("Scalpel", "cut", 1, 36, 9, 19, (146, 150, 152))
TWEEZERS = Instrument("Tweezers", "grasp", 2, 46, 8, 19, (160, 164, 170))
PHACO = Instrument("PhacoProbe", "aspirate", 1, 28, 8, 19, (88, 116, 132))
CANNULA = Instrument("Cannula", "inject", 1, 34, 4, 11, (168, 170, 174))


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
PELVIS = World(
    specialty="gynaecology",
    projection="bowl",
    instruments=(GRASPER, BIPOLAR, SCISSORS, NEEDLE_HOLDER, IRRIGATOR),
    hands=2,
    targets=("peritoneum", "bladder", "uterus", "omentum"),
    tissue=((140, 62, 66), (204, 112, 108), (226, 152, 142), (240, 192, 178)),
    back=(150, 64, 76),
    organ=(212, 132, 130),
    fat=(236, 212, 150),
    fat_share=200,
    vessel=(158, 34, 52),
    film=(140, 20, 24),
    field=1180,
    camera=Camera((12_000, 22_000), 12, 60, 3),
    lesions=0,
    left_handed=0,
)
LIVER = World(
    specialty="hepatobiliary_surgery",
    projection="bowl",
    instruments=(GRASPER, BIPOLAR, CLIPPER, IRRIGATOR, HOOK),
    hands=2,
    targets=("liver", "diaphragm", "tumour", "omentum"),
    tissue=((76, 28, 22), (122, 52, 40), (150, 74, 56), (182, 108, 86)),
    back=(150, 96, 84),
    organ=(176, 140, 104),
    fat=(214, 182, 104),
    fat_share=120,
    vessel=(70, 12, 24),
    film=(100, 8, 12),
    field=1000,
    camera=Camera((12_000, 22_000), 12, 60, 3),
    lesions=0,
    left_handed=0,
)
NOSE = World(
    specialty="neurosurgery",
    projection="tunnel",
    instruments=(ELEVATOR, RONGEUR, CURETTE, SUCTION),
    hands=2,
    targets=("mucosa", "bone", "sella", "crust"),
    tissue=((126, 40, 44), (188, 84, 84), (216, 126, 118), (238, 196, 178)),
    back=(226, 200, 172),
    organ=(198, 90, 88),
    fat=(232, 214, 168),
    fat_share=80,
    vessel=(150, 24, 36),
    film=(130, 14, 20),
    field=940,
    camera=Camera((9000, 16_000), 8, 0, 8),
    lesions=0,
    left_handed=0,
)
BRAIN = World(
    specialty="neurosurgery",
    projection="bowl",
    instruments=(BIPOLAR, SUCTION, SCISSORS, TWEEZERS),
    hands=2,
    targets=("cortex", "dura", "tumour", "cotton"),
    tissue=((158, 92, 84), (206, 146, 130), (226, 182, 164), (240, 212, 196)),
    back=(204, 176, 150),
    organ=(150, 88, 104),
    fat=(240, 236, 222),
    fat_share=90,
    vessel=(104, 16, 36),
    film=(150, 18, 24),
    field=1100,
    camera=Camera((16_000, 28_000), 10, 60, 4),
    lesions=0,
    left_handed=0,
)
EYE = World(
    specialty="ophthalmology",
    projection="bowl",
    instruments=(PHACO, CANNULA, TWEEZERS),
    hands=2,
    targets=("sclera", "eyelid", "pupil", "conjunctiva"),
    tissue=((176, 132, 116), (214, 190, 178), (234, 222, 212), (246, 240, 232)),
    back=(196, 140, 112),
    organ=(62, 36, 30),
    fat=(228, 172, 156),
    fat_share=150,
    vessel=(198, 70, 62),
    film=(206, 214, 220),
    field=1050,
    camera=Camera((16_000, 28_000), 8, 40, 2),
    lesions=0,
    left_handed=0,
)
OPEN = World(
    specialty="open_surgery",
    projection="bowl",
    instruments=(SCALPEL, TWEEZERS, NEEDLE_HOLDER, SCISSORS),
    hands=2,
    targets=("muscle", "drape", "wound", "fat"),
    tissue=((150, 96, 76), (208, 156, 128), (224, 180, 152), (236, 202, 178)),
    back=(48, 112, 122),
    organ=(142, 38, 36),
    fat=(230, 192, 112),
    fat_share=140,
    vessel=(150, 40, 40),
    film=(126, 12, 14),
    field=1190,
    camera=Camera((7000, 14_000), 18, 110, 7),
    lesions=0,
    left_handed=0,
)
COLONOSCOPY_CLEAR = replace(COLONOSCOPY, lesions=0)
COLONOSCOPY_PALE = replace(
    COLONOSCOPY_STILL,
    tissue=((178, 106, 96), (220, 158, 140), (236, 190, 170), (246, 214, 198)),
    back=(222, 162, 150),
    vessel=(186, 84, 88),
    field=1400,
)
COLONOSCOPY_BROWN = replace(
    COLONOSCOPY_STILL,
    tissue=((104, 52, 30), (146, 86, 52), (170, 112, 70), (192, 138, 92)),
    back=(132, 76, 48),
    vessel=(112, 44, 30),
    field=1040,
)
COLONOSCOPY_VIOLET = replace(
    COLONOSCOPY_STILL,
    tissue=((128, 58, 88), (176, 98, 126), (198, 128, 152), (216, 158, 180)),
    back=(168, 90, 122),
    fat=(182, 156, 120),
    vessel=(130, 36, 80),
    field=1160,
)
# A phantom of the colon, whose camera looks about so that the lumen is not always in the middle.
PHANTOM = replace(
    COLONOSCOPY,
    hands=0,
    lesions=0,
    fat_share=0,
    field=1600,
    camera=Camera((1500, 3000), 16, 0, 20),
)
BENCH = World(
    specialty="skills_training",
    projection="bowl",
    instruments=(NEEDLE_HOLDER, TWEEZERS),
    hands=2,
    targets=("pad", "frame", "line", "ring"),
    tissue=((196, 128, 104), (226, 164, 138), (236, 186, 160), (244, 208, 186)),
    back=(72, 78, 92),
    organ=(176, 96, 92),
    fat=(242, 226, 196),
    fat_share=80,
    vessel=(60, 60, 76),
    film=(206, 206, 210),
    field=1250,
    camera=Camera((20_000, 32_000), 4, 20, 1),
    lesions=0,
    left_handed=0,
)
# A recording draws from its seed and its world's place in this table: new rows go last.
WORLDS = {
    "laparoscopy-a": LAPAROSCOPY_A,
    "laparoscopy-b": LAPAROSCOPY_B,
    "colonoscopy": COLONOSCOPY,
    "arthroscopy": ARTHROSCOPY,
    "colonoscopy-still": COLONOSCOPY_STILL,
    "pelvis": PELVIS,
    "liver": LIVER,
    "nose": NOSE,
    "brain": BRAIN,
    "eye": EYE,
    "open": OPEN,
    "colonoscopy-clear": COLONOSCOPY_CLEAR,
    "bench": BENCH,
    "colonoscopy-pale": COLONOSCOPY_PALE,
    "colonoscopy-brown": COLONOSCOPY_BROWN,
    "colonoscopy-violet": COLONOSCOPY_VIOLET,
    "phantom": PHANTOM,
}
