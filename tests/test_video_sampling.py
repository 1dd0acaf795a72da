"""Which frames make a clip."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.video.sampling import causal_window, random_window

LENGTHS = [1, 2, 15, 16, 17, 90]


@pytest.mark.parametrize("n_frames", LENGTHS)
@pytest.mark.parametrize("frames", [1, 2, 16])
def test_a_random_window_is_consecutive_and_within_the_recording(
    n_frames: int, frames: int
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        window = random_window(n_frames, frames, rng)
        assert window.shape == (frames,)
        assert window.dtype == np.int64
        assert 0 <= window[0] <= window[-1] < n_frames
        real = min(frames, n_frames)
        assert (np.diff(window[:real]) == 1).all()
        assert (window[real:] == n_frames - 1).all()


def test_every_start_is_as_likely_as_any_other() -> None:
    rng = np.random.default_rng(0)
    starts = [random_window(20, 16, rng)[0] for _ in range(5000)]
    assert np.bincount(starts, minlength=5) / 5000 == pytest.approx([0.2] * 5, abs=0.02)


def test_the_same_generator_draws_the_same_windows() -> None:
    one, two = (
        [random_window(90, 16, rng).tolist() for _ in range(9)]
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert one == two


@pytest.mark.parametrize("fps", [1.0, 0.5, 2.5, 25.0])
@pytest.mark.parametrize("n_frames", LENGTHS)
def test_a_causal_window_ends_at_its_second_and_sees_nothing_later(
    fps: float, n_frames: int
) -> None:
    for last in range(n_frames):
        window = causal_window(last / fps, 16, fps, n_frames)
        assert window.shape == (16,)
        assert window[-1] == window.max() == last
        assert window.tolist() == [max(0, last - 15 + i) for i in range(16)]


def test_before_the_start_the_first_frame_is_repeated() -> None:
    assert causal_window(2, 5, 1.0, 10).tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("second", [-1, 10, 10.6])
def test_a_second_outside_the_recording_is_an_error(second: float) -> None:
    with pytest.raises(ValueError, match="the recording has 10 frames"):
        causal_window(second, 16, 1.0, 10)


def test_a_window_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="from 0 frames"):
        random_window(0, 16, np.random.default_rng(0))
    with pytest.raises(ValueError, match="window of 0 frames"):
        causal_window(0, 0, 1.0, 10)
