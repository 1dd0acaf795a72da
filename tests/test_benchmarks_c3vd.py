"""C3VD is read as its owners ship it: names, 16-bit depth, transposed poses, the camera file."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unisurg.benchmarks import BenchmarkError, DepthCase
from unisurg.benchmarks.base import ByCase, Findings, NamedSplit
from unisurg.benchmarks.c3vd import (
    C3VD,
    CAMERA,
    FRAMES,
    SPLITS,
    read_camera,
    read_depth,
    read_poses,
    segment,
    sequence_name,
)
from unisurg.benchmarks.check import check
from unisurg.video.omnidirectional import Omnidirectional, pinhole_of, undistort, undistortion_maps

HEIGHT, WIDTH = 6, 8
FEW = ("cecum_t1_a", "desc_t4_a", "sigmoid_t1_a", "trans_t1_a")


def sequence(
    root: Path, name: str, frames: Iterable[int] = range(3), end: str = "tiff", zeros: bool = True
) -> Path:
    """A sequence of grey frames, each with a ramp of depth and its pose."""
    folder = root / name
    folder.mkdir(parents=True)
    depth = np.linspace(1, 65534, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    rows = []
    for frame in frames:
        color = f"{frame:04d}_color.png" if zeros else f"{frame}_color.png"
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / color)
        Image.fromarray(depth).save(folder / f"{frame:04d}_depth.{end}")
        rows.append(f"1,0,0,0,0,0,-1,0,0,1,0,0,{frame},2,3,1")
    (folder / "pose.txt").write_text("\n".join(rows) + "\n")
    return folder


def copy(root: Path, names: Iterable[str] = FEW) -> Path:
    for name in names:
        sequence(root, name)
    return root


def told(root: Path, severity: str, split: str = "by-segment") -> list[str]:
    found = check(C3VD, root, split).findings.found
    return [f"{f.path.name}: {f.problem}" for f in found if f.severity == severity]


def strict(root: Path) -> Findings:
    return Findings(root)


# --- sequences and splits ---------------------------------------------------------------------


def test_a_case_is_a_sequence_with_its_frames_in_the_order_of_time(tmp_path: Path) -> None:
    first = C3VD.read(copy(tmp_path), "by-segment")[0]
    assert isinstance(first, DepthCase)
    assert (first.case, first.group, first.split) == ("cecum_t1_a", "cecum", "train")
    assert first.size == (HEIGHT, WIDTH)
    assert [path.name for path in first.frames] == [f"{i:04d}_color.png" for i in range(3)]
    assert [path.name for path in first.depths] == [f"{i:04d}_depth.tiff" for i in range(3)]


def test_frames_go_by_number_where_names_lack_their_zeros(tmp_path: Path) -> None:
    root = copy(tmp_path, FEW[:3])
    sequence(root, "trans_t1_a", range(12), end="png", zeros=False)
    last = C3VD.read(root, "by-segment")[-1]
    assert isinstance(last, DepthCase)
    assert [path.name for path in last.frames] == [f"{i}_color.png" for i in range(12)]
    assert [path.name for path in last.depths] == [f"{i:04d}_depth.png" for i in range(12)]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("cecum_t2_b", "cecum_t2_b"),
        ("trans_t4_a_under_review", "trans_t4_a"),
        ("desc_t4_a_p1_under_review", "desc_t4_a_p1"),
        ("c0_transverse_t2_v3", "trans_t2_c"),
        ("c0_descending_t4_v1", "desc_t4_a"),
        ("c1_ascending_t1_v1", "c1_ascending_t1_v1"),
        ("screening_t1", "screening_t1"),
    ],
)
def test_a_sequence_has_one_name_whatever_its_archive_is_called(folder: str, name: str) -> None:
    assert sequence_name(folder) == name
    assert segment("desc_t4_a_p1") == "desc"
    assert segment("c1_ascending_t1_v1") == "c1_ascending_t1_v1"


def test_no_shape_of_the_test_is_trained_on_by_segment(tmp_path: Path) -> None:
    cases = C3VD.read(copy(tmp_path, FRAMES), "by-segment")
    parts = {part: {c.group for c in cases if c.split == part} for part in ("train", "val", "test")}
    assert parts == {"train": {"cecum", "desc"}, "val": {"sigmoid"}, "test": {"trans"}}
    assert Counter(case.split for case in cases) == {"train": 9, "val": 4, "test": 9}
    of_part = {p: sum(FRAMES[c.case] for c in cases if c.split == p) for p in parts}
    assert C3VD.counts is not None
    assert of_part == C3VD.counts.labels
    assert sum(of_part.values()) == 10_015


def test_ppsnets_split_can_be_used_without_the_sequence_it_cut_and_tells_its_leak(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path, FRAMES)
    assert len(C3VD.read(root, "leaky-ppsnet")) == 21
    assert told(root, "error", "leaky-ppsnet") == []
    warnings = "\n".join(told(root, "warning", "leaky-ppsnet"))
    assert "2 of the split's 23 cases are missing: desc_t4_a_p1, desc_t4_a_p2" in warnings
    assert "3 groups are in more than one part: cecum, sigmoid, trans" in warnings


def test_the_theatres_split_needs_a_sequence_of_four_segments(tmp_path: Path) -> None:
    cases = C3VD.read(copy(tmp_path), "theatre")
    assert [case.split for case in cases] == ["train", "train", "val", "test"]


# --- a copy that cannot be used ---------------------------------------------------------------


def test_every_fault_is_told_by_its_file(tmp_path: Path) -> None:
    root = copy(tmp_path, FRAMES)
    (root / "cecum_t1_a/0001_depth.tiff").unlink()
    for name in ("0001_color.png", "0001_depth.tiff"):
        (root / "cecum_t1_b" / name).unlink()
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "cecum_t2_a/0002_depth.tiff")
    Image.new("RGB", (WIDTH + 1, HEIGHT)).save(root / "cecum_t2_b/0001_color.png")
    (root / "cecum_t2_c/0002_color.png").write_bytes(b"cut")
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "cecum_t3_a/1_color.png")
    (root / "cecum_t4_a/pose.txt").write_text("1,0,0\n")
    shutil.copytree(root / "trans_t1_a", root / "c0_transverse_t1_v1")
    (root / "desc_t4_a_p1_under_review/depths").mkdir(parents=True)
    assert sorted(told(root, "error")) == [
        "0001_color.png: has no depth of the same number (1 such files)",
        "0001_color.png: is 9x6, unlike the pictures before it",
        "0002_color.png: cannot be read (cannot identify image file "
        f"{str(root / 'cecum_t2_c/0002_color.png')!r})",
        "0002_color.png: does not follow the frame before it (1 gaps)",
        "0002_depth.tiff: is not a picture of 16 bits and one channel",
        "1_color.png: 0001_color.png has the same number",
        "desc_t4_a_p1_under_review: has a folder `depths`: it is PPSNet's undistorted copy, in "
        "another camera",
        "pose.txt: not 16 numbers parted by commas",
        "trans_t1_a: c0_transverse_t1_v1 is the same sequence",
    ]
    with pytest.raises(BenchmarkError):
        C3VD.read(root, "by-segment")


def test_what_differs_from_the_owners_is_a_warning(tmp_path: Path) -> None:
    root = copy(tmp_path)
    (root / "desc_t4_a/pose.txt").unlink()
    (root / "trans_t1_a/pose.txt").write_text("1,0,0,0,0,0,-1,0,0,1,0,0,1,2,3,1\n")
    warnings = told(root, "warning")
    assert "cecum_t1_a: 3 frames, published are 276" in warnings
    assert "cecum_t1_a: pictures are 8x6, the camera's 1350x1080" in warnings
    assert "pose.txt: missing" in warnings
    assert "pose.txt: its poses are not as many as 3 frames" in warnings
    assert check(C3VD, root, "by-segment").usable


def test_folders_without_depth_are_no_sequences_and_a_copy_without_any_is_an_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "screening_t1").mkdir()
    with pytest.raises(BenchmarkError, match=r"no folder with NNNN_depth\.tiff"):
        C3VD.read(tmp_path, "by-segment")
    assert len(C3VD.read(copy(tmp_path), "by-segment")) == 4


def test_a_copy_is_counted_in_frames(tmp_path: Path) -> None:
    facts = check(C3VD, copy(tmp_path), "by-segment").as_dict()
    assert facts["labels"] == {"train": {"depth": 6}, "val": {"depth": 3}, "test": {"depth": 3}}
    assert (facts["unit"], facts["fps"]) == ("frames", {})


# --- depth, poses, camera ---------------------------------------------------------------------


@pytest.mark.parametrize("end", ["tiff", "png"])
def test_depth_is_millimetres_and_neither_0_nor_the_clipped_is_a_depth(
    end: str, tmp_path: Path
) -> None:
    path = tmp_path / f"0000_depth.{end}"
    Image.fromarray(np.array([[0, 1, 32768, 65534, 65535]], np.uint16)).save(path)
    depth = read_depth(path)
    assert depth.dtype == np.float32
    assert depth[0] == pytest.approx([0, 100 / 65535, 50.00076, 99.99847, 0], abs=1e-5)


def test_a_depth_of_eight_bits_or_of_three_channels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0000_depth.png"
    for mode in ("L", "RGB"):
        Image.new(mode, (4, 4), 9 if mode == "L" else (9, 9, 9)).save(path)
        with pytest.raises(BenchmarkError, match=r"not a picture of 16 bits.*not their previews"):
            read_depth(path)
    path.write_bytes(b"cut")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_depth(path)


def test_a_pose_moves_a_point_of_the_camera_into_the_world(tmp_path: Path) -> None:
    folder = sequence(tmp_path, "trans_t1_a")
    poses = read_poses(folder / "pose.txt", strict(tmp_path))
    assert poses.shape == (3, 4, 4)
    assert np.allclose(poses[2] @ (0, 0, 0, 1), (2, 2, 3, 1))
    # The rows of the file turn the camera's y to the world's -z.
    assert np.allclose(poses[0] @ (0, 5, 0, 0), (0, 0, -5, 0))


def test_a_pose_that_is_not_transposed_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "pose.txt"
    path.write_text("1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1\n1,0,0,7,0,1,0,8,0,0,1,9,0,0,0,1\n")
    with pytest.raises(BenchmarkError, match=r"pose\.txt:2: the fourth number"):
        read_poses(path, strict(tmp_path))


@pytest.mark.parametrize("name", ["camera_intrinsics.txt", "cfhq190l_omnidirectional_params/a.txt"])
def test_the_camera_file_of_the_copy_goes_before_the_published_calibration(
    name: str, tmp_path: Path
) -> None:
    assert read_camera(tmp_path, strict(tmp_path)) == dict(CAMERA)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    rows = [f"{key} = {2 * value}" for key, value in CAMERA.items()]
    path.write_text("; omnidirectional camera intrinsics\r\n" + "\r\n".join([*rows, "a1 = 0.0"]))
    camera = read_camera(tmp_path, strict(tmp_path))
    assert camera == {key: 2 * value for key, value in CAMERA.items()}


@pytest.mark.parametrize(
    ("row", "problem"),
    [("a0: 3", "no KEY = VALUE"), ("width = 9", "height, cx.* missing"), ("a1 = 2", "missing")],
)
def test_a_fault_of_the_camera_file_is_named(row: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "camera_intrinsics.txt").write_text(row)
    with pytest.raises(BenchmarkError, match=problem):
        read_camera(tmp_path, strict(tmp_path))


# --- real files -------------------------------------------------------------------------------


@pytest.mark.realdata
def test_the_owners_table_of_sequences_is_ours(real_data: Path) -> None:
    table = real_data / "c3vd/summary/C3VD_data_summary_registered.csv"
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["Old Name"]]
    assert {row["Old Name"]: int(row["Num_frames"]) for row in rows} == FRAMES
    assert {row["Old Name"] for row in rows} == {sequence_name(row["Video Name"]) for row in rows}


@pytest.mark.realdata
def test_ppsnets_lists_are_ours_but_for_the_validation(real_data: Path) -> None:
    rule = SPLITS["leaky-ppsnet"]
    assert isinstance(rule, ByCase)
    assert isinstance(rule.rule, NamedSplit)
    for file, ours in (
        ("train.txt", {*rule.rule.train, *rule.rule.val}),
        ("val.txt", {*rule.rule.test}),
    ):
        theirs = (real_data / "c3vd/ppsnet_splits" / file).read_text().split()
        assert {sequence_name(name) for name in theirs} == ours
        assert len(theirs) == len(ours)


@pytest.mark.realdata
def test_the_picture_of_depth_for_viewing_is_not_taken_for_depth(real_data: Path) -> None:
    with pytest.raises(BenchmarkError, match="not a picture of 16 bits"):
        read_depth(real_data / "c3vd/slider/depth.png")


@pytest.mark.realdata
def test_a_real_frame_is_of_the_camera_and_undistorted_without_a_hole(real_data: Path) -> None:
    with Image.open(real_data / "c3vd/slider/color.png") as picture:
        frame = np.asarray(picture.convert("RGB"))
    camera = Omnidirectional.of(CAMERA)
    assert frame.shape == (camera.height, camera.width, 3)
    columns, rows = undistortion_maps(camera, pinhole_of(camera))
    assert min(columns.min(), rows.min()) > 0
    straight = undistort(frame, (columns, rows), nearest=False)
    # The corners are masked black in the frame; the pinhole sees less far.
    assert (frame == 0).all(2).mean() > 0.05
    assert (straight == 0).all(2).mean() < 0.001
    middle = np.s_[500:580, 640:720]
    assert np.abs(straight[middle].astype(float) - frame[middle]).mean() < 3
