"""Kvasir: polyp segmentation in the layout of PraNet.

    TrainDataset/{image,images}/NAME.png     1,450 pictures: 900 Kvasir-SEG, 550 CVC-ClinicDB
    TrainDataset/{mask,masks}/NAME.png
    TestDataset/Kvasir/{images,masks}/NAME.png   100 pictures

Masks are 8-bit; foreground is a value above 128. Pictures and masks match by stem, whatever the
extension. Fan et al., PraNet, 2020; Jha et al., Kvasir-SEG, 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    Case,
    Findings,
    Part,
    PictureCase,
    Split,
    StatedSplit,
    natural,
    split_cases,
)

FOREGROUND_ABOVE = 128
EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
FOLDERS: dict[Part, Path] = {"train": Path("TrainDataset"), "test": Path("TestDataset/Kvasir")}

SPLITS: dict[str, Split] = {
    "pranet": StatedSplit(
        note="PraNet's folders; it has no validation list: the last fifth of TrainDataset in "
        "natural order, which are Kvasir-SEG pictures in the original copy, so that no "
        "CVC-ClinicDB sequence is on both sides.",
        val=0.2,
    )
}


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split, named `train-STEM` and `test-STEM`."""
    pairs: dict[str, tuple[Path, Path]] = {}
    stated: dict[str, Part] = {}
    for part, folder in FOLDERS.items():
        for stem, pair in _pairs(root / folder).items():
            pairs[f"{part}-{stem}"], stated[f"{part}-{stem}"] = pair, part
    parts = split_cases({case: case for case in pairs}, split, findings, stated)
    return [
        PictureCase(case, *pairs[case], part, _size(*pairs[case])) for case, part in parts.items()
    ]


def read_picture(path: Path) -> np.ndarray:
    """RGB pixels, shape (H, W, 3) uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def read_mask(path: Path) -> np.ndarray:
    """Foreground, shape (H, W) bool."""
    with Image.open(path) as mask:
        return np.asarray(mask.convert("L")) > FOREGROUND_ABOVE


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    images = _by_stem(_either(folder, "images", "image"))
    masks = _by_stem(_either(folder, "masks", "mask"))
    for one, other, kind in ((images, masks, "mask"), (masks, images, "image")):
        lonely = sorted(set(one) - set(other), key=natural)
        if lonely:
            raise BenchmarkError(
                one[lonely[0]],
                f"has no {kind} of the same stem ({len(lonely)} such files)",
                f"restore the {kind} or remove the file",
            )
    return {stem: (images[stem], masks[stem]) for stem in sorted(images, key=natural)}


def _either(folder: Path, *names: str) -> Path:
    present = [folder / name for name in names if (folder / name).is_dir()]
    if len(present) != 1:
        raise BenchmarkError(
            folder,
            f"{len(present)} of the folders {' and '.join(names)} are there",
            "exactly one of them must be",
        )
    return present[0]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in EXTENSIONS:
            continue
        if path.stem in found:
            raise BenchmarkError(
                path, f"{found[path.stem].name} has the same stem", "keep one of the two"
            )
        found[path.stem] = path
    if not found:
        raise BenchmarkError(folder, "no pictures in it", "copy them there")
    return found


def _size(image: Path, mask: Path) -> tuple[int, int]:
    sizes = []
    for path in (image, mask):
        try:
            with Image.open(path) as picture:
                sizes.append((picture.height, picture.width))
        except OSError as error:
            raise BenchmarkError(path, f"cannot be read ({error})", "restore it") from None
    if sizes[0] != sizes[1]:
        raise BenchmarkError(
            image,
            f"is {sizes[0][1]}x{sizes[0][0]}, but its mask {mask} is {sizes[1][1]}x{sizes[1][0]}",
            "get the original pair",
        )
    return sizes[0]


KVASIR = Benchmark(
    name="kvasir",
    title="Kvasir, polyp segmentation",
    task="segmentation",
    classes=("background", "polyp"),
    splits=SPLITS,
    unit="picture",
    main="mean_dice_threshold_0.5",
    licence="research and education (Kvasir-SEG, CVC-ClinicDB)",
    access="TrainDataset and TestDataset of github.com/DengPingFan/PraNet",
    reader=read,
)
