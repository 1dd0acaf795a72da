"""The bootstrap gives known answers, and published numbers keep their source."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from unisurg import benchmarks
from unisurg.evaluation import statistics
from unisurg.evaluation.published import published
from unisurg.tasks.base import Drawn


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


def test_a_metric_is_a_mean_over_cases_per_column_then_over_columns() -> None:
    table = np.array([[1.0, np.nan], [0.0, np.nan], [0.5, 0.1]])
    assert math.isclose(statistics.value(table), (0.5 + 0.1) / 2)


def test_a_column_that_no_case_has_does_not_count() -> None:
    assert statistics.value(np.array([[0.4, np.nan], [0.6, np.nan]])) == 0.5


def test_every_draw_takes_as_many_cases_as_there_are() -> None:
    draws = statistics.draw_cases(7, 100, seed=1)
    assert draws.shape == (100, 7)
    assert (draws.sum(1) == 7).all()
    assert np.array_equal(draws, statistics.draw_cases(7, 100, seed=1))


def test_cases_of_one_group_are_drawn_together() -> None:
    draws = statistics.draw_groups(["a", "b", "a", "c", "b"], 200, seed=1)
    assert draws.shape == (200, 5)
    assert np.array_equal(draws[:, 0], draws[:, 2])
    assert np.array_equal(draws[:, 1], draws[:, 4])
    assert (draws[:, [0, 1, 3]].sum(1) == 3).all()
    assert (draws[:, 0] != draws[:, 1]).any()


def test_where_every_case_is_a_group_of_its_own_cases_are_drawn() -> None:
    draws = statistics.draw_groups([f"case{i}" for i in range(12, 0, -1)], 300, seed=4)
    assert np.array_equal(draws, statistics.draw_cases(12, 300, seed=4))


def test_frames_of_one_sequence_widen_the_interval() -> None:
    of_sequence = np.random.default_rng(0).random(8)
    table, groups = column(*of_sequence.repeat(10)), [f"{i}" for i in range(8) for _ in range(10)]
    apart = statistics.estimate([table], statistics.draw_cases(80, 1000, 0))
    together = statistics.estimate([table], statistics.draw_groups(groups, 1000, 0))
    assert together.mean == apart.mean
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_weighing_rows_equals_drawing_them() -> None:
    rng = np.random.default_rng(0)
    table = np.where(rng.random((6, 4)) > 0.3, rng.random((6, 4)), np.nan)
    for counts in statistics.draw_cases(6, 20, seed=2):
        drawn = np.repeat(table, counts, axis=0)
        with_nan = [col[np.isfinite(col)] for col in drawn.T]
        expected = np.mean([col.mean() for col in with_nan if col.size])
        got = statistics.estimate([table], counts[None]).low
        assert math.isclose(got, expected)


def test_equal_cases_have_an_interval_of_no_width() -> None:
    found = statistics.estimate([column(0.3, 0.3, 0.3)], statistics.draw_cases(3, 50, 0))
    assert (found.mean, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_the_interval_of_a_mean_is_the_one_of_theory() -> None:
    sample = np.random.default_rng(3).normal(0.5, 0.1, 400)
    found = statistics.estimate([sample[:, None]], statistics.draw_cases(400, 4000, 0))
    half = 1.96 * sample.std() / math.sqrt(400)
    assert found.low == pytest.approx(sample.mean() - half, abs=half / 10)
    assert found.high == pytest.approx(sample.mean() + half, abs=half / 10)


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    hard_and_easy = np.linspace(0.1, 0.9, 12)
    ours, theirs = column(*(hard_and_easy + 0.02)), column(*hard_and_easy)
    draws = statistics.draw_cases(12, 1000, 0)
    alone = [statistics.estimate([table], draws) for table in (ours, theirs)]
    paired = statistics.difference([ours], [theirs], draws)
    assert alone[0].low < alone[1].high
    assert (paired.low, paired.high) == pytest.approx((0.02, 0.02))


def test_an_encoder_does_not_differ_from_itself() -> None:
    table = np.random.default_rng(0).random((5, 3))
    found = statistics.difference([table], [table], statistics.draw_cases(5, 100, 0))
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_seeds_are_averaged_inside_a_draw_and_kept_beside_the_mean() -> None:
    up, down = column(0.0, 0.2, 0.4), column(0.4, 0.2, 0.0)
    found = statistics.estimate([up, down], statistics.draw_cases(3, 200, 0))
    # Opposite seeds cancel within each draw: all that is left is their common mean.
    assert (found.low, found.high) == pytest.approx((0.2, 0.2))
    assert found.seeds == pytest.approx((0.2, 0.2))


def mean_of(table: np.ndarray) -> Drawn:
    """A mean over cases as a function of draws."""
    return lambda draws: (draws @ table[:, 0]) / draws.sum(1)


def test_a_metric_of_draws_is_estimated_as_the_table_that_says_the_same() -> None:
    rng = np.random.default_rng(4)
    tables = [rng.random((9, 1)) for _ in range(4)]
    draws = statistics.draw_cases(9, 80, 0)
    asked = [statistics.replicates(mean_of(table), draws) for table in tables]
    assert [statistics.value(found) for found in asked] == pytest.approx(
        [statistics.value(table) for table in tables]
    )
    for one, other in (
        (statistics.estimate(asked, draws), statistics.estimate(tables, draws)),
        (
            statistics.difference(asked[:2], asked[2:], draws),
            statistics.difference(tables[:2], tables[2:], draws),
        ),
    ):
        assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high))
        assert one.seeds == pytest.approx(other.seeds)


def test_a_draw_in_which_a_metric_has_no_value_says_nothing_about_it() -> None:
    draws = statistics.draw_cases(4, 60, 0)

    def known_with_the_first(draws: np.ndarray) -> np.ndarray:
        return np.where(draws[:, 0] > 0, 0.7, np.nan)

    found = statistics.replicates(known_with_the_first, draws)
    assert np.isnan(found).any()
    told = statistics.estimate([found], draws)
    assert (told.mean, told.low, told.high) == pytest.approx((0.7, 0.7, 0.7))


NOTHING = np.full((4, 1), np.nan)


def test_a_seed_without_a_number_does_not_take_the_others_with_it() -> None:
    draws = statistics.draw_cases(4, 100, 0)
    tables = [column(0.1, 0.2, 0.3, 0.4), NOTHING, column(0.3, 0.4, 0.5, 0.6)]
    found, alone = statistics.estimate(tables, draws), statistics.estimate(tables[::2], draws)
    assert (found.mean, found.low, found.high) == (alone.mean, alone.low, alone.high)
    told = statistics.known([("rho", found)])["rho"]
    assert told["seeds"] == [alone.seeds[0], None, alone.seeds[1]]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    nowhere = statistics.estimate([NOTHING, NOTHING], draws)
    assert statistics.known([("rho", nowhere)]) == {}


def test_a_difference_counts_the_seeds_in_which_both_have_a_number() -> None:
    draws = statistics.draw_cases(4, 100, 0)
    ours = [column(0.1, 0.2, 0.3, 0.4), NOTHING, column(0.5, 0.5, 0.5, 0.5)]
    theirs = [ours[0] - 0.1, column(0.0, 0.0, 0.0, 0.0), NOTHING]
    found = statistics.difference(ours, theirs, draws)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.as_dict()["seeds"] == [pytest.approx(0.1), None, None]


def test_seeds_must_come_in_pairs() -> None:
    draws = statistics.draw_cases(2, 10, 0)
    with pytest.raises(ValueError, match="zip"):
        statistics.difference([column(0, 1)], [column(0, 1), column(1, 0)], draws)


@pytest.mark.parametrize("name", benchmarks.REGISTRY)
def test_published_numbers_have_a_source_and_are_shares_or_say_their_unit(name: str) -> None:
    rows = published(name)
    assert len(rows) >= 3
    assert len(set(rows)) == len(rows)
    assert all(row.model and row.metric and row.source for row in rows)
    assert all(0 < row.value < 1 for row in rows if row.share)
    assert all(row.metric.endswith(("mm)", "points)")) for row in rows if not row.share)


def test_a_printed_percentage_becomes_a_share() -> None:
    found = {(row.model, row.metric): row.value for row in published("cholec80")}
    assert found["UniSurg/SurgMotion", "Accuracy"] == pytest.approx(0.9105)
    assert found["EndoViT", "Accuracy (5-fold frozen linear probe, window 1)"] == 0.756


def test_a_share_is_shown_in_percent_and_another_number_as_it_is() -> None:
    found = {(row.model, row.metric): row.text for row in published("jigsaws")}
    assert found["UniSurg/SurgMotion", "Spearman"] == "77.0"
    assert found["UniSurg/SurgMotion", "MAE (GRS points)"] == "2.649"
