"""Polyps: five data sets of segmentation in the layout of PraNet.

    TrainDataset/{image,images}/NAME.png     1,450 pictures: 900 Kvasir-SEG, 550 CVC-ClinicDB
    TrainDataset/{mask,masks}/NAME.png
    TestDataset/SET/{images,masks}/NAME.png

SET is CVC-300 (60 pictures), CVC-ClinicDB (62), CVC-ColonDB (380), ETIS-LaribPolypDB (196) or
Kvasir (100).

Every row trains on TrainDataset and tests on its own folder. Pictures of two sources are trained
on ("seen"), of the other three none is ("unseen").

Masks are 8-bit; foreground is a value above 128, which also settles the grey edges that JPEG leaves
around a polyp. A mask may have one channel or three, and a picture any size. Pictures and masks
match by stem, whatever the extension. Some of the owners' TIFFs carry a photometric tag that
contradicts their channels: these are read as RGB.

Fan et al., PraNet, 2020; Jha et al., Kvasir-SEG, 2020; Bernal et al., CVC-ClinicDB, 2015;
Bernal et al., CVC-ColonDB, 2012; Vazquez et al., CVC-300, 2017; Silva et al., ETIS, 2014.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    ByCase,
    Case,
    Counts,
    Findings,
    Part,
    PictureCase,
    Reader,
    Split,
    StatedSplit,
    natural,
    split_cases,
)

TRAIN = Path("TrainDataset")
TEST = Path("TestDataset")
FOREGROUND_ABOVE = 128
EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
# Of TIFF 6.0: the tag, and its value for three channels or more.
PHOTOMETRIC, RGB = 262, 2

# Last frame of each of the 29 sequences of CVC-ClinicDB, whose pictures are numbered 1 to 612
# (polyp.grand-challenge.org/CVCClinicDB).
CLINICDB_ENDS = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)
# The sequences of which ClinicDB's validation is made: frames 504 to 612.
CLINICDB_VALIDATION = range(25, 30)

PRANET = StatedSplit(
    note="PraNet's folders; it has no validation list: val is the last fifth of TrainDataset in "
    "natural order, which are Kvasir-SEG pictures in the original copy, so that no "
    "CVC-ClinicDB sequence is on both sides. Decoders are then trained on all of TrainDataset.",
    val=0.2,
    refit=True,
)


def clinicdb_sequence(stem: str) -> int | None:
    """Sequence, 1 to 29, of a picture of CVC-ClinicDB by its name; None where the name tells none.

    PraNet keeps the owners' numbers in TrainDataset and in TestDataset; Kvasir-SEG's names are no
    numbers.
    """
    if not (stem.isascii() and stem.isdecimal()) or not 1 <= int(stem) <= CLINICDB_ENDS[-1]:
        return None
    return bisect_left(CLINICDB_ENDS, int(stem)) + 1


@dataclass(frozen=True)
class SequenceValidation:
    """The copy's folders; val are the training pictures of ClinicDB's sequences 25 to 29.

    Where no name tells a sequence, as in a renamed copy, val is as in PraNet's other rows.
    """

    note: str
    refit: bool = True

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        val = {
            case
            for case, part in stated.items()
            if part == "train"
            and clinicdb_sequence(case.removeprefix("train-")) in CLINICDB_VALIDATION
        }
        if not val:
            return PRANET.assign(stated, findings)
        parts = {case: part for case, part in stated.items() if part is not None}
        return parts | dict.fromkeys(val, "val")


CLINICDB_SPLIT = ByCase(
    SequenceValidation(
        note="PraNet's folders, which draw single frames: frames of the tested sequences are "
        "trained on, so the result is too good. Val are the training frames of CVC-ClinicDB's "
        "sequences 25 to 29; decoders are then trained on all of TrainDataset.",
    )
)


def reader(folder: str, by_sequence: bool = False) -> Reader:
    """Reader of the row that is tested on `TestDataset/folder`.

    Cases are named `train-STEM` and `test-STEM`. Where `by_sequence` is true, the group of a
    picture that has a sequence of CVC-ClinicDB is that sequence; else it is the picture itself.
    """

    def read(root: Path, split: Split, findings: Findings) -> list[Case]:
        pairs: dict[str, tuple[Path, Path]] = {}
        stated: dict[str, Part] = {}
        groups: dict[str, str] = {}
        places: dict[Part, Path] = {"train": root / TRAIN, "test": root / TEST / folder}
        for part, place in places.items():
            for stem, pair in _pairs(place, findings).items():
                case = f"{part}-{stem}"
                pairs[case], stated[case] = pair, part
                sequence = clinicdb_sequence(stem) if by_sequence else None
                groups[case] = case if sequence is None else f"sequence {sequence}"
        parts = split_cases(groups, split, findings, stated)
        cases: list[Case] = []
        for case, part in parts.items():
            size = _size(*pairs[case], findings)
            if size is not None:
                cases.append(PictureCase(case, *pairs[case], part, size, groups[case]))
        return cases

    return read


def read_picture(path: Path) -> np.ndarray:
    """RGB pixels, shape (H, W, 3) uint8.

    Raises:
        BenchmarkError: the file is no picture or is cut.
    """
    return _pixels(path, "RGB")


def read_mask(path: Path) -> np.ndarray:
    """Foreground, shape (H, W) bool.

    Raises:
        BenchmarkError: the file is no picture or is cut, or is a mask of zeros and ones.
    """
    grey = _pixels(path, "L")
    if grey.max() == 1:
        raise BenchmarkError(
            path,
            f"holds zeros and ones; foreground is a value above {FOREGROUND_ABOVE}",
            "get the original mask, or multiply it by 255",
        )
    return grey > FOREGROUND_ABOVE


def _pixels(path: Path, mode: str) -> np.ndarray:
    try:
        with _open(path) as picture:
            return np.asarray(picture.convert(mode))
    except OSError as error:
        raise BenchmarkError(path, f"cannot be read ({error})", "restore it") from None


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        mended = _tagged_as_rgb(path.read_bytes())
        if mended is None:
            raise
        return Image.open(io.BytesIO(mended))


def _tagged_as_rgb(data: bytes) -> bytes | None:
    """A TIFF with its photometric tag set to RGB; None where the file is no TIFF (TIFF 6.0)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            if struct.unpack_from(f"{order}H", data, entry) == (PHOTOMETRIC,):
                value = struct.pack(f"{order}H", RGB)
                return data[: entry + 8] + value + data[entry + 10 :]
    except struct.error:
        return None
    return None


