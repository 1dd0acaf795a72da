"""Which frames make a clip."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.video.sampling import (
    causal_windows,
    centred_windows,
    random_window,
    spread_window,
)

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


@pytest.mark.parametrize("fps", [1.0, 0.5, 2.5, 25.0, 29.97])
@pytest.mark.parametrize("n_frames", LENGTHS)
def test_at_the_rate_of_the_recording_a_causal_window_is_the_last_frames(
    fps: float, n_frames: int
) -> None:
    last = np.arange(n_frames)
    windows = causal_windows(last / fps, 16, fps, fps, n_frames)
    assert windows.dtype == np.int64
    assert np.array_equal(windows, np.maximum(last[:, None] + np.arange(-15, 1), 0))


@pytest.mark.parametrize("fps", [0.3, 0.5, 1.0, 2.0, 3.7])
@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7, 1.0, 25.0])
def test_no_frame_of_a_causal_window_lies_after_its_moment(fps: float, rate: float) -> None:
    n_frames = int(60 * rate) + 1
    moments = np.arange(0, 59, 0.37)
    windows = causal_windows(moments, 6, fps, rate, n_frames)
    assert (windows / rate <= moments[:, None] + 1e-6).all()
    assert (np.diff(windows, axis=1) >= 0).all()
    assert (moments - windows[:, -1] / rate < 1 / rate + 1e-5).all(), "the newest frame is seen"


@pytest.mark.parametrize("make", [causal_windows, centred_windows])
def test_frames_of_a_window_lie_its_own_step_apart_whatever_the_rate(make) -> None:
    moments = np.arange(20.0, 40)
    fine = make(moments, 6, 2.0, 30.0, 60 * 30)
    assert (np.diff(fine, axis=1) == 15).all()
    slow = make(moments, 6, 2.0, 0.5, 30)
    assert set(np.diff(slow, axis=1).ravel().tolist()) == {0, 1}, "frames are repeated"


def test_pictures_every_two_seconds_are_each_seen_twice_by_a_window_at_one_a_second() -> None:
    assert causal_windows(np.array([6.0, 7.0]), 5, 1.0, 0.5, 9).tolist() == [
        [1, 1, 2, 2, 3],
        [1, 2, 2, 3, 3],
    ]


def test_before_the_start_the_first_frame_is_repeated() -> None:
    assert causal_windows(np.array([2.0]), 5, 1.0, 1.0, 10).tolist() == [[0, 0, 0, 1, 2]]


def test_a_moment_past_the_end_sees_the_last_frames() -> None:
    assert causal_windows(np.array([12.0]), 3, 1.0, 1.0, 10).tolist() == [[7, 8, 9]]


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_a_centred_window_has_half_of_its_frames_on_either_side(frames: int) -> None:
    (window,) = centred_windows(np.array([50.0]), frames, 1.0, 1.0, 100)
    assert (window < 50).sum() == (frames - 1) // 2
    assert (window > 50).sum() == frames // 2
    assert 50 in window


def test_a_centred_window_repeats_both_ends() -> None:
    windows = centred_windows(np.array([0.0, 9.0]), 4, 1.0, 1.0, 10)
    assert windows.tolist() == [[0, 0, 1, 2], [8, 9, 9, 9]]


@pytest.mark.parametrize("frames", [1, 2, 7, 16])
def test_spread_frames_are_in_the_stretch_as_evenly_as_whole_numbers_allow(frames: int) -> None:
    for count in range(1, 70):
        window = spread_window(3, count, frames)
        assert window.shape == (frames,)
        assert window.min() >= 3
        assert window.max() < 3 + count
        steps = np.diff(window)
        assert frames == 1 or steps.max() - steps.min() <= 1
        assert np.abs(window + window[::-1] - (2 * 3 + count - 1)).max() <= 1, "symmetric"
        if count <= frames:
            assert set(window.tolist()) == set(range(3, 3 + count)), "no frame is lost"


def test_a_moment_before_the_recording_is_an_error() -> None:
    with pytest.raises(ValueError, match="second -1 lies before the recording"):
        causal_windows(np.array([-1.0]), 16, 1.0, 1.0, 10)


def test_a_window_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="from 0 frames"):
        random_window(0, 16, np.random.default_rng(0))
    with pytest.raises(ValueError, match="window of 0 frames"):
        causal_windows(np.zeros(1), 0, 1.0, 1.0, 10)
    with pytest.raises(ValueError, match="from 0 frames"):
        spread_window(0, 0, 16)
