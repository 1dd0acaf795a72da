"""PitVis's challenge metric: macro F1 and edit score, after the ignored steps are gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from unisurg.evaluation.statistics import value
from unisurg.tasks.edit import edit_score
from unisurg.tasks.pitvis import challenge_score, macro_f1, pitvis_challenge_per_video


def test_the_challenge_metric_of_a_hand_worked_video() -> None:
    truth = np.array([-1, 0, 0, 1, 1, -1, -1, 1, 2, 2, -1])
    prediction = np.array([5, 0, 0, 0, 1, 3, 3, 1, 2, 2, 0])
    # Kept: truth 0 0 1 1 1 2 2, prediction 0 0 0 1 1 2 2; F1 4/5, 4/5, 1, and the order is right.
    assert math.isclose(macro_f1(truth, prediction), (0.8 + 0.8 + 1) / 3)
    assert edit_score(truth, prediction) == 1.0
    assert math.isclose(challenge_score(truth, prediction), ((0.8 + 0.8 + 1) / 3 + 1) / 2)


def test_a_step_that_is_named_once_by_mistake_halves_the_f1_of_a_one_step_video() -> None:
    truth, prediction = np.zeros(9, int), np.array([0] * 8 + [4])
    assert math.isclose(macro_f1(truth, prediction), (16 / 17 + 0) / 2)


def test_an_ignored_step_that_is_predicted_counts_against_the_score() -> None:
    truth = np.array([0, 0, 1, 1])
    assert challenge_score(truth, np.array([0, 0, 1, -1])) < challenge_score(
        truth, np.array([0, 0, 1, 0])
    )
    assert math.isclose(macro_f1(truth, np.array([0, 0, 1, -1])), (1 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("seed", range(10))
def test_macro_f1_is_scikit_learns_without_a_list_of_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(-1, 6, 40), rng.integers(-1, 8, 40)
    kept = truth != -1
    expected = metrics.f1_score(truth[kept], prediction[kept], average="macro", zero_division=1)
    assert math.isclose(macro_f1(truth, prediction), expected)


def test_the_challenge_metric_is_a_mean_over_the_videos_that_are_scored() -> None:
    truths = [np.array([0, 0, 1]), np.array([0, 1]), np.array([-1, -1])]
    predictions = [np.array([0, 0, 1]), np.array([1, 0]), np.array([0, 1])]
    table = pitvis_challenge_per_video(truths, predictions)["pitvis_challenge_per_video"]
    assert np.array_equal(table, [[1.0], [0.0], [np.nan]], equal_nan=True)
    assert value(table) == 0.5