def _pairs(folder: Path, findings: Findings) -> dict[str, tuple[Path, Path]]:
    images = _by_stem(_either(folder, "images", "image"), findings)
    masks = _by_stem(_either(folder, "masks", "mask"), findings)
    for one, other, kind in ((images, masks, "mask"), (masks, images, "image")):
        for stem in sorted(set(one) - set(other), key=natural):
            problem = f"has no {kind} of the same stem"
            findings.error(one[stem], problem, f"restore the {kind} or remove the file")
    both = sorted(set(images) & set(masks), key=natural)
    return {stem: (images[stem], masks[stem]) for stem in both}


def _either(folder: Path, *names: str) -> Path:
    present = [folder / name for name in names if (folder / name).is_dir()]
    if len(present) != 1:
        raise BenchmarkError(
            folder,
            f"{len(present)} of the folders {' and '.join(names)} are there",
            "exactly one of them must be",
        )
    return present[0]


def _by_stem(folder: Path, findings: Findings) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in EXTENSIONS:
            continue
        if path.stem in found:
            problem = f"{found[path.stem].name} has the same stem"
            findings.error(path, problem, "keep one of the two")
        else:
            found[path.stem] = path
    if not found:
        raise BenchmarkError(folder, "no pictures in it", "copy them there")
    return found


def _size(image: Path, mask: Path, findings: Findings) -> tuple[int, int] | None:
    """Height and width of both; None where they differ or cannot be read, which are findings."""
    first, second = (_picture_size(path, findings) for path in (image, mask))
    if first is None or second is None:
        return None
    if first != second:
        problem = f"is {first[1]}x{first[0]}, but its mask {mask} is {second[1]}x{second[0]}"
        findings.error(image, problem, "get the original pair")
        return None
    return first


def _picture_size(path: Path, findings: Findings) -> tuple[int, int] | None:
    try:
        with _open(path) as picture:
            return picture.height, picture.width
    except OSError as error:
        findings.error(path, f"cannot be read ({error})", "restore it")
        return None


def _row(
    name: str, title: str, folder: str, test: int, seen: bool, licence: str, split: Split = PRANET
) -> Benchmark:
    leaky = isinstance(split, ByCase)
    label = "leaky-pranet" if leaky else "pranet"
    return Benchmark(
        name=name,
        title=f"{title}, polyp segmentation",
        task="segmentation",
        classes=("background", "polyp"),
        splits={label: split},
        unit="picture",
        main="mean_dice_threshold_0.5",
        licence=licence,
        access="TrainDataset and TestDataset of github.com/DengPingFan/PraNet",
        reader=reader(folder, by_sequence=leaky),
        counts=Counts(label, {"train": 1450, "test": test}, 2, "PraNet, MICCAI 2020"),
        seen=seen,
    )


KVASIR = _row(
    "kvasir",
    "Kvasir",
    "Kvasir",
    100,
    True,
    "research and education (Kvasir-SEG, CVC-ClinicDB)",
)
CLINICDB = _row(
    "clinicdb",
    "CVC-ClinicDB",
    "CVC-ClinicDB",
    62,
    True,
    "research and education (CVC-ClinicDB, Kvasir-SEG)",
    CLINICDB_SPLIT,
)
CVC300 = _row(
    "cvc300",
    "CVC-300",
    "CVC-300",
    60,
    False,
    "research (CVC-EndoSceneStill); training: research and education",
)
COLONDB = _row(
    "colondb",
    "CVC-ColonDB",
    "CVC-ColonDB",
    380,
    False,
    "research (CVC-ColonDB); training: research and education",
)
ETIS = _row(
    "etis",
    "ETIS-LaribPolypDB",
    "ETIS-LaribPolypDB",
    196,
    False,
    "research (ETIS-LaribPolypDB); training: research and education",
)
