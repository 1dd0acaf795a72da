"""Metrics agree with hand-worked cases and scikit-learn; losses and heads keep their contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from unisurg.evaluation.statistics import value
from unisurg.tasks import phase, relaxed, segmentation
from unisurg.tasks.heads import AttentiveProbe, DenseDecoder
from unisurg.tasks.losses import bce_dice, class_weights, weighted_cross_entropy

RATES = {
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "jaccard": metrics.jaccard_score,
    "f1": metrics.f1_score,
}


def videos(seed: int, count: int = 5, classes: int = 4) -> tuple[list, list]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 40, count)
    # Not every class occurs in every video, as in surgery.
    highest = rng.integers(1, classes + 1, count)
    truths = [np.sort(rng.integers(0, h, n)) for h, n in zip(highest, lengths, strict=True)]
    return truths, [rng.integers(0, classes, n) for n in lengths]


# --- phase ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_sm_per_video_unrelaxed_is_sklearn_macro_over_the_union_of_classes(seed: int) -> None:
    truths, predictions = videos(seed)
    tables = phase.tables(truths, predictions, 4)
    for name, function in RATES.items():
        expected = [
            function(t, p, labels=np.union1d(t, p), average="macro", zero_division=0)
            for t, p in zip(truths, predictions, strict=True)
        ]
        assert np.allclose(tables[f"{name}_sm_per_video_unrelaxed"][:, 0], expected)
        assert math.isclose(value(tables[f"{name}_sm_per_video_unrelaxed"]), np.mean(expected))


@pytest.mark.parametrize("seed", range(4))
def test_phase_level_unrelaxed_leaves_out_phases_that_a_video_does_not_have(seed: int) -> None:
    truths, predictions = videos(seed)
    tables = phase.tables(truths, predictions, 4)
    for name, function in RATES.items():
        table = tables[f"{name}_phase_level_unrelaxed"]
        for row, truth, prediction in zip(table, truths, predictions, strict=True):
            rates = function(truth, prediction, labels=range(4), average=None, zero_division=0)
            present = np.isin(range(4), truth)
            assert np.allclose(row[present], rates[present])
            assert np.isnan(row[~present]).all()


def test_the_two_rules_differ_on_a_class_predicted_once_by_mistake() -> None:
    truth, prediction = np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])
    tables = phase.tables([truth], [prediction], 3)
    assert value(tables["accuracy_per_video"]) == 0.75
    assert value(tables["jaccard_sm_per_video_unrelaxed"]) == 0.375  # (3/4 + 0) / 2
    assert value(tables["jaccard_phase_level_unrelaxed"]) == 0.75


def test_phase_level_is_a_mean_over_videos_then_over_phases() -> None:
    truths = [np.array([0, 0]), np.array([0, 1])]
    predictions = [np.array([0, 1]), np.array([1, 1])]
    recall = phase.tables(truths, predictions, 2)["recall_phase_level_unrelaxed"]
    assert np.array_equal(recall, [[0.5, np.nan], [0.0, 1.0]], equal_nan=True)
    assert value(recall) == (0.25 + 1.0) / 2


def test_a_perfect_prediction_has_one_in_every_metric() -> None:
    truths, _ = videos(0)
    for name, table in phase.tables(truths, truths, 4).items():
        assert value(table) == 1.0, name


def test_predictions_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) predictions for \(3,\) labels"):
        phase.tables([np.zeros(3, int)], [np.zeros(2, int)], 2)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 2], [0, 0], r"label 2 is none of 0\.\.1"),
        ([0, 1], [0, -1], r"prediction -1 is none of 0\.\.1"),
        ([-1, -1], [0, 1], "every label is -1"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    truth: list[int], prediction: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        phase.tables([np.array(truth)], [np.array(prediction)], 2)


@pytest.mark.parametrize("seed", range(3))
def test_ignored_seconds_change_no_metric_whatever_is_predicted_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths, predictions = videos(seed)
    places = [np.sort(rng.integers(0, len(truth) + 1, 6)) for truth in truths]
    with_gaps = [np.insert(t, at, -1) for t, at in zip(truths, places, strict=True)]
    guesses = [
        np.insert(p, at, rng.integers(0, 4, 6)) for p, at in zip(predictions, places, strict=True)
    ]
    task = phase.PhaseTask(4, depth=0, heads=1, relaxed=relaxed.CHOLEC80, challenge=None)
    expected = task.tables(truths, predictions)
    for name, table in task.tables(with_gaps, guesses).items():
        assert np.array_equal(table, expected[name], equal_nan=True), name


def test_a_video_without_a_scored_second_adds_nothing_to_any_metric() -> None:
    truths, predictions = videos(1)
    task = phase.PhaseTask(4, depth=0, heads=1, relaxed=relaxed.CHOLEC80, challenge=None)
    nothing, guess = np.full(9, -1), np.zeros(9, int)
    known = task.tables(truths, predictions)
    for name, table in task.tables([*truths, nothing], [*predictions, guess]).items():
        assert len(table) == len(truths) + 1
        assert value(table) == value(known[name]), name


# --- losses and heads -------------------------------------------------------------------------


def test_class_weights_are_balanced_with_smallest_one_and_none_for_an_absent_class() -> None:
    labels = np.array([0] * 8 + [1] * 4 + [3] * 1)
    assert class_weights(labels, 4).tolist() == [1.0, 2.0, 0.0, 8.0]


def test_weighted_classes_count_alike_whatever_their_share() -> None:
    labels = torch.tensor([0] * 9 + [1])
    logits = torch.zeros(10, 2)
    logits[:, 0] = 1.0
    loss = weighted_cross_entropy(logits, labels, class_weights(labels.numpy(), 2))
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert torch.isclose(loss, (each[0] + each[9]) / 2)


def test_the_mask_loss_falls_to_zero_at_the_truth() -> None:
    mask = (torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    assert bce_dice((mask - 0.5) * 100, mask) < 1e-3
    assert bce_dice((0.5 - mask) * 100, mask) > 1


@pytest.mark.parametrize("depth", [0, 2])
def test_the_attentive_probe_sees_a_set_of_tokens(depth: int) -> None:
    torch.manual_seed(0)
    head = AttentiveProbe(dim=16, classes=5, depth=depth, heads=4)
    tokens = torch.randn(3, 7, 16)
    logits = head(tokens)
    assert logits.shape == (3, 5)
    assert torch.allclose(logits, head(tokens.flip(1)), atol=1e-5)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_heads_that_do_not_divide_the_features_name_the_setting() -> None:
    with pytest.raises(ValueError, match=r"probe\.heads"):
        AttentiveProbe(dim=10, classes=2, depth=0, heads=4)


def test_the_mask_decoder_averages_time_and_doubles_the_grid() -> None:
    torch.manual_seed(0)
    head = DenseDecoder(8, (2, 3, 5), "mean")
    tokens = torch.randn(4, 2, 15, 8)
    assert head(tokens.flatten(1, 2)).shape == (4, 6, 10)
    assert torch.allclose(head(tokens.flatten(1, 2)), head(tokens.flip(1).flatten(1, 2)), atol=1e-5)


def test_a_mask_is_squashed_to_the_share_of_foreground_under_every_pixel() -> None:
    task = segmentation.SegmentationTask(size_px=2)
    mask = np.zeros((4, 8), bool)
    mask[:2, :2] = True
    assert task.targets([mask]).tolist() == [[[0.5, 0.0], [0.0, 0.0]]]


def test_a_mask_is_predicted_at_the_size_of_its_truth() -> None:
    task = segmentation.SegmentationTask(size_px=16)
    prediction = np.asarray(task.predict(torch.randn(1, 6, 6), np.zeros((37, 53), bool)))
    assert prediction.shape == (37, 53)
    assert prediction.min() >= 0
    assert prediction.max() <= 1
