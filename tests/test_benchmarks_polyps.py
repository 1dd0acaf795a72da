"""Five polyp sets in PraNet's folders: cases, validation, pictures as their owners ship them."""

from __future__ import annotations

import io
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unisurg.benchmarks import REGISTRY, BenchmarkError, PictureCase, polyps
from unisurg.benchmarks.base import Findings
from unisurg.benchmarks.check import check
from unisurg.benchmarks.polyps import CLINICDB, clinicdb_sequence, read_mask, read_picture

SETS = {
    "kvasir": ("Kvasir", 100, True),
    "clinicdb": ("CVC-ClinicDB", 62, True),
    "cvc300": ("CVC-300", 60, False),
    "colondb": ("CVC-ColonDB", 380, False),
    "etis": ("ETIS-LaribPolypDB", 196, False),
}


def copy(root: Path, train: list[str], test: list[str], folder: str) -> Path:
    """Grey pictures of 8 x 6 pixels, each half of it polyp."""
    mask = np.zeros((6, 8), np.uint8)
    mask[:3] = 255
    for place, names in ((root / "TrainDataset", train), (root / "TestDataset" / folder, test)):
        for kind, pixels in (("image", np.full((6, 8, 3), 90, np.uint8)), ("masks", mask)):
            (place / kind).mkdir(parents=True)
            for name in names:
                Image.fromarray(pixels).save(place / kind / f"{name}.png")
    return root


