"""C3VD: depth of a colonoscopy phantom in 22 sequences, 10,015 frames.

    NAME/NNNN_color.png     1350 x 1080; the number may lack its zeros
    NAME/NNNN_depth.tiff    16 bits: depth along the optical axis, 0..65535 for 0..100 mm
    NAME/pose.txt           a row per frame: 16 numbers parted by commas, camera to world, mm
    NAME/{NNNN_normals.tiff,NNNN_flow.tiff,NNNN_occlusion.png,coverage_mesh.obj}    not read here
    cfhq190l_omnidirectional_params/*.txt, or camera_intrinsics.txt    `KEY = VALUE` rows

NAME is `cecum_t1_a`: segment, texture and video. Archives of the review are called
`cecum_t1_a_under_review`, newer ones `c0_cecum_t1_v1`; all are read as the first. Folders without
depth, as the four screening videos are, hold no case.

Two traps. A depth of 65535 is clipped, not measured, so it counts as no truth, as 0 does (so do the
owners' scripts). And a row of pose.txt is the *transposed* matrix: its last four numbers are the
camera's place. The owners' renderer also transposes the stretch of the camera model (c, d, e),
against their own example and their calibration: towards the edge of the picture the two differ by
three to five pixels. We follow the calibration; who wants the renderer's rays swaps d and e.

Bobrow et al., C3VD, Medical Image Analysis 2023 (durrlab.github.io/C3VD).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    ByCase,
    Case,
    Counts,
    DepthCase,
    Findings,
    NamedSplit,
    ShareSplit,
    Split,
    natural,
    split_cases,
)
from unisurg.benchmarks.tables import read_lines

DEPTH_MM, DEPTH_LEVELS = 100.0, 2**16 - 1
SEGMENTS = {"cecum": "cecum", "descending": "desc", "sigmoid": "sigmoid", "transverse": "trans"}
# Frames of every sequence, by the owners' table of registered videos.
FRAMES: Mapping[str, int] = {
    "cecum_t1_a": 276,
    "cecum_t1_b": 765,
    "cecum_t2_a": 370,
    "cecum_t2_b": 1142,
    "cecum_t2_c": 595,
    "cecum_t3_a": 730,
    "cecum_t4_a": 465,
    "cecum_t4_b": 425,
    "desc_t4_a": 148,
    "sigmoid_t1_a": 700,
    "sigmoid_t2_a": 514,
    "sigmoid_t3_a": 613,
    "sigmoid_t3_b": 536,
    "trans_t1_a": 61,
    "trans_t1_b": 700,
    "trans_t2_a": 194,
    "trans_t2_b": 103,
    "trans_t2_c": 235,
    "trans_t3_a": 250,
    "trans_t3_b": 214,
    "trans_t4_a": 382,
    "trans_t4_b": 597,
}
# Calibration of the CF-HQ190L endoscope by the owners, for `unisurg.video.omnidirectional`.
CAMERA: Mapping[str, float] = {
    "width": 1350,
    "height": 1080,
    "cx": 678.544839263292,
    "cy": 542.975887548343,
    "a0": 769.243600037458,
    "a2": -0.000812770624150226,
    "a3": 6.25674244578925e-07,
    "a4": -1.19662182144280e-09,
    "c": 0.999986882249990,
    "d": 0.00288273829525059,
    "e": -0.00296316513429569,
}
CAMERA_FILES = ("camera_intrinsics.txt", "cfhq190l_omnidirectional_params/*.txt")
_OLD = re.compile(r"(?P<name>(cecum|desc|sigmoid|trans)_t\d_[a-z](_p\d)?)(_under_review)?")
_NEW = re.compile(r"c0_(?P<segment>cecum|descending|sigmoid|transverse)_t(?P<t>\d)_v(?P<v>[1-9])")
_FILE = re.compile(r"(?P<frame>\d+)_(?P<kind>color|depth)\.(png|tif|tiff)")

SPLITS: dict[str, Split] = {
    "by-segment": NamedSplit(
        note="whole segments of the colon, so that no shape of the test is trained on: cecum and "
        "descending train, sigmoid is val, transverse (9 sequences, 4 textures) tests. There is no "
        "official split.",
        train=("cecum", "desc"),
        val=("sigmoid",),
        test=("trans",),
        refit=True,
    ),
    "leaky-ppsnet": ByCase(
        NamedSplit(
            note="PPSNet's lists, whose val is the test: all segments are on both sides, and one "
            "sequence is cut in two. Val are three training sequences instead. The place of the "
            "cut is not published: a copy without desc_t4_a_p1 and _p2 goes without them.",
            train=(
                *("trans_t4_b", "cecum_t4_a", "cecum_t2_b", "trans_t1_b", "trans_t2_b"),
                *("cecum_t2_c", "cecum_t1_b", "sigmoid_t1_a", "sigmoid_t2_a", "trans_t1_a"),
                *("desc_t4_a_p1", "trans_t2_c"),
            ),
            val=("cecum_t4_b", "sigmoid_t3_b", "trans_t3_b"),
            test=(
                *("cecum_t1_a", "cecum_t2_a", "cecum_t3_a", "sigmoid_t3_a", "trans_t2_a"),
                *("trans_t3_a", "trans_t4_a", "desc_t4_a_p2"),
            ),
            refit=True,
            may_lack=("desc_t4_a_p1", "desc_t4_a_p2"),
        )
    ),
    "theatre": ShareSplit(
        note="for the embedded data: the first half of the segments trains, the last third tests.",
        train=1 / 2,
        val=1 / 6,
    ),
}


def sequence_name(folder: str) -> str:
    """The owners' first name of a sequence, by the name of its folder; others stay as they are."""
    old, new = _OLD.fullmatch(folder), _NEW.fullmatch(folder)
    if old:
        return old["name"]
    if new:
        video = chr(ord("a") + int(new["v"]) - 1)
        return f"{SEGMENTS[new['segment']]}_t{new['t']}_{video}"
    return folder


