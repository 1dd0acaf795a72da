"""C3VD as its owners lay it out: a phantom of the colon with the depth of every pixel.

    c3vd/{SEGMENT_tN_a/{NNNN_color.png,NNNN_depth.tiff,pose.txt},camera_intrinsics.txt}

SEGMENT is cecum, desc, sigmoid or trans. Depth is that of the renderer along the optical axis, in a
phantom twice as wide as its tube, as a colon is. What lies beyond 100 mm, as the middle of the
lumen does, is clipped to 65535, and what is nearer than 3 mm, where a fold comes upon the lens, is
0. The camera is a pinhole, a case of the owners' model.

The tube of the theatre looks the same from every place on its axis, which no rigid tube does: poses
tell where the camera is and looks, but following a point from frame to frame by them is not exact.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.settings import Theatre
from unisurg.synthetic.exact import ONE, SUB, TURN, VIEW, Array
from unisurg.synthetic.layouts.files import write_bytes, write_image, write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.operation import Operation, States
from unisurg.synthetic.render import Renderer

WORLD = "phantom"
SEGMENTS = ("cecum", "desc", "sigmoid", "trans")
START_MS, STEP_MS = 1500, 200
LEVELS, DEPTH_MM, NEAR_MM = 65535, 100, 3
WIDER = 2
# The renderer's wall is as far away as a tube of 10 mm radius is for a focal length of 0.6 sides.
RADIUS_MM, FOCAL = WIDER * 10.0, 0.6


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "c3vd"
    camera = folder / "camera_intrinsics.txt"
    result = [Job(camera, _write_camera, (camera, settings.small_side_px))]
    for number in range(len(SEGMENTS) * settings.c3vd_sequences):
        segment, place = divmod(number, settings.c3vd_sequences)
        name = f"{SEGMENTS[segment]}_t{place + 1}_a"
        own = seed_of(seed, "c3vd", number)
        arguments = (folder / name, own, settings.c3vd_frames, settings.small_side_px)
        result.append(Job(folder / name / "pose.txt", _write_sequence, arguments))
    return result


def _write_camera(path: Path, side: int) -> None:
    """A pinhole in the terms of the omnidirectional model."""
    middle = (side - 1) / 2
    values = {"width": side, "height": side, "cx": middle, "cy": middle, "a0": FOCAL * side}
    values |= dict.fromkeys(("a1", "a2", "a3", "a4"), 0) | {"c": 1, "d": 0, "e": 0}
    write_rows(path, [f"{key} = {value:g}" for key, value in values.items()])


def _write_sequence(folder: Path, seed: int, frames: int, side: int) -> None:
    """Frames and their depths, then the poses."""
    operation, states = travel(seed, frames)
    renderer = Renderer(operation, side, side)
    for i in range(frames):
        frame = renderer.frame(states[i], states[i])
        write_image(folder / f"{i:04d}_color.png", Image.fromarray(frame.rgb))
        _write_depth(folder / f"{i:04d}_depth.tiff", levels(frame.depth))
    rows = [",".join(f"{v:.6f}" for v in pose_of(states[i]).T.ravel()) for i in range(frames)]
    write_rows(folder / "pose.txt", rows)


def travel(seed: int, frames: int) -> tuple[Operation, States]:
    """A camera on its way through the phantom, and where it is at every frame."""
    times = START_MS + STEP_MS * np.arange(frames)
    operation = Operation(WORLD, seed, -(-(int(times[-1]) + START_MS) // 1000))
    return operation, operation.at(times)


def levels(depth: Array) -> Array:
    """The renderer's depth, in mm x 100, as the 16 bits of the data set: (H, W) uint16."""
    wide = WIDER * depth.astype(np.int64)
    scaled = np.minimum(wide * LEVELS // (DEPTH_MM * 100), LEVELS)
    return np.where(wide >= NEAR_MM * 100, scaled, 0).astype(np.uint16)


def pose_of(state: States) -> Array:
    """Camera to world, (4, 4), in mm: z runs along the tube, and the camera looks off its axis."""
    across, down = (float(v) / (VIEW * SUB) / FOCAL for v in state.camera)
    forward = np.array([across, down, 1.0]) / np.sqrt(across**2 + down**2 + 1)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    angle = 2 * np.pi * int(state.roll) / TURN
    turn = np.array(
        [
            [np.cos(angle), -np.sin(angle), 0.0],
            [np.sin(angle), np.cos(angle), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = turn @ np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[2, 3] = RADIUS_MM * int(state.advance) / ONE
    return pose


def _write_depth(path: Path, depth: Array) -> None:
    buffer = io.BytesIO()
    Image.fromarray(depth).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    write_bytes(path, buffer.getvalue())


C3VD = Layout(
    name="c3vd",
    edition=1,
    settings=("small_side_px", "c3vd_sequences", "c3vd_frames"),
    jobs=jobs,
)
