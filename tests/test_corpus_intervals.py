"""Seconds are painted, never lost: theorems on the intervals of one video."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unisurg.corpus import intervals as iv
from unisurg.corpus.intervals import Interval, State

REFUSED = [state for state in State if state is not State.KEEP]
Paint = tuple[list[iv.Span], State, str]


def random_paints(rng: np.random.Generator, duration_s: float, times: int) -> list[Paint]:
    """Spans of any place and length, some beyond the video, some touching, some empty."""
    paints: list[Paint] = []
    for number in range(times):
        starts = rng.uniform(-0.2 * duration_s, 1.1 * duration_s, rng.integers(0, 6))
        if rng.random() < 0.5:
            starts = np.round(starts)
        lengths = rng.choice([0.0, 0.1, 1.0, duration_s / 3, 2 * duration_s], len(starts))
        spans = [(float(s), float(s + n)) for s, n in zip(starts, lengths, strict=True)]
        paints.append((spans, REFUSED[rng.integers(len(REFUSED))], f"reason {number % 3}"))
    return paints


def painted(duration_s: float, paints: list[Paint]) -> tuple[Interval, ...]:
    intervals = iv.whole(duration_s)
    for spans, state, reason in paints:
        intervals = iv.paint(intervals, spans, state, reason, "test")
        assert iv.violation(intervals, duration_s) == ""
    return intervals


def state_at(intervals: tuple[Interval, ...], instant: float) -> tuple[State, str]:
    [here] = [i for i in intervals if i.start_s <= instant < i.end_s]
    return here.state, here.reason


@pytest.mark.parametrize("seed", range(200))
def test_random_paints_in_any_sequence_conserve_every_second(seed: int) -> None:
    rng = np.random.default_rng(seed)
    duration_s = float(rng.choice([0.04, 1.0, 100.0, rng.uniform(1, 20_000)]))
    intervals = painted(duration_s, random_paints(rng, duration_s, int(rng.integers(1, 12))))
    assert iv.conserved(intervals, duration_s)
    totals = iv.seconds_by_state(intervals)
    assert math.fsum(totals.values()) == pytest.approx(duration_s, abs=1e-9 * duration_s)


@pytest.mark.parametrize("seed", range(50))
def test_an_instant_has_the_state_of_the_first_paint_that_covers_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paints = random_paints(rng, 100.0, 8)
    intervals = painted(100.0, paints)
    for instant in rng.uniform(0, 100, 200):
        first = (
            (state, reason)
            for spans, state, reason in paints
            if any(start <= instant < end for start, end in spans)
        )
        assert state_at(intervals, instant) == next(first, (State.KEEP, ""))


@pytest.mark.parametrize("seed", range(50))
def test_what_is_kept_does_not_depend_on_the_order_of_the_paints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paints = random_paints(rng, 100.0, 8)
    kept = iv.of_state(painted(100.0, paints), State.KEEP)
    for _ in range(5):
        rng.shuffle(paints)  # type: ignore[arg-type]
        assert iv.of_state(painted(100.0, paints), State.KEEP) == kept


@pytest.mark.parametrize("seed", range(20))
def test_painting_the_same_again_changes_nothing(seed: int) -> None:
    paints = random_paints(np.random.default_rng(seed), 100.0, 8)
    assert painted(100.0, paints + paints) == painted(100.0, paints)


def test_neighbours_that_say_the_same_become_one_and_others_stay_apart() -> None:
    intervals = painted(
        10.0,
        [
            ([(2, 3)], State.BLUR, "a"),
            ([(3, 4)], State.BLUR, "a"),
            ([(4, 5)], State.BLUR, "b"),
        ],
    )
    assert [(i.start_s, i.end_s, i.state, i.reason) for i in intervals] == [
        (0, 2, State.KEEP, ""),
        (2, 4, State.BLUR, "a"),
        (4, 5, State.BLUR, "b"),
        (5, 10, State.KEEP, ""),
    ]


def test_a_paint_reaches_no_further_than_the_video_and_empty_spans_paint_nothing() -> None:
    black = iv.paint(iv.whole(5.0), [(-3, math.inf)], State.BLACK, "", "test")
    assert [(i.start_s, i.end_s) for i in black] == [(0, 5)]
    assert iv.paint(iv.whole(5.0), [(2, 2), (4, 3), (5, 9)], State.BLACK, "", "t") == iv.whole(5.0)


def test_a_video_of_no_length_has_no_intervals_and_conserves() -> None:
    assert iv.whole(0.0) == ()
    assert iv.conserved(iv.paint((), [(0, 1)], State.BLACK, "", "test"), 0.0)


def interval(start_s: float, end_s: float) -> Interval:
    return Interval(start_s, end_s, State.KEEP, "", "")


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([(0, 4), (5, 10)], "gap between 4 s and 5 s"),
        ([(0, 6), (5, 10)], "overlap between 6 s and 5 s"),
        ([(1, 10)], "gap between 0.0 s and 1 s"),
        ([(0, 9)], "end at 9 s, the video at 10.0 s"),
        ([(0, 11)], "end at 11 s, the video at 10.0 s"),
        ([(0, 5), (5, 5), (5, 10)], "empty or reversed interval at 5 s"),
        ([(0, math.nan)], "empty or reversed"),
        ([], "end at 0.0 s"),
    ],
)
def test_a_broken_cover_is_told_with_its_place(spans: list[iv.Span], words: str) -> None:
    broken = [interval(*span) for span in spans]
    assert not iv.conserved(broken, 10.0)
    assert words in iv.violation(broken, 10.0)


def test_intervals_survive_the_table_in_any_order_of_its_rows() -> None:
    intervals = painted(100.0, random_paints(np.random.default_rng(3), 100.0, 8))
    rows = iv.to_rows("v", intervals)
    assert iv.from_rows(rows[::-1]) == intervals


def test_what_cannot_be_painted_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be painted"):
        iv.paint(iv.whole(1.0), [(0, 1)], State.KEEP, "", "test")
    with pytest.raises(ValueError, match="no place in time"):
        iv.paint(iv.whole(1.0), [(0, math.nan)], State.BLACK, "", "test")
    for duration_s in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot last"):
            iv.whole(duration_s)
