"""Which frame belongs to which instant."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from unisurg.corpus.timing import Clock, on_grid

RATES = [Fraction(rate) for rate in ("1", "5", "24", "25", "30000/1001", "50", "60")]


def picked(times: list[Fraction], fps: Fraction, item_s: Fraction) -> list[int]:
    return list(on_grid(((time, i) for i, time in enumerate(times)), fps, item_s))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("fps", [Fraction(1), Fraction(4), Fraction("2.5")])
def test_every_pick_is_the_nearest_frame_at_any_constant_rate(
    rate: Fraction, fps: Fraction
) -> None:
    for n in (1, 2, 7, 100):
        times = [i / rate for i in range(n)]
        for k, i in enumerate(picked(times, fps, 1 / rate)):
            assert abs(times[i] - k / fps) == min(abs(time - k / fps) for time in times)


@pytest.mark.parametrize("seed", range(20))
def test_every_pick_is_the_nearest_frame_at_a_variable_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = np.concatenate([[0], np.cumsum(rng.integers(1, 900, 60))])
    times = [Fraction(int(stamp), 1000) for stamp in stamps]
    indices = picked(times, Fraction(1), Fraction(1, 25))
    for k, i in enumerate(indices):
        assert abs(times[i] - k) == min(abs(time - k) for time in times)
    assert indices == sorted(indices)
    assert len(indices) in (int(times[-1]) + 1, round(times[-1]) + 1)


def test_of_two_frames_as_near_the_earlier_is_taken() -> None:
    assert (
        picked([Fraction(0), Fraction(1, 2), Fraction(3, 2)], Fraction(1), Fraction(1, 2))[1] == 1
    )


@pytest.mark.parametrize("n", [1, 24, 25, 26, 249, 250, 251])
def test_a_whole_multiple_takes_every_mth_frame_and_loses_no_labelled_second(n: int) -> None:
    times = [Fraction(i, 25) for i in range(n)]
    assert picked(times, Fraction(1), Fraction(1, 25)) == list(range(0, n, 25))


def test_a_slow_source_repeats_frames_for_as_long_as_it_lasts() -> None:
    times = [Fraction(2 * i) for i in range(5)]
    assert picked(times, Fraction(1), Fraction(2)) == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_an_hour_at_29_97_fps_drifts_by_no_more_than_half_a_frame() -> None:
    rate = Fraction(30000, 1001)
    indices = picked([i / rate for i in range(107_892)], Fraction(1), 1 / rate)
    assert len(indices) == 3600
    assert max(abs(i / rate - k) for k, i in enumerate(indices)) <= 1 / rate / 2


def test_nothing_gives_nothing() -> None:
    assert picked([], Fraction(1), Fraction(1, 25)) == []


def times_of(stamps: list[int | None]) -> tuple[list[float], Clock]:
    clock = Clock(Fraction(1, 100), Fraction(1, 25))
    return [float(clock.time(stamp)) for stamp in stamps], clock


def test_time_counts_from_the_first_frame_wherever_its_stamps_start() -> None:
    assert times_of([700, 704, 720])[0] == [0.0, 0.04, 0.2]
    assert times_of([-8, -4, 0])[0] == [0.0, 0.04, 0.08]


def test_a_frame_without_a_stamp_follows_by_one_frame() -> None:
    assert times_of([None, None, 8, 12])[0] == [0.0, 0.04, 0.08, 0.12]
    assert times_of([10, None, 18])[0] == [0.0, 0.04, 0.08]


@pytest.mark.parametrize("jump", [100_000, -5_000])
def test_a_clock_that_jumps_or_restarts_goes_on_by_one_frame_and_is_counted(jump: int) -> None:
    times, clock = times_of([500, 504, 508 + jump, 512 + jump])
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12])
    assert clock.jumps == 1


def test_a_pause_within_a_recording_is_kept() -> None:
    times, clock = times_of([0, 4, 3004, 3008])
    assert times == [0.0, 0.04, 30.04, 30.08]
    assert clock.jumps == 0


def test_frames_out_of_order_never_turn_time_back() -> None:
    times, clock = times_of([0, 8, 4, 12])
    assert times == [0.0, 0.08, 0.08, 0.12]
    assert clock.jumps == 0


def test_rounded_stamps_of_a_constant_rate_are_not_a_variable_rate() -> None:
    clock = Clock(Fraction(1, 1000), Fraction(1001, 30000))
    for i in range(100):
        clock.time(round(i * 1001 / 30))
    assert not clock.variable
    assert times_of([0, 4, 8, 20, 24])[1].variable


def test_the_longest_gap_is_told_and_a_single_frame_has_none() -> None:
    assert times_of([0, 4, 30, 34])[1].longest_gap_s == pytest.approx(0.26)
    assert math.isnan(times_of([7])[1].longest_gap_s)