def tiff(path: Path, pixels: np.ndarray, photometric: int, order: str = "<") -> Path:
    """A TIFF of one strip whose photometric tag is as asked, whatever its channels."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.tobytes() + bytes(pixels.size % 2)
    directory = 8 + len(data)
    short, long = 3, 4
    tags = [
        (256, short, width),
        (257, short, height),
        (258, short, 8),
        (259, short, 1),
        (262, short, photometric),
        (273, long, 8),
        (277, short, channels),
        (278, short, height),
        (279, long, pixels.size),
    ]
    out = io.BytesIO()
    out.write(b"II*\0" if order == "<" else b"MM\0*")
    out.write(struct.pack(f"{order}I", directory) + data)
    out.write(struct.pack(f"{order}H", len(tags)))
    after = directory + 2 + 12 * len(tags) + 4
    for tag, kind, number in tags:
        count = channels if tag == 258 else 1
        if count > 2:
            value = struct.pack(f"{order}I", after)
        elif kind == long:
            value = struct.pack(f"{order}I", number)
        else:
            value = struct.pack(f"{order}HH", number, 0)
        out.write(struct.pack(f"{order}HHI", tag, kind, count) + value)
    out.write(struct.pack(f"{order}I", 0) + struct.pack(f"{order}{channels}H", *[8] * channels))
    path.write_bytes(out.getvalue())
    return path


# --- rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_row_trains_on_pranets_list_and_tests_on_its_own_folder(
    name: str, tmp_path: Path
) -> None:
    folder, test, seen = SETS[name]
    row = REGISTRY[name]
    split = next(iter(row.splits))
    root = copy(tmp_path, [f"t{i}" for i in range(10)], ["a1", "a2"], folder)
    cases = row.read(root, split)
    assert Counter(case.split for case in cases) == {"train": 8, "val": 2, "test": 2}
    assert {case.case for case in cases if case.split == "val"} == {"train-t8", "train-t9"}
    assert all(isinstance(case, PictureCase) and case.size == (6, 8) for case in cases)
    assert row.seen is seen
    assert row.counts is not None
    assert row.counts.cases == {"train": 1450, "test": test}


@pytest.mark.parametrize("name", SETS)
def test_what_is_tested_has_been_trained_on_pranets_whole_list(name: str) -> None:
    assert all(split.refit for split in REGISTRY[name].splits.values())


def test_another_sets_folder_is_not_read(tmp_path: Path) -> None:
    root = copy(tmp_path, ["1", "2", "3"], ["4"], "CVC-300")
    assert len(REGISTRY["cvc300"].read(root, "pranet")) == 4
    with pytest.raises(BenchmarkError, match="ETIS-LaribPolypDB: 0 of the folders"):
        REGISTRY["etis"].read(root, "pranet")


def test_an_incomplete_copy_is_held_against_pranets_counts(tmp_path: Path) -> None:
    root = copy(tmp_path, ["x1", "x2", "x3"], ["y"], "CVC-300")
    result = check(REGISTRY["cvc300"], root, "pranet")
    assert result.usable
    told = [found.problem for found in result.findings.found if found.severity == "warning"]
    assert told == [
        "3 cases in train, published are 1450",
        "1 cases in test, published are 60",
    ]


def test_every_fault_of_a_copy_is_told(tmp_path: Path) -> None:
    root = copy(tmp_path, [f"t{i}" for i in range(9)], ["a", "b", "c"], "CVC-300")
    train, test = root / "TrainDataset", root / "TestDataset/CVC-300"
    (train / "masks/t0.png").unlink()
    (train / "image/t1.png").unlink()
    (train / "image/t2.png").write_bytes(b"cut")
    Image.new("RGB", (9, 9)).save(train / "image/t3.png")
    Image.new("RGB", (8, 6)).save(train / "image/t4.jpg")
    Image.new("L", (8, 6), 1).save(test / "masks/a.png")
    cut = (test / "masks/b.png").read_bytes()[:50]
    (test / "masks/b.png").write_bytes(cut)
    result = check(REGISTRY["cvc300"], root, "pranet")
    told = {
        str(found.path.relative_to(root)): found.problem
        for found in result.findings.found
        if found.severity == "error"
    }
    assert set(told) == {
        "TrainDataset/image/t0.png",
        "TrainDataset/masks/t1.png",
        "TrainDataset/image/t2.png",
        "TrainDataset/image/t3.png",
        "TrainDataset/image/t4.png",
        "TestDataset/CVC-300/masks/a.png",
        "TestDataset/CVC-300/masks/b.png",
    }
    assert told["TrainDataset/image/t4.png"] == "t4.jpg has the same stem"
    assert not result.usable


# --- CVC-ClinicDB's sequences -----------------------------------------------------------------


def test_the_29_sequences_cover_the_612_frames_in_turn() -> None:
    sequences = [clinicdb_sequence(str(frame)) for frame in range(1, 613)]
    assert sorted(set(sequences)) == list(range(1, 30))
    assert all(b - a in (0, 1) for a, b in pairwise(sequences))
    assert [clinicdb_sequence(str(frame)) for frame in (1, 25, 26, 200, 205, 592)] == [
        *(1, 1, 2, 10, 10, 29)
    ]


@pytest.mark.parametrize("name", ["0", "613", "cju0qkwl35piu0993l0dewei2", "12a", "-3", "²"])
def test_a_name_that_is_no_number_of_clinicdb_tells_no_sequence(name: str) -> None:
    assert clinicdb_sequence(name) is None


def test_clinicdb_is_validated_on_whole_sequences_and_its_leak_into_the_test_is_told(
    tmp_path: Path,
) -> None:
    train = ["1", "26", "27", "503", "504", "600", "612", "cju1", "cju2"]
    root = copy(tmp_path, train, ["2", "601"], "CVC-ClinicDB")
    cases = {case.case: case for case in CLINICDB.read(root, "leaky-pranet")}
    val = {name for name, case in cases.items() if case.split == "val"}
    assert val == {"train-504", "train-600", "train-612"}
    assert cases["train-1"].group == cases["test-2"].group == "sequence 1"
    assert cases["train-cju1"].group == "train-cju1"
    result = check(CLINICDB, root, "leaky-pranet")
    assert result.usable
    assert any(
        "2 groups are in more than one part: sequence 1, sequence 29" in found.problem
        for found in result.findings.found
    )


# --- pictures ---------------------------------------------------------------------------------


def test_grey_edges_of_a_jpeg_mask_fall_to_one_side(tmp_path: Path) -> None:
    disc = np.hypot(*np.ogrid[-32:32, -32:32]) < 20
    path = tmp_path / "mask.jpg"
    Image.fromarray(np.where(disc, 255, 0).astype(np.uint8)).convert("RGB").save(path, quality=60)
    with Image.open(path) as stored:
        assert len(np.unique(np.asarray(stored))) > 10
    found = read_mask(path)
    assert found.shape == (64, 64)
    assert (found != disc).mean() < 0.01


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
def test_a_mask_of_any_number_of_channels_is_the_same_mask(mode: str, tmp_path: Path) -> None:
    half = np.zeros((4, 5), np.uint8)
    half[:2] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(half).convert(mode).save(path)
    assert np.array_equal(read_mask(path), half > 0)


def test_a_mask_of_zeros_and_ones_is_named_and_an_empty_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(path)
    with pytest.raises(BenchmarkError, match=r"mask\.png: holds zeros and ones.*multiply"):
        read_mask(path)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    assert not read_mask(path).any()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1, 2, 3, 5])
def test_a_tiff_of_three_channels_is_rgb_whatever_its_photometric_tag(
    photometric: int, order: str, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    path = tiff(tmp_path / "1.tif", pixels, photometric, order)
    assert np.array_equal(read_picture(path), pixels)
    assert polyps._picture_size(path, Findings(tmp_path)) == (7, 5)


@pytest.mark.parametrize("white_is_zero", [True, False])
def test_a_mask_whose_tag_says_that_white_is_zero_is_inverted(
    white_is_zero: bool, tmp_path: Path
) -> None:
    stored = np.zeros((4, 5), np.uint8)
    stored[:2] = 255
    path = tiff(tmp_path / "p1.tif", stored, 0 if white_is_zero else 1)
    assert np.array_equal(read_mask(path), (stored > 0) != white_is_zero)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("content", [b"", b"no picture", b"II*\0", b"II*\0\xff\0\0\0"])
def test_a_file_that_is_no_picture_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    for read in (read_picture, read_mask):
        with pytest.raises(BenchmarkError, match=r"a\.tif: cannot be read"):
            read(path)


def test_pictures_differ_in_size_within_a_set(tmp_path: Path) -> None:
    root = copy(tmp_path, ["a", "b", "c"], ["d"], "Kvasir")
    for kind, mode in (("image", "RGB"), ("masks", "L")):
        Image.new(mode, (11, 9)).save(root / "TrainDataset" / kind / "b.png")
    assert {case.size for case in REGISTRY["kvasir"].read(root, "pranet")} == {(6, 8), (9, 11)}