def segment(name: str) -> str:
    """The modelled piece of the colon that a sequence shows; its own name if it tells none."""
    return name.split("_")[0] if _OLD.fullmatch(name) else name


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """One case per sequence, named `cecum_t1_a`; a group is a segment of the colon."""
    folders = _folders(root, findings)
    parts = split_cases({name: segment(name) for name in folders}, split, findings)
    camera = read_camera(root, findings)
    cases: list[Case] = []
    for name, part in parts.items():
        files = _files(folders[name], findings)
        if files is None:
            continue
        frames, depths = files
        size = _size(frames, depths, findings)
        if size is None:
            continue
        _check_sequence(folders[name], name, len(frames), size, camera, findings)
        cases.append(DepthCase(name, frames, depths, part, size, camera, segment(name)))
    return cases


def read_depth(path: Path) -> np.ndarray:
    """Millimetres along the optical axis, (H, W) float32; 0 where the depth is not known.

    Raises:
        BenchmarkError: the file cannot be read or is not of 16 bits and one channel.
    """
    try:
        with Image.open(path) as picture:
            levels = np.asarray(picture)
    except OSError as error:
        raise BenchmarkError(path, f"cannot be read ({error})", "restore it") from None
    if levels.ndim != 2 or levels.dtype.itemsize != 2:
        raise BenchmarkError(*_not_metric(path))
    known = (levels > 0) & (levels < DEPTH_LEVELS)
    scale = np.float32(DEPTH_MM / DEPTH_LEVELS)
    return np.where(known, levels.astype(np.float32) * scale, np.float32(0))


def read_poses(path: Path, findings: Findings) -> np.ndarray:
    """Camera-to-world matrices, (frames, 4, 4) float64, for columns: world = pose @ camera, in mm.

    A row that is no pose is a finding and left out.
    """
    poses = []
    for number, line in enumerate(read_lines(path, findings), start=1):
        try:
            # The file's matrices are for rows: the camera's place is the last row.
            pose = np.array([float(field) for field in line.split(",")]).reshape(4, 4).T
        except ValueError:
            problem = "not 16 numbers parted by commas"
            findings.error(path, problem, "restore the row", number)
            continue
        if not np.allclose(pose[3], (0, 0, 0, 1)):
            problem = "the fourth number of the first three groups is not 0, or the last is not 1"
            findings.error(path, problem, "matrices are transposed there: restore them", number)
            continue
        poses.append(pose)
    return np.array(poses).reshape(-1, 4, 4)


def read_camera(root: Path, findings: Findings) -> dict[str, float]:
    """Parameters of the copy's camera file by name, else the owners' `CAMERA`.

    A row that is no `KEY = VALUE` and a missing key are findings; `a1` must be 0.
    """
    found = sorted(path for pattern in CAMERA_FILES for path in root.glob(pattern))
    if not found:
        return dict(CAMERA)
    path, values = found[0], {}
    for number, line in enumerate(read_lines(path, findings), start=1):
        text = line.split(";")[0].split("#")[0].strip()
        if not text:
            continue
        key, _, value = (piece.strip() for piece in text.partition("="))
        try:
            values[key] = float(value)
        except ValueError:
            findings.error(path, f"{text!r} is no KEY = VALUE", "restore the row", number)
    missing = [key for key in CAMERA if key not in values]
    if missing:
        findings.error(path, f"{', '.join(missing)} missing", "get the original file")
    if values.get("a1", 0.0) != 0.0:
        findings.error(path, f"a1 is {values['a1']:g}", "the camera model has none: calibrate anew")
    return {key: values.get(key, default) for key, default in CAMERA.items()}


