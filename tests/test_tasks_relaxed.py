"""The relaxed metrics do what the published script does, and the corrected ones what it means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unisurg.evaluation.statistics import value
from unisurg.tasks import phase, relaxed
from unisurg.tasks.relaxed import CHOLEC80, M2CAI16, Rule

PLAIN = Rule(late={}, early={})


def videos(seed: int, classes: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Phases of 1 to 40 s in any order, of which a third of the seconds are predicted wrongly."""
    rng = np.random.default_rng(seed)
    truths = [np.repeat(rng.permutation(classes), rng.integers(1, 40, classes)) for _ in range(4)]
    return truths, [np.where(rng.random(len(t)) < 2 / 3, t, rng.permutation(t)) for t in truths]


def late_and_early(lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Phases 0 and 1, 30 s each; the transition is predicted `lag` seconds late (or early)."""
    return np.repeat([0, 1], 30), np.repeat([0, 1], [30 + lag, 30 - lag])


def test_a_late_transition_is_forgiven_for_ten_seconds() -> None:
    for lag, share in ((10, 1.0), (12, 58 / 60)):
        truth, prediction = late_and_early(lag)
        assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=False).mean() == share


def test_an_early_transition_is_forgiven_where_the_rule_means_it_only_when_corrected() -> None:
    truth, prediction = late_and_early(-10)
    assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=True).all()
    # As shipped, the mask of the last 10 s is applied to the first 10 s, which were right anyway.
    assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=False).mean() == 50 / 60


def test_the_shipped_quirk_forgives_seconds_at_the_start_that_no_rule_names() -> None:
    truth, prediction = np.zeros(30, int), np.repeat([4, 0, 1], [10, 10, 10])
    assert (
        relaxed.forgiven(truth, prediction, CHOLEC80, corrected=False).tolist()
        == [True] * 20 + [False] * 10
    )
    assert (
        relaxed.forgiven(truth, prediction, CHOLEC80, corrected=True).tolist()
        == [False] * 10 + [True] * 20
    )


def test_a_segment_shorter_than_the_tolerance_is_relaxed_over_its_length() -> None:
    truth = np.repeat([0, 1, 2], [20, 4, 20])
    prediction = np.repeat([0, 2], [20, 24])
    assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=False).all()
    assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=True).all()


def test_the_last_phases_of_cholec80_may_jump_by_two() -> None:
    truth, prediction = np.repeat([3, 5], 20), np.repeat([3, 5], [10, 30])
    assert relaxed.forgiven(truth, prediction, CHOLEC80, corrected=True).all()
    earlier = relaxed.forgiven(truth - 3, prediction - 3, CHOLEC80, corrected=True)
    assert earlier.tolist() == [True] * 10 + [False] * 10 + [True] * 20
    late = relaxed.forgiven(truth, np.repeat([3, 5], [30, 10]), CHOLEC80, corrected=True)
    assert late.all()


def test_relaxed_rates_of_a_hand_worked_video() -> None:
    truth, prediction = late_and_early(12)
    tables = relaxed.tables([truth], [prediction], 3, CHOLEC80)
    # Phase 0: 30 right of its own and the 10 forgiven of 42 predicted. Phase 1: 28 of 30 right.
    assert np.allclose(tables["jaccard_phase_level_relaxed10"][0, :2], [40 / 42, 28 / 30])
    assert np.allclose(tables["precision_phase_level_relaxed10"][0, :2], [40 / 42, 1.0])
    assert np.allclose(tables["recall_phase_level_relaxed10"][0, :2], [1.0, 28 / 30])
    assert np.isnan(tables["jaccard_phase_level_relaxed10"][0, 2])
    assert value(tables["accuracy_per_video_relaxed10"]) == 58 / 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rule", "classes"), [(CHOLEC80, 7), (M2CAI16, 8), (PLAIN, 5)])
def test_a_second_is_right_where_the_script_as_shipped_says_so(
    rule: Rule, classes: int, seed: int
) -> None:
    for truth, prediction in zip(*videos(seed, classes), strict=True):
        right = relaxed.forgiven(truth, prediction, rule, corrected=False)
        meant = relaxed.forgiven(truth, prediction, rule, corrected=True)
        for second, phase_there in enumerate(truth):
            of_phase = np.flatnonzero(truth == phase_there)
            first, last = of_phase[0], of_phase[-1]
            t = min(10, last - first + 1)
            late = rule.late.get(int(phase_there), (-1,))
            early = rule.early.get(int(phase_there), (1,))
            lead = prediction[second] - phase_there
            started, ends = second - first < t, last - second < t
            # MATLAB's mask of the last t seconds, looked up at the same place of the first t.
            twin = last - t + 1 + second - first
            masked = started and prediction[twin] - phase_there in early
            assert right[second] == (lead == 0 or (started and lead in late) or masked)
            assert meant[second] == (
                lead == 0 or (started and lead in late) or (ends and lead in early)
            )


def test_m2cai16_forgives_what_cholec80_does_one_phase_later() -> None:
    rng = np.random.default_rng(0)
    for index in range(7):
        truth = np.full(400, index)
        prediction = np.tile(rng.permutation(np.arange(-1, 7)), 50)
        for corrected in (False, True):
            ours = relaxed.forgiven(truth, prediction, CHOLEC80, corrected=corrected)
            shifted = relaxed.forgiven(truth + 1, prediction + 1, M2CAI16, corrected=corrected)
            assert np.array_equal(ours, shifted)


def test_the_uncut_f1_is_of_rates_above_one_and_is_itself_cut() -> None:
    truth, prediction = np.repeat([0, 1], [10, 10]), np.repeat([0, 1], [15, 5])
    tables = relaxed.tables([truth], [prediction], 2, CHOLEC80)
    # All 20 s are right. Phase 0: 15 of 15 predicted and 15 / 10 true; phase 1: 10 / 5 and 10 / 10.
    assert tables["recall_phase_level_relaxed10"].tolist() == [[1.0, 1.0]]
    assert tables["f1_phase_level_relaxed10"].tolist() == [[1.0, 1.0]]
    assert tables["f1_phase_level_relaxed10_uncut"].tolist() == [[1.0, 1.0]]
    worse = np.repeat([0, 1, 3], [15, 2, 3])
    tables = relaxed.tables([truth], [worse], 4, CHOLEC80)
    # Phase 1: 7 right in its union, of 2 predicted and 10 true. Precision 7 / 2, cut to 1.
    assert math.isclose(tables["f1_phase_level_relaxed10"][0, 1], 2 * 0.7 / 1.7)
    assert tables["f1_phase_level_relaxed10_uncut"][0, 1] == 1.0  # 2 * 3.5 * 0.7 / 4.2 > 1
    late = np.repeat([0, 1, 3], [13, 2, 5])
    tables = relaxed.tables([truth], [late], 4, CHOLEC80)
    # Phase 1: 5 right, of 2 predicted and 10 true.
    assert math.isclose(tables["f1_phase_level_relaxed10"][0, 1], 2 * 0.5 / 1.5)
    assert math.isclose(tables["f1_phase_level_relaxed10_uncut"][0, 1], 2 * 2.5 * 0.5 / 3.0)


def test_a_phase_that_is_never_predicted_has_no_precision_as_in_the_script() -> None:
    truth, prediction = np.repeat([0, 2], 30), np.zeros(60, int)
    tables = relaxed.tables([truth], [prediction], 3, CHOLEC80)
    assert np.array_equal(
        tables["precision_phase_level_relaxed10"], [[0.5, np.nan, np.nan]], equal_nan=True
    )
    assert np.array_equal(
        tables["recall_phase_level_relaxed10"], [[1.0, np.nan, 0.0]], equal_nan=True
    )


@pytest.mark.parametrize("seed", range(3))
def test_relaxing_never_lowers_a_rate(seed: int) -> None:
    truths, predictions = videos(seed, 7)
    strict, kind = (
        phase.tables(truths, predictions, 7),
        relaxed.tables(truths, predictions, 7, CHOLEC80),
    )
    for suffix in ("relaxed10", "relaxed10_corrected"):
        for name in ("jaccard_phase_level", "recall_phase_level"):
            assert (kind[f"{name}_{suffix}"] >= strict[f"{name}_unrelaxed"]).all()
        assert (kind[f"accuracy_per_video_{suffix}"] >= strict["accuracy_per_video"]).all()
    assert value(kind["jaccard_phase_level_relaxed10"]) > value(
        strict["jaccard_phase_level_unrelaxed"]
    )
