"""Errors and rank correlations of rated trials, as scipy has them, in every draw of a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unisurg.evaluation.statistics import draw_cases, value
from unisurg.tasks import skill_metrics

ONCE = np.ones((1, 30))
GRS = (6, 30)
TASKS = ["Suturing"] * 12 + ["Knot_Tying"] * 10 + ["Needle_Passing"] * 8


def trials(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Thirty ratings, some of which tie, and predictions that follow them roughly."""
    rng = np.random.default_rng(seed)
    ratings = rng.integers(6, 31, 30)
    return ratings, np.round(ratings + rng.normal(0, 6, 30))


@pytest.mark.parametrize("seed", range(4))
def test_the_correlation_is_scipys_with_ties(seed: int) -> None:
    ratings, predictions = trials(seed)
    found = skill_metrics.drawn(ratings, predictions, TASKS)["spearman_over_trials"](ONCE)
    assert found[0] == pytest.approx(stats.spearmanr(ratings, predictions)[0], abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_correlations_of_tasks_are_averaged_by_fishers_z(seed: int) -> None:
    ratings, predictions = trials(seed)
    found = skill_metrics.drawn(ratings, predictions, TASKS)["spearman_per_task_fisher"](ONCE)
    parts = (slice(0, 12), slice(12, 22), slice(22, 30))
    each = [stats.spearmanr(ratings[part], predictions[part])[0] for part in parts]
    assert found[0] == pytest.approx(np.tanh(np.mean(np.arctanh(each))), abs=1e-12)


def test_the_correlation_of_a_draw_is_that_of_the_trials_drawn() -> None:
    ratings, predictions = trials(9)
    draws = draw_cases(30, 25, seed=1)
    found = skill_metrics.drawn(ratings, predictions, TASKS)["spearman_over_trials"](draws)
    picked = [np.repeat(np.arange(30), row) for row in draws]
    expected = [stats.spearmanr(ratings[rows], predictions[rows])[0] for rows in picked]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_only_order_matters_to_a_correlation_and_only_distance_to_an_error() -> None:
    ratings, _ = trials(0)
    metrics = skill_metrics.drawn(ratings, np.exp(ratings / 5), TASKS)
    assert all(metric(ONCE)[0] == 1.0 for metric in metrics.values())
    turned = skill_metrics.drawn(ratings, -ratings, TASKS)
    assert all(metric(ONCE)[0] == -1.0 for metric in turned.values())
    shifted = skill_metrics.tables(ratings, ratings + 2.5, TASKS, GRS)
    assert {name: value(table) for name, table in shifted.items()} == pytest.approx(
        {
            "mae_grs_points_over_trials": 2.5,
            "mae_grs_points_per_task": 2.5,
            "closeness_grs_over_trials": 1 - 2.5 / 24,
        }
    )


def test_a_constant_prediction_has_no_correlation_and_is_not_taken_for_zero() -> None:
    ratings, predictions = trials(1)
    flat = skill_metrics.drawn(ratings, np.full(30, 18.0), TASKS)
    assert all(np.isnan(metric(ONCE)[0]) for metric in flat.values())
    predictions[:12] = 18
    found = skill_metrics.drawn(ratings, predictions, TASKS)["spearman_per_task_fisher"](ONCE)
    each = [stats.spearmanr(ratings[p], predictions[p])[0] for p in (slice(12, 22), slice(22, 30))]
    assert found[0] == pytest.approx(np.tanh(np.mean(np.arctanh(each))))


def test_a_perfect_task_makes_fishers_mean_perfect_and_opposites_have_none() -> None:
    found = skill_metrics.fisher_mean(np.array([[1.0, 0.2, np.nan], [1.0, -1.0, 0.3]]))
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_errors_are_averaged_over_trials_or_per_task_first() -> None:
    found = skill_metrics.tables(
        np.array([10, 10, 10, 20]), np.array([11, 9, 13, 25]), ["a", "a", "a", "b"], GRS
    )
    assert value(found["mae_grs_points_over_trials"]) == pytest.approx(10 / 4)
    assert value(found["mae_grs_points_per_task"]) == pytest.approx((5 / 3 + 5) / 2)
    assert found["mae_grs_points_per_task"].shape == (4, 2)


def test_the_accuracy_of_levels_is_the_share_of_right_trials() -> None:
    found = skill_metrics.level_tables(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2]))
    assert value(found["accuracy_level_over_trials"]) == 0.75


@pytest.mark.parametrize(
    ("ratings", "predictions", "tasks", "problem"),
    [
        ([10, 12], [10], ["a", "a"], "1 predictions and 2 tasks for 2 ratings"),
        ([], [], [], "0 predictions"),
        ([10], [float("nan")], ["a"], "not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    ratings: list[int], predictions: list[float], tasks: list[str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        skill_metrics.tables(np.array(ratings), np.array(predictions), tasks, GRS)
    with pytest.raises(ValueError, match=problem):
        skill_metrics.drawn(np.array(ratings), np.array(predictions), tasks)
    with pytest.raises(ValueError, match="levels"):
        skill_metrics.level_tables(np.array([0]), np.array([], int))
