"""The report's picture of skill: a dot per trial and encoder, beside the line of equal ratings."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.evaluation.reported import Estimate, in_unit, lower_is_better, unit_of, written
from unisurg.evaluation.store import TRIAL
from unisurg.report import figures
from unisurg.report.inputs import Predictions
from unisurg.report.ratings import best_constant, gestures_of, rating_figure
from unisurg.report.wording import interval
from unisurg.settings import Settings
from unisurg.tasks.skill import PREDICTED

CLIPS = 6
TRUE = {"Suturing_B001": 9, "Suturing_C001": 27, "Knot_Tying_B001": 14}


def bands(name: str, rating: int, gestures: list[int]) -> dict[str, np.ndarray]:
    truth, ours, theirs = np.zeros(CLIPS, TRIAL), *np.zeros((2, CLIPS), PREDICTED)
    truth["rating"], truth["exercise"] = rating, name.rpartition("_")[0]
    truth["camera"] = np.arange(CLIPS) // 3
    truth["gesture"] = np.tile(gestures, 2)
    ours["rating"], theirs["rating"] = rating + 1, 18
    ours["gesture"] = np.tile([0, 1, 2], 2)
    moments = np.tile([0.0, 1.0, 2.0], 2)
    return {"truth": truth, "pretrained": ours, "random": theirs, "moments": moments}


CASES = {name: bands(name, rating, [0, 1, 1]) for name, rating in TRUE.items()}
CASES["Knot_Tying_C001"] = bands("Knot_Tying_C001", 21, [-1, -1, -1])


def test_every_trial_is_a_dot_of_each_encoder_in_the_panel_of_its_exercise() -> None:
    figure = rating_figure(CASES)
    suturing, tying = figure.axes
    assert [suturing.get_title(loc="left"), tying.get_title(loc="left")] == [
        "Suturing",
        "Knot Tying",
    ]
    dots = {c.get_label(): np.asarray(c.get_offsets()).tolist() for c in suturing.collections}
    assert dots == {
        "pretrained": [[9, 10], [27, 28]],
        "random weights": [[9, 18], [27, 18]],
    }
    assert len(tying.collections[0].get_offsets()) == 2


def test_the_line_of_equal_ratings_crosses_the_whole_scale() -> None:
    for axes in rating_figure(CASES).axes:
        (line,) = axes.lines
        assert np.array_equal(line.get_xdata(), line.get_ydata())
        assert axes.get_xlim() == axes.get_ylim() == (5, 31)


def test_the_best_constant_answer_is_the_median_of_the_test_ratings() -> None:
    ratings = np.array([9, 27, 14, 21])
    answers = np.linspace(6, 30, 2401)
    best = (1 - np.abs(ratings - answers[:, None]).mean(1) / 24).max()
    assert best_constant(CASES) == pytest.approx(best)


def test_gestures_are_shown_once_a_moment_of_trials_that_have_any() -> None:
    found = gestures_of(CASES)
    assert list(found) == list(TRUE)
    shown = found["Suturing_B001"]
    assert shown["truth"].tolist() == [0, 1, 1]
    assert shown["pretrained"].tolist() == [0, 1, 2]
    assert shown["moments"].tolist() == [0, 1, 2]


def test_a_benchmark_of_skill_has_both_pictures(settings: Settings) -> None:
    predictions = Predictions("skill", ("novice", "intermediate", "expert"), CASES)
    assert list(figures.drawn(predictions, settings.report)) == ["ratings", "gestures"]
    untold = Predictions("skill", predictions.classes, {"k": CASES["Knot_Tying_C001"]})
    assert list(figures.drawn(untold, settings.report)) == ["ratings"]


@pytest.mark.parametrize(
    ("metric", "shown", "errors"),
    [
        ("closeness_grs_over_trials", "87.5 [80.0, 95.0]", False),
        ("mae_grs_points_over_trials", "0.88 [0.80, 0.95]", True),
        ("rmse_mm_unscaled", "0.88 [0.80, 0.95]", True),
        ("rmse_log_unscaled", "0.88 [0.80, 0.95]", True),
        ("spearman_per_task_fisher", "0.88 [0.80, 0.95]", False),
        ("mae", "87.5 [80.0, 95.0]", True),
    ],
)
def test_a_metric_is_shown_in_the_unit_that_its_name_says(
    metric: str, shown: str, errors: bool
) -> None:
    estimate = Estimate(mean=0.875, low=0.8, high=0.95, seeds=(0.875,))
    assert interval(estimate, metric=metric) == shown
    assert lower_is_better(metric) is errors
    assert (in_unit(metric, 1.0) == 100) is (unit_of(metric) == "%")
    assert written(metric, 0.875) == shown.partition(" ")[0]


def test_a_value_that_there_is_not_is_a_dash() -> None:
    assert written("rmse_mm_unscaled", None) == written("mae", float("nan")) == "-"
    assert written("mae", 0.875, "+") == "+87.5"
