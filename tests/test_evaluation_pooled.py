"""Rates counted over all cases together, and metrics that some cases do not have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unisurg.evaluation import statistics


def test_a_pooled_rate_is_the_sum_of_parts_over_the_sum_of_wholes() -> None:
    table = np.array([[[1.0, 2.0]], [[0.0, 6.0]]])
    assert statistics.value(table) == 1 / 8


def test_a_pooled_column_without_a_whole_does_not_count() -> None:
    table = np.array([[[1.0, 2.0], [0.0, 0.0]], [[2.0, 2.0], [0.0, 0.0]]])
    assert statistics.value(table) == 3 / 4


def test_a_mean_over_cases_is_the_pooled_rate_of_equal_wholes() -> None:
    shares = np.random.default_rng(0).random((6, 3))
    pooled = np.stack([shares, np.ones_like(shares)], axis=2)
    draws = statistics.draw_cases(6, 200, 0)
    one, other = (statistics.estimate([table], draws) for table in (shares, pooled))
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high))


def test_weighing_cases_of_a_pooled_rate_equals_drawing_them() -> None:
    rng = np.random.default_rng(1)
    wholes = rng.integers(0, 3, (5, 4)).astype(float)
    table = np.stack([wholes * rng.random((5, 4)), wholes], axis=2)
    for counts in statistics.draw_cases(5, 20, 2):
        parts, of_all = np.repeat(table, counts, axis=0).sum(0).T
        expected = np.mean(parts[of_all > 0] / of_all[of_all > 0])
        assert math.isclose(statistics.estimate([table], counts[None]).high, expected)


def test_a_pooled_difference_is_paired_by_case() -> None:
    wholes = np.array([[1.0], [40.0], [3.0]])
    theirs = np.stack([wholes * [[0.9], [0.1], [0.5]], wholes], axis=2)
    ours = theirs + np.stack([0.02 * wholes, 0 * wholes], axis=2)
    draws = statistics.draw_cases(3, 300, 0)
    found = statistics.difference([ours], [theirs], draws)
    assert (found.low, found.high) == pytest.approx((0.02, 0.02))


def test_what_no_case_has_is_not_a_number_rather_than_zero() -> None:
    nothing = np.full((3, 2), np.nan)
    found = statistics.estimate([nothing], statistics.draw_cases(3, 50, 0))
    assert math.isnan(statistics.value(nothing))
    assert all(map(math.isnan, (found.mean, found.low, found.high, *found.seeds)))


def test_a_draw_of_cases_without_a_number_does_not_pull_the_interval_to_zero() -> None:
    table = np.array([[0.8], [np.nan], [np.nan]])
    draws = statistics.draw_cases(3, 500, 0)
    assert (draws[:, 0] == 0).mean() > 0.2  # many draws miss the one case that counts
    found = statistics.estimate([table], draws)
    assert (found.low, found.high) == pytest.approx((0.8, 0.8))
    gap = statistics.difference([table], [table - 0.1], draws)
    assert (gap.low, gap.high) == pytest.approx((0.1, 0.1))
