"""Pixels and their labels: the same on every machine, true of one another, and fast.

`python tests/test_theatre_pixels.py` prints the fingerprints; they belong here when the look of the
theatre is changed on purpose (then raise the `edition` of its layouts as well).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from unisurg.synthetic.exact import ONE, TURN, angle_of
from unisurg.synthetic.labels import describe, tools
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.picture import AREA_KEPT, polyp_picture
from unisurg.synthetic.render import Frame, Renderer
from unisurg.synthetic.view import FIXED
from unisurg.synthetic.worlds import WORLDS

MOMENTS_MS = (0, 7_040, 15_200, 23_760)
RECORDED = (
    "laparoscopy-a",
    "laparoscopy-b",
    "colonoscopy",
    "arthroscopy",
    "pelvis",
    "liver",
    "nose",
    "brain",
    "eye",
    "open",
    "colonoscopy-clear",
)
GOLDEN = {
    "laparoscopy-a": "6736c7b8e62a093f6fdc1c41492be37978d7b6f6cd2a8fe9e14792092b177fc5",
    "laparoscopy-b": "51c30b7f9db8c6176f20421bc9a0dc3bfc557dbdf6481c44a3c566be58b3e291",
    "colonoscopy": "19e866b5c6e52b0a099252bcf61fbf42b539900c84570bfbb4288314d391adad",
    "arthroscopy": "efcf0b5192ecf1b738199fcca5314882732a939f18c606b36fd48c86db974221",
    "pelvis": "fc7023143aeb2233957d89fe5039230303490bfecfbc5d313ab950ffedf71442",
    "liver": "12786b27f1d013456251fdbf4d6e6430356d71d9b36101791bb3078d2f49c99c",
    "nose": "0cad1962f5586f9162ecc1011cdaf84e4e7e770c78b93ae02af9ce69edc2d2fa",
    "brain": "b2250d133c8ae4656284bb1cf011a4f722c01973aec6d877661168290a9d44df",
    "eye": "56a7a8d5377fed186a75021cd62e90f8962cbc02d6b48aaf07ecc112b8ba5dc2",
    "open": "b098b4924f003afcbdeed9556b4156303293a27a783681500c3f81fadfa81aef",
    "colonoscopy-clear": "793ab42de4c9d11a887bb8196040ee25797d68eff288a98c66fbdfb1de7929fc",
    "polyps": "007eaca3118b3477f5f5684e7b28a623c661dbeb7abb17bce3f54077e0836554",
}


def fingerprint(name: str) -> str:
    """sha256 of raw pixels and labels: of four frames of a world, or of three polyp pictures."""
    digest = hashlib.sha256()
    if name == "polyps":
        for seed in range(3):
            for array in polyp_picture(seed):
                digest.update(array.tobytes())
        return digest.hexdigest()
    for frame in frames_of(name, seed=11, side=256):
        for array in (frame.rgb, frame.instruments, frame.lesion, frame.depth, frame.motion):
            digest.update(array.tobytes())
    return digest.hexdigest()


def frames_of(world: str, seed: int, side: int) -> list[Frame]:
    operation = Operation(world, seed, 30)
    renderer = Renderer(operation, side, side)
    pairs = (operation.at(np.array([max(0, ms - 40), ms])) for ms in MOMENTS_MS)
    return [renderer.frame(pair[1], pair[0]) for pair in pairs]


@pytest.mark.parametrize("name", [*RECORDED, "polyps"])
def test_pixels_and_labels_are_the_golden_ones(name: str) -> None:
    assert fingerprint(name) == GOLDEN[name]


def test_pixels_do_not_depend_on_the_instructions_of_the_processor() -> None:
    from numpy._core import _multiarray_umath as core

    optional = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    if not optional:
        pytest.skip("numpy has no instruction sets to switch off on this processor")
    environment = dict(os.environ, NPY_DISABLE_CPU_FEATURES=" ".join(optional))
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [word for pair in GOLDEN.items() for word in pair]


def test_the_field_is_round_on_black() -> None:
    rgb = frames_of("laparoscopy-a", 0, 128)[1].rgb
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()
    assert rgb[48:80, 48:80].mean() > 40


@pytest.mark.parametrize("world", ["laparoscopy-a", "arthroscopy"])
def test_the_instrument_mask_covers_what_the_instruments_change(world: str) -> None:
    operation = Operation(world, 2, 30)
    renderer = Renderer(operation, 256, 256)
    state = operation.at(np.array([9_000]))[0]
    frame = renderer.frame(state, state)
    bare = renderer.rgb(replace(state, inserted=np.zeros(2, np.int64)))
    changed = np.abs(frame.rgb.astype(int) - bare).max(axis=-1) > 6
    assert {1, 2} <= set(np.unique(frame.instruments))
    assert changed[frame.instruments > 0].mean() > 0.9
    lighter = (frame.rgb.astype(int) - bare).max(axis=-1) > 6  # a shadow only darkens
    assert lighter[frame.instruments == 0].mean() < 0.01


def test_instruments_lie_above_the_tissue() -> None:
    operation = Operation("laparoscopy-a", 2, 30)
    renderer = Renderer(operation, 128, 128)
    state = operation.at(np.array([9_000]))[0]
    frame = renderer.frame(state, state)
    without = replace(state, inserted=np.zeros(2, np.int64))
    tissue = renderer.frame(without, without).depth.astype(int)
    tool = frame.instruments > 0
    assert np.array_equal(frame.depth[~tool], tissue[~tool])
    assert (frame.depth[tool] < tissue[tool])[renderer.field[tool] > 0].all()
    seen = frame.depth[renderer.field > 0]
    assert seen.min() > 10_00
    assert seen.max() < 250_00
    assert not frame.depth[renderer.field == 0].any()


@pytest.mark.parametrize("world", ["laparoscopy-a", "arthroscopy", "colonoscopy"])
def test_motion_says_where_the_tissue_came_from(world: str) -> None:
    operation = Operation(world, 4, 30)
    renderer = Renderer(operation, 256, 256)
    states = operation.at(np.arange(0, 30_000, 200))
    moved = np.abs(np.diff(states.camera, axis=0)).sum(axis=1)
    start = 60 if world == "colonoscopy" else int(moved.argmax())  # a scope in a tunnel never rests
    before, after = states[start], states[start + 1]
    frame = renderer.frame(after, before)
    rows, cols = (index - 0.0 for index in np.indices((256, 256)))
    from_row = np.round(rows - frame.motion[..., 1] / FIXED).astype(int)
    from_col = np.round(cols - frame.motion[..., 0] / FIXED).astype(int)
    inside = (from_row >= 0) & (from_row < 256) & (from_col >= 0) & (from_col < 256)
    ring = np.hypot(rows - 128, cols - 128)
    kept = inside & (frame.instruments == 0) & (ring < 110) & (ring > 40)
    now, then = (np.stack(renderer._looks_at(state)) for state in (after, before))
    error = np.abs(now[:, kept] - then[:, from_row[kept], from_col[kept]])
    side = renderer.tissue.side * FIXED
    error = np.minimum(error, side - error) if world == "colonoscopy" else error
    assert np.median(error) <= 2 * FIXED  # one pixel is two texture pixels
    assert np.median(np.abs(now - then)) > 0


def test_colonoscopy_shows_lesions_and_laparoscopy_none() -> None:
    shown = [
        frame.lesion.mean() for seed in range(4) for frame in frames_of("colonoscopy", seed, 96)
    ]
    assert 0.005 < np.mean(shown) < 0.5
    assert not any(frame.lesion.any() for frame in frames_of("laparoscopy-a", 1, 128))


def test_a_grasp_draws_the_tissue() -> None:
    operation = Operation("laparoscopy-a", 0, 30)
    renderer = Renderer(operation, 128, 128)
    states = operation.at(np.arange(3_000, 27_000, 100))
    state = states[int(states.grip[:, 1].argmax())]
    free = replace(state, grip=np.zeros(2, np.int64))
    assert state.grip[1] == ONE
    moved = renderer.frame(state, free).motion[..., 0] != 0
    assert 0 < moved.mean() < 0.4


@pytest.mark.parametrize("nuisance", ["smoke", "fluid", "gloss", "level"])
def test_every_nuisance_changes_the_picture(nuisance: str) -> None:
    operation = Operation("laparoscopy-b", 0, 30)
    renderer = Renderer(operation, 128, 128)
    state = operation.at(np.array([8_000]))[0]
    less, more = (
        renderer.rgb(replace(state, **{nuisance: np.int64(value)})) for value in (100, 700)
    )
    assert np.mean(np.abs(less.astype(int) - more) > 3) > 0.002


def test_labels_speak_of_the_world_that_they_label() -> None:
    operation = Operation("laparoscopy-a", 6, 20)
    labels = describe(operation, Renderer(operation, 64, 64), "laparoscopy-a")
    assert len(labels["phase_per_second"]) == len(labels["triplets_per_second"]) == 20
    seen = {triplet for second in labels["triplets_per_second"] for triplet in second}
    names = {instrument.name.lower() for instrument in operation.world.instruments}
    assert {instrument for instrument, _, _ in seen} <= names
    assert {target for _, _, target in seen} <= {*operation.world.targets, "null_target"}
    assert len({verb for _, verb, _ in seen}) > 1
    assert 6 <= labels["skill"]["grs"] <= 30
    present = tools(operation, operation.at(np.arange(20) * 1000))
    assert present.shape == (20, 7)
    assert present.sum(axis=1).max() <= 2


def test_polyps_fill_the_area_that_they_should() -> None:
    shapes = set()
    for seed in range(8):
        picture, cover = polyp_picture(100 + seed)
        assert picture.shape == (*cover.shape, 3)
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        assert AREA_KEPT[0] * 0.9 < (cover > 128).mean() < AREA_KEPT[1] * 1.05
        shapes.add(cover.shape)
    assert len(shapes) > 1


def test_directions_agree_with_the_arc_tangent() -> None:
    for x, y in [(1, 0), (3, 1), (1, 3), (-2, 5), (-7, -1), (4, -9), (0, -1)]:
        exact = np.arctan2(y, x) / (2 * np.pi) * TURN % TURN
        assert abs(angle_of(x, y) - exact) <= 4


def test_every_world_can_be_drawn_in_another_shape() -> None:
    for world in WORLDS:
        operation = Operation(world, 0, 5)
        picture = Renderer(operation, 64, 96).rgb(operation.at(np.array([3_000]))[0])
        assert picture.shape == (64, 96, 3)
        assert picture.std() > 10


if __name__ == "__main__":
    for name in (*RECORDED, "polyps"):
        print(name, fingerprint(name))
