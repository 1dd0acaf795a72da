"""Crops of clips: where they lie, and what is done to their pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unisurg.video.transforms import centre_box, crop_and_resize, random_box, random_resized_crop


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_a_crop_lies_in_the_picture_and_has_the_area_it_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        top, left, height, width = random_box(60, 80, (0.4, 0.6), rng)
        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        areas.append(height * width / 4800)
    assert min(areas) > 0.38
    assert max(areas) < 0.62
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_one_crop_holds_for_every_frame() -> None:
    clip = np.repeat(noise(1, 40, 40), 5, axis=0)
    out = random_resized_crop(clip, 16, (0.3, 0.9), True, np.random.default_rng(1))
    assert (out == out[:1]).all()


def test_a_crop_at_its_own_size_is_the_pixels_themselves() -> None:
    clip = noise(2, 40, 50)
    assert np.array_equal(crop_and_resize(clip, (3, 7, 16, 16), 16), clip[:, 3:19, 7:23])


def test_shrinking_by_a_whole_number_averages_the_pixels() -> None:
    clip = noise(2, 64, 48)
    blocks = clip.reshape(2, 16, 4, 16, 3, 3).mean((2, 4))
    out = crop_and_resize(clip, (0, 0, 64, 48), 16)
    assert np.abs(out - blocks).max() <= 0.5 + 1e-6


def test_enlarging_stays_between_the_pixels() -> None:
    clip = np.zeros((1, 4, 4, 3), np.uint8)
    clip[:, :, 2:] = 200
    out = crop_and_resize(clip, (0, 0, 4, 4), 16)
    assert out.shape == (1, 16, 16, 3)
    assert (np.diff(out[0, 0, :, 0].astype(int)) >= 0).all()
    assert (out[0, 0, 0, 0], out[0, 0, -1, 0]) == (0, 200)


@pytest.mark.parametrize(
    ("height", "width", "box"), [(30, 50, (0, 10, 30, 30)), (50, 31, (9, 0, 31, 31))]
)
def test_the_centre_crop_is_the_largest_square_in_the_middle(height, width, box) -> None:
    assert centre_box(height, width) == box


def test_mirroring_is_the_same_crop_mirrored() -> None:
    clip = noise(2, 40, 40)
    mirrored = 0
    for seed in range(20):
        plain, maybe = (
            random_resized_crop(clip, 16, (0.3, 0.9), flip, np.random.default_rng(seed))
            for flip in (False, True)
        )
        if not np.array_equal(plain, maybe):
            assert np.array_equal(plain[:, :, ::-1], maybe)
            mirrored += 1
    assert 4 <= mirrored <= 16


def test_what_a_worker_imports_is_light() -> None:
    script = (
        "import sys, unisurg.pretrain.samples, unisurg.video.shards, unisurg.video.clips\n"
        "heavy = ('torch', 'pandas', 'pyarrow', 'pydantic', 'decord', 'cv2', 'timm')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
