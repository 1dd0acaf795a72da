"""The omnidirectional camera: there and back again, hand-worked pixels, the way to a pinhole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from unisurg.benchmarks.c3vd import CAMERA
from unisurg.video.omnidirectional import (
    CameraError,
    Omnidirectional,
    Pinhole,
    pinhole_of,
    undistort,
    undistortion_maps,
)

PLAIN = Omnidirectional(200, 160, 100, 80, a0=120, a2=0, a3=0, a4=0, c=1, d=0, e=0)


@pytest.fixture(scope="module")
def c3vd() -> Omnidirectional:
    return Omnidirectional.of(CAMERA)


def pixels(camera: Omnidirectional, count: int = 2000) -> np.ndarray:
    far = (camera.width - 1, camera.height - 1)
    drawn = np.random.default_rng(1).uniform((0, 0), far, (count, 2))
    return np.vstack([drawn, (0, 0), far, (camera.cx, camera.cy)])


def test_a_point_on_the_ray_of_a_pixel_is_projected_to_that_pixel(c3vd: Omnidirectional) -> None:
    seen = pixels(c3vd)
    distance = np.linspace(0.5, 100, len(seen))[:, None]
    assert np.abs(c3vd.project(c3vd.rays(seen) * distance) - seen).max() < 1e-9


def test_a_depth_is_along_the_axis_and_comes_back_as_the_z_of_the_point(
    c3vd: Omnidirectional,
) -> None:
    seen = pixels(c3vd)
    depth = np.linspace(0.5, 100, len(seen))
    points = c3vd.back_project(seen, depth)
    forward = c3vd.rays(seen)[:, 2] > 0
    assert 0.95 < forward.mean() < 1
    assert np.allclose(points[forward, 2], depth[forward])
    assert np.abs(c3vd.project(points[forward]) - seen[forward]).max() < 1e-9
    assert np.isnan(points[~forward]).all()


def test_the_ray_of_c3vds_pixels_is_the_polynomial_by_hand(c3vd: Omnidirectional) -> None:
    # 100 pixels off the centre along x, before the stretch.
    pixel = (c3vd.cx + 100 * c3vd.c, c3vd.cy + 100 * c3vd.e)
    z = 769.243600037458 - 8.12770624150226 + 0.625674244578925 - 0.11966218214428
    expected = np.array([100, 0, z]) / math.hypot(100, z)
    assert np.allclose(c3vd.rays(np.array(pixel)), expected, atol=1e-12)
    assert np.allclose(c3vd.rays(np.array((c3vd.cx, c3vd.cy))), (0, 0, 1))
    assert np.allclose(c3vd.project(np.array([100, 0, z])), pixel)


def test_a_point_beyond_the_corner_is_not_seen(c3vd: Omnidirectional) -> None:
    assert np.isnan(c3vd.project(np.array([0.0, 0.0, -1.0]))).all()
    assert np.isnan(PLAIN.project(np.array([10.0, 0.0, 0.1]))).all()


def test_without_polynomial_and_stretch_the_camera_is_a_pinhole() -> None:
    points = np.array([[1.0, 2.0, 5.0], [-3.0, 1.0, 9.0]])
    expected = 120 * points[:, :2] / points[:, 2:] + (100, 80)
    assert np.allclose(PLAIN.project(points), expected)
    columns, rows = undistortion_maps(PLAIN, pinhole_of(PLAIN))
    assert np.abs(columns - np.arange(200)).max() < 1e-4
    assert np.abs(rows - np.arange(160)[:, None]).max() < 1e-4


def test_a_plane_that_is_seen_through_the_camera_is_flat_for_the_pinhole() -> None:
    camera = dataclasses.replace(PLAIN, a2=-2e-3, c=1.01, d=0.02, e=-0.01)
    row, column = np.mgrid[: camera.height, : camera.width]
    rays = camera.rays(np.stack([column, row], axis=-1))
    # A plane that is tilted about both axes: 3 x + 2 y + 10 z = 400.
    depth = (400 / (rays @ (3, 2, 10)) * rays[..., 2]).astype(np.float32)
    pinhole = pinhole_of(camera)
    straight = undistort(depth, undistortion_maps(camera, pinhole), nearest=False)
    x, y = (column - pinhole.cx) / pinhole.focal, (row - pinhole.cy) / pinhole.focal
    expected = 400 / (3 * x + 2 * y + 10)
    assert np.abs(straight - expected)[4:-4, 4:-4].max() < 0.01
    assert np.abs(depth - expected)[4:-4, 4:-4].max() > 1


def test_the_nearest_rule_invents_no_depth_and_what_is_not_seen_is_zero() -> None:
    camera = dataclasses.replace(PLAIN, a2=-2e-3)
    steps = np.where(np.arange(200) < 90, 10.0, 60.0)[None].repeat(160, 0).astype(np.float32)
    wide = Pinhole(focal=30, cx=100, cy=80, width=200, height=160)
    maps = undistortion_maps(camera, wide)
    assert set(np.unique(undistort(steps, maps, nearest=True))) == {0, 10, 60}
    assert undistort(steps, maps, nearest=True)[0, 0] == 0
    assert 10 < undistort(steps, maps, nearest=False)[80].max() <= 60
    color = np.full((160, 200, 3), 9, np.uint8)
    assert undistort(color, maps, nearest=False)[80, 100].tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a0": -1.0}, "a0 is -1"),
        ({"c": 0.0, "d": 0.0}, "flatten the picture"),
        ({"a2": 0.05}, "the same ray"),
    ],
)
def test_parameters_of_no_camera_are_refused(change: dict[str, float], told: str) -> None:
    with pytest.raises(CameraError, match=told):
        dataclasses.replace(PLAIN, **change)
