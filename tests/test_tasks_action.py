"""Metrics of clips agree with scikit-learn and count clips, not cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from unisurg.evaluation.statistics import draw_cases, estimate, value
from unisurg.tasks import action


def recordings(
    seed: int, classes: int = 9, count: int = 6
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Recordings of 1 to 12 clips; the scores favour the truth a little."""
    rng = np.random.default_rng(seed)
    truths = [rng.integers(0, classes - 1, n) for n in rng.integers(1, 13, count)]
    return truths, [rng.random((len(t), classes)) + 0.4 * np.eye(classes)[t] for t in truths]


@pytest.mark.parametrize("seed", range(4))
def test_accuracies_and_macro_f1_are_those_of_scikit_learn_over_all_clips(seed: int) -> None:
    truths, scores = recordings(seed)
    tables = action.tables(truths, scores, 9)
    found = {name: value(table) for name, table in tables.items() if name.endswith("over_clips")}
    truth, score = np.concatenate(truths), np.concatenate(scores)
    best = score.argmax(1)
    assert found == pytest.approx(
        {
            "accuracy_top1_over_clips": metrics.accuracy_score(truth, best),
            "f1_macro_over_clips": metrics.f1_score(truth, best, average="macro"),
            "accuracy_top5_over_clips": metrics.top_k_accuracy_score(
                truth, score, k=5, labels=range(9)
            ),
        }
    )


def test_a_hand_worked_set_of_clips() -> None:
    truths = [np.array([0, 0, 1]), np.array([2])]
    scores = [np.eye(4)[[0, 1, 1]], np.eye(4)[[1]]]
    tables = action.tables(truths, scores, 4)
    found = {name: value(table) for name, table in tables.items() if name.endswith("over_clips")}
    # F1: class 0 2 / 3, class 1 2 / 4, class 2 0; no one names class 3.
    assert found == pytest.approx(
        {"accuracy_top1_over_clips": 0.5, "f1_macro_over_clips": (2 / 3 + 1 / 2) / 3}
    )


@pytest.mark.parametrize(("classes", "given"), [(2, False), (5, False), (6, True)])
def test_top_5_is_left_out_where_it_could_not_be_wrong(classes: int, *, given: bool) -> None:
    tables = action.tables([np.array([0])], [np.ones((1, classes))], classes)
    assert ("accuracy_top5_over_clips" in tables) is given


def test_surgmotions_set_is_given_per_recording_of_several_clips() -> None:
    truths = [np.array([0, 0, 1]), np.array([2])]
    scores = [np.eye(4)[[0, 1, 1]], np.eye(4)[[1]]]
    tables = action.tables(truths, scores, 4)
    assert np.allclose(tables["accuracy_per_video"][:, 0], [2 / 3, 0])
    assert np.allclose(tables["f1_sm_per_video_unrelaxed"][:, 0], [2 / 3, 0])
    assert np.allclose(tables["recall_sm_per_video_unrelaxed"][:, 0], [3 / 4, 0])


def test_surgmotions_set_is_left_out_where_every_case_is_one_clip() -> None:
    truths, scores = recordings(0)
    singles = [row[None] for row in np.concatenate(truths)]
    tables = action.tables(singles, [row[None] for row in np.concatenate(scores)], 9)
    assert not [name for name in tables if "per_video" in name]
    together = action.tables(truths, scores, 9)
    for name, table in tables.items():
        assert value(table) == pytest.approx(value(together[name])), name


def test_of_equal_scores_the_lower_class_comes_first_in_every_metric() -> None:
    scores = [np.tile(np.arange(100) % 2, (100, 1))]
    tables = action.tables([np.arange(100)], scores, 100)
    assert tables["accuracy_top1_over_clips"].tolist() == [[[1, 100]]]  # class 1
    assert tables["accuracy_top5_over_clips"].tolist() == [[[5, 100]]]  # classes 1, 3, 5, 7, 9
    first = action.accuracy_over_clips([np.array([1, 3, 5, 7, 9])], [scores[0][:5]], 5)
    assert first.tolist() == [[[5, 5]]]


def test_ignored_clips_change_nothing() -> None:
    truths, scores = recordings(0)
    expected = action.tables(truths, scores, 9)
    truths[2] = np.append(truths[2], -1)
    scores[2] = np.vstack([scores[2], np.eye(9)[:1]])
    for name, table in action.tables(truths, scores, 9).items():
        assert np.array_equal(table, expected[name], equal_nan=True), name


def test_a_bootstrap_over_recordings_equals_scoring_the_drawn_recordings() -> None:
    truths, scores = recordings(3)
    table = action.tables(truths, scores, 9)["f1_macro_over_clips"]
    for counts in draw_cases(len(truths), 20, seed=1):
        drawn = np.repeat(np.arange(len(truths)), counts)
        truth = np.concatenate([truths[i] for i in drawn])
        best = np.concatenate([scores[i] for i in drawn]).argmax(1)
        expected = metrics.f1_score(truth, best, average="macro")
        assert estimate([table], counts[None]).low == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones((2, 3)), r"scores of shape \(2, 3\) for 4 classes"),
        (np.ones(2), r"scores of shape \(2,\) for 4 classes"),
        (np.full((2, 4), np.nan), "not finite"),
        (np.ones((3, 4)), "predictions for"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        action.tables([np.array([0, 1])], [scores], 4)