def _folders(root: Path, findings: Findings) -> dict[str, Path]:
    """Folder of every sequence that has depth, in natural order of the sequences."""
    found: dict[str, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        name = sequence_name(folder.name)
        if (folder / "depths").is_dir():
            findings.error(
                folder,
                "has a folder `depths`: it is PPSNet's undistorted copy, in another camera",
                "get the owners' archives, whose frames and depths lie side by side",
            )
        elif not any(folder.glob("*_depth.*")):
            continue
        elif name in found:
            findings.error(folder, f"{found[name].name} is the same sequence", "keep one of them")
        else:
            found[name] = folder
    if not found:
        raise BenchmarkError(
            root, "no folder with NNNN_depth.tiff in it", "unpack the registered videos there"
        )
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def _files(folder: Path, findings: Findings) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
    """Frames and depths in the order of their numbers; None where they are no pairs."""
    files: dict[str, dict[int, Path]] = {"color": {}, "depth": {}}
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        number, kind = int(match["frame"]), files[match["kind"]]
        if number in kind:
            problem = f"{kind[number].name} has the same number"
            findings.error(path, problem, "keep one of the two")
            return None
        kind[number] = path
    colors, depths = files["color"], files["depth"]
    lonely = sorted(set(colors) ^ set(depths))
    if lonely:
        path = colors.get(lonely[0]) or depths[lonely[0]]
        other = "depth" if lonely[0] in colors else "frame"
        problem = f"has no {other} of the same number ({len(lonely)} such files)"
        findings.error(path, problem, f"restore the {other} or remove the file")
        return None
    numbers = sorted(colors)
    gaps = [b for a, b in itertools.pairwise(numbers) if b != a + 1]
    if gaps:
        problem = f"does not follow the frame before it ({len(gaps)} gaps)"
        findings.error(colors[gaps[0]], problem, "restore the missing frames")
        return None
    return tuple(colors[n] for n in numbers), tuple(depths[n] for n in numbers)


def _size(
    frames: tuple[Path, ...], depths: tuple[Path, ...], findings: Findings
) -> tuple[int, int] | None:
    """Height and width of all pictures of a sequence; None where they differ, which is told."""
    sizes = set()
    for place, path in enumerate((*frames, *depths)):
        try:
            with Image.open(path) as picture:
                sizes.add((picture.height, picture.width))
                if place >= len(frames) and not picture.mode.startswith("I;16"):
                    findings.error(*_not_metric(path))
                    return None
        except OSError as error:
            findings.error(path, f"cannot be read ({error})", "restore it")
            return None
        if len(sizes) > 1:
            problem = f"is {picture.width}x{picture.height}, unlike the pictures before it"
            findings.error(path, problem, "get the original sequence")
            return None
    return sizes.pop()


def _not_metric(path: Path) -> tuple[Path, str, str]:
    return path, "is not a picture of 16 bits and one channel", "get the depths, not their previews"


def _check_sequence(
    folder: Path,
    name: str,
    frames: int,
    size: tuple[int, int],
    camera: Mapping[str, float],
    findings: Findings,
) -> None:
    """Warn of what makes a usable sequence differ from the owners'."""
    if frames != FRAMES.get(name, frames):
        problem = f"{frames} frames, published are {FRAMES[name]}"
        findings.warning(folder, problem, "results are not comparable with published ones")
    expected = (camera["height"], camera["width"])
    if size != expected:
        problem = f"pictures are {size[1]}x{size[0]}, the camera's {expected[1]:g}x{expected[0]:g}"
        findings.warning(folder, problem, "they were resized: they cannot be undistorted")
    poses = folder / "pose.txt"
    if not poses.is_file():
        findings.warning(poses, "missing", "depth can be learned without it, motion cannot")
    elif len(read_poses(poses, findings)) != frames:
        findings.warning(poses, f"its poses are not as many as {frames} frames", "restore it")


C3VD = Benchmark(
    name="c3vd",
    title="C3VD, depth of a colonoscopy phantom",
    task="depth",
    classes=("depth",),
    splits=SPLITS,
    unit="sequence",
    main="delta_1.1_ratio_unscaled",
    licence="CC BY-NC-SA 4.0",
    access="download the registered videos from durrlab.github.io/C3VD",
    reader=read,
    counts=Counts(
        split="by-segment",
        cases={"train": 9, "val": 4, "test": 9},
        classes=1,
        source="the owners' table of 22 registered videos, by segment",
        labels={"train": 4916, "val": 2363, "test": 2736},
    ),
)
