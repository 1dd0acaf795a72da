"""Hashes, content box, quality, medians: what each says of pictures whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from corpus_scans import HEIGHT, WIDTH, letterboxed, masked, pan, texture
from scipy.fft import dctn

from unisurg.corpus.scan.box import Box, content_box, field_circle, moving
from unisurg.corpus.scan.hashes import COLUMNS, distance, hashes, phash
from unisurg.corpus.scan.medians import comparators, temporal_median
from unisurg.corpus.scan.quality import quality

SEEDS = range(12)


def luma(seed: int) -> np.ndarray:
    return cv2.cvtColor(texture(seed, 456, 256), cv2.COLOR_RGB2GRAY)


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def lumas_of(frames: list[np.ndarray]) -> np.ndarray:
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def by_definition(picture: np.ndarray) -> int:
    """The hash as its docstring defines it, computed with scipy."""
    small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    waves = np.rint(dctn(small.astype(float), norm="ortho")[:8, :8])
    middle = np.median(np.delete(waves.ravel(), 0))
    found = 0
    for v in range(8):
        for u in range(8):
            if (u, v) != (0, 0) and waves[v, u] > middle:
                found |= 1 << (63 - (8 * v + u))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hash_is_what_its_definition_says(seed):
    assert bits(phash(luma(seed)), by_definition(luma(seed))) <= 1  # an amplitude near a half


def test_equal_pictures_have_equal_hashes_and_others_differ_in_half_the_bits():
    rows = np.array([hashes(luma(seed)) for seed in SEEDS])
    assert (rows == np.array([hashes(luma(seed)) for seed in SEEDS])).all()
    apart = [distance(rows[i, 0], rows[j, 0]) for i in SEEDS for j in range(i)]
    assert min(apart) > 13
    assert 28 < np.mean(apart) < 36


CHANGES = {
    "coarse JPEG": lambda x: cv2.imdecode(
        cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE
    ),
    "half the size": lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "other proportions": lambda x: cv2.resize(x, (300, 256), interpolation=cv2.INTER_AREA),
    "a fifth brighter": lambda x: cv2.convertScaleAbs(x, alpha=1.2),
    "blurred": lambda x: cv2.GaussianBlur(x, (0, 0), 2),
    "noisy": lambda x: cv2.add(x, np.random.default_rng(0).integers(0, 12, x.shape, np.uint8)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_differs_in_few_bits(change):
    apart = [bits(phash(luma(seed)), phash(CHANGES[change](luma(seed)))) for seed in SEEDS]
    assert max(apart) <= 6
    assert np.mean(apart) <= 2


def test_the_mirrored_hash_is_the_hash_of_the_mirrored_picture():
    for seed in SEEDS:
        turned = np.ascontiguousarray(luma(seed)[:, ::-1])
        assert hashes(luma(seed))[COLUMNS.index("phash_mirror")] == phash(turned)


@pytest.mark.parametrize(("column", "share"), [("phash_92", 0.92), ("phash_84", 0.84)])
def test_the_hash_of_a_crop_finds_a_copy_that_was_cropped(column, share):
    for seed in SEEDS:
        height, width = luma(seed).shape
        top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
        cropped = luma(seed)[top : height - top, left : width - left]
        larger = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_LINEAR)
        assert bits(int(hashes(luma(seed))[COLUMNS.index(column)]), phash(larger)) <= 3


@pytest.mark.parametrize("level", [0, 16, 77, 255])
def test_a_picture_without_detail_has_the_hash_0(level):
    assert phash(np.full((256, 456), level, np.uint8)) == 0


def test_a_black_picture_is_dark_and_flat_and_holds_no_information():
    black = np.zeros((64, 64), np.uint8)
    assert quality(black, black) == (0, 1, 0, 0, 0)


def test_a_picture_like_the_one_before_it_differs_by_nothing_and_the_first_from_none():
    assert quality(luma(0), luma(0))[4] == 0
    assert quality(luma(0), luma(1))[4] > 10
    assert np.isnan(quality(luma(0), None)[4])


def test_the_more_a_picture_is_blurred_the_less_its_laplacian_varies():
    blurred = [cv2.GaussianBlur(luma(0), (0, 0), sigma) for sigma in (1, 2, 4, 8)]
    varied = [quality(picture, None)[2] for picture in (luma(0), *blurred)]
    assert varied == sorted(varied, reverse=True)
    assert varied[-1] < varied[0] / 50


def test_the_entropy_of_all_levels_alike_is_8_bits_and_that_of_two_is_1():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    assert quality(ramp, None)[3] == pytest.approx(8)
    assert quality((ramp > 127).astype(np.uint8), None)[3] == pytest.approx(1)


def test_the_box_leaves_out_bars_and_the_text_on_them():
    frames = letterboxed(pan(0, 480, every=20), bar=24, text="DOE JANE 1970-01-02")
    assert frames[0][:24].max() > 200  # the text is there
    box = content_box(moving(lumas_of(frames), 1.5))
    assert (box.x, box.w) == (0, WIDTH)
    assert box.y == pytest.approx(24, abs=2)
    assert box.y + box.h == pytest.approx(HEIGHT - 24, abs=2)


def test_neither_a_clock_on_a_bar_nor_a_title_card_widens_the_box():
    frames = letterboxed(pan(0, 480, every=20), bar=30)
    for i, frame in enumerate(frames):
        cv2.putText(frame, f"{i:05d}", (8, 20), 0, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    frames[:2] = [texture(9, WIDTH, HEIGHT)] * 2
    box = content_box(moving(lumas_of(frames), 1.5))
    assert box.y == pytest.approx(30, abs=2)


def test_a_dark_corner_that_varies_is_part_of_the_picture():
    frames = [frame // 12 for frame in pan(0, 480, every=20)]
    assert max(frame.max() for frame in frames) < 22
    assert content_box(moving(lumas_of(frames), 1.0)) == Box(0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("n", [1, 24])
def test_a_recording_in_which_nothing_varies_is_all_picture(n):
    still = np.repeat(luma(0)[None], n, axis=0)
    moves = moving(still, 1.5)
    assert content_box(moves) == Box(0, 0, 456, 256)
    assert field_circle(moves, content_box(moves)) is None


@pytest.mark.parametrize(
    ("cx", "cy", "r"),
    [(160, 96, 90), (150.5, 100.5, 80.2), (165, 100, 120)],
    ids=["whole", "off the centre", "cut off above and below"],
)
def test_a_round_field_of_view_is_found(cx, cy, r):
    moves = moving(lumas_of(masked(pan(0, 480, every=20), cx, cy, r)), 1.5)
    circle = field_circle(moves, content_box(moves))
    assert circle is not None
    assert (circle.cx, circle.cy) == pytest.approx((cx, cy), abs=2)
    assert circle.r == pytest.approx(r, abs=2.5)


@pytest.mark.parametrize("bar", [0, 30])
def test_no_circle_is_found_in_a_rectangular_picture(bar):
    frames = letterboxed(pan(0, 480, every=20), bar) if bar else pan(0, 480, every=20)
    moves = moving(lumas_of(frames), 1.5)
    assert field_circle(moves, content_box(moves)) is None


def test_a_box_is_the_same_part_of_the_picture_at_any_size():
    assert Box(10, 20, 30, 40).scaled(100, 100, 1000, 200) == Box(100, 40, 300, 80)


@pytest.mark.parametrize("n", range(1, 33))
def test_the_median_of_any_number_of_frames_is_the_lower_middle_one(n):
    frames = np.random.default_rng(n).integers(0, 256, (n, 40, 500), np.uint8)
    expected = np.sort(frames, axis=0)[(n - 1) // 2]
    assert (temporal_median(list(frames)) == expected).all()


def test_24_frames_are_sorted_by_few_comparisons():
    assert len(list(comparators(24))) < 130
