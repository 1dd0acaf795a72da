"""Rectangles are painted black, whole, alike at every size, and never too many of them."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.corpus.deid.overlays import (
    OverlayError,
    Rectangle,
    checked,
    mask,
    paint,
    painted_share,
    pixel_rectangles,
    within_bound,
)

CORNERS = [
    Rectangle(0, 0, 0.25, 0.1),
    Rectangle(0.2, 0.05, 0.2, 0.1),
    Rectangle(0.9, 0.9, 0.1, 0.1),
]


def drawn(rng: np.random.Generator, number: int) -> list[Rectangle]:
    low = rng.uniform(0, 0.9, (number, 2))
    size = rng.uniform(0.001, 1, (number, 2)) * (1 - low)
    return [Rectangle(*map(float, row)) for row in np.hstack([low, size])]


def test_a_pixel_that_a_rectangle_touches_is_painted_and_no_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        width, height = (int(side) for side in rng.integers(1, 60, 2))
        rectangles = drawn(rng, 3)
        painted = mask(rectangles, width, height)
        for row in range(height):
            for column in range(width):
                touched = any(
                    x * width < column + 1 and (x + w) * width > column
                    and y * height < row + 1 and (y + h) * height > row
                    for x, y, w, h in rectangles
                )  # fmt: skip
                assert painted[row, column] == touched


def test_shares_that_mean_whole_pixels_paint_just_these() -> None:
    for width in (7, 100, 640, 853, 1920):
        for left in range(0, width - 3, max(1, width // 40)):
            share = Rectangle(left / width, 0.0, 3 / width, 1.0)
            assert pixel_rectangles([share], width, 10).tolist() == [[left, 0, left + 3, 10]]


@pytest.mark.parametrize("shape", [(48, 80, 3), (5, 48, 80, 3), (2, 3, 48, 80, 3)])
def test_frames_and_batches_are_painted_in_a_copy(shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(1).integers(1, 256, shape, dtype=np.uint8)
    before, painted = frames.copy(), paint(frames, CORNERS)
    below = mask(CORNERS, 80, 48)
    assert (painted[..., below, :] == 0).all()
    np.testing.assert_array_equal(painted[..., ~below, :], frames[..., ~below, :])
    np.testing.assert_array_equal(frames, before)


def test_neither_order_nor_repetition_changes_what_is_painted() -> None:
    rng = np.random.default_rng(2)
    rectangles = drawn(rng, 6)
    frame = rng.integers(0, 256, (50, 90, 3), dtype=np.uint8)
    shuffled = [rectangles[i] for i in rng.permutation(6)] + rectangles[:2]
    np.testing.assert_array_equal(paint(frame, rectangles), paint(frame, shuffled))
    assert painted_share(shuffled) == painted_share(rectangles)
    np.testing.assert_array_equal(
        pixel_rectangles(rectangles, 90, 50), pixel_rectangles(shuffled, 90, 50)
    )


def test_the_painted_share_counts_overlaps_once() -> None:
    assert painted_share([]) == 0
    assert painted_share([Rectangle(0, 0, 1, 1), *CORNERS]) == 1
    assert painted_share(CORNERS) == pytest.approx(0.025 + 0.02 - 0.05 * 0.05 + 0.01)


def test_the_painted_share_is_that_of_the_pixels() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        rectangles = drawn(rng, int(rng.integers(1, 8)))
        share = mask(rectangles, 1000, 1000).mean()
        assert share - 0.02 <= painted_share(rectangles) <= share


def test_a_source_that_needs_too_much_paint_is_refused() -> None:
    assert within_bound(CORNERS, 0.06) == painted_share(CORNERS)
    with pytest.raises(OverlayError, match=r"5% of the picture .* at most 4% may be"):
        within_bound(CORNERS, 0.04)


@pytest.mark.parametrize(
    "rectangle",
    [(0.5, 0, 0.6, 1), (-0.1, 0, 0.5, 1), (0, 0, 0, 1), (0, 0, 1, -1), (0, 0, float("nan"), 1),
     (float("nan"), 0, 1, 1), (0, 0, 1, float("inf")), (0, 0, 100, 20)],
)  # fmt: skip
def test_a_rectangle_that_cannot_be_meant_is_an_error(rectangle: tuple) -> None:
    with pytest.raises(OverlayError, match="empty or leaves the picture"):
        checked([rectangle])
    for use in (painted_share, lambda r: mask(r, 9, 9), lambda r: within_bound(r, 1.0)):
        with pytest.raises(OverlayError):
            use([Rectangle(*rectangle)])


def test_what_is_no_rgb_frame_is_not_painted() -> None:
    with pytest.raises(OverlayError, match="wanted RGB frames"):
        paint(np.zeros((10, 10), np.uint8), CORNERS)
