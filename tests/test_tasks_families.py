"""A benchmark's family and name say which metrics it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unisurg.tasks.families import Facts, make_task
from unisurg.tasks.losses import class_weights, weighted_cross_entropy

LABELS = [np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])]
GUESSES = [np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1])]


def names(settings, benchmark: str, every_s: float = 1.0) -> set[str]:
    task = make_task(Facts("phase", benchmark, 8, 96, every_s), settings.probe)
    return set(task.tables(LABELS, GUESSES))


@pytest.mark.parametrize("benchmark", ["cholec80", "autolaparo", "m2cai16"])
def test_relaxed_metrics_are_given_where_the_order_of_phases_is_the_rules_at_1_hz(
    benchmark: str, settings
) -> None:
    assert "jaccard_phase_level_relaxed10" in names(settings, benchmark)
    assert not any("relaxed10" in name for name in names(settings, benchmark, every_s=2.0))


@pytest.mark.parametrize("benchmark", ["egosurgery", "pmlr50", "pitvis", "mine"])
def test_other_orders_of_phases_have_no_relaxed_metric(benchmark: str, settings) -> None:
    assert not any("relaxed10" in name for name in names(settings, benchmark))


def test_m2cai16_is_relaxed_by_its_own_rule_one_phase_later(settings) -> None:
    """Two phases late is forgiven from index 5 on in Cholec80, from index 6 on in M2CAI16."""
    found = {}
    for benchmark in ("cholec80", "m2cai16"):
        task = make_task(Facts("phase", benchmark, 8, 96, 1.0), settings.probe)
        for phase in (5, 6):
            truth, late = np.full(10, phase), np.full(10, phase - 2)
            table = task.tables([truth], [late])["accuracy_per_video_relaxed10"]
            found[benchmark, phase] = table.item()
    assert found == {
        ("cholec80", 5): 1,
        ("cholec80", 6): 1,
        ("m2cai16", 5): 0,
        ("m2cai16", 6): 1,
    }


def test_the_challenge_metric_is_pitviss_alone(settings) -> None:
    assert "pitvis_challenge_per_video" in names(settings, "pitvis")
    assert "pitvis_challenge_per_video" not in names(settings, "cholec80")


def test_an_action_keeps_a_score_per_class(settings) -> None:
    task = make_task(Facts("action", "ophnet", 8, 96, 0.0), settings.probe)
    scores = task.predict(torch.randn(4, 8), LABELS[0])
    assert scores.shape == (4, 8)
    found = task.tables(LABELS, [scores, scores])
    assert {"accuracy_top1_over_clips", "accuracy_top5_over_clips"} <= set(found)


@pytest.mark.parametrize("family", ["phase", "action", "segmentation", "depth"])
def test_one_table_is_the_same_alone_and_among_all(family: str, settings) -> None:
    task = make_task(Facts(family, "cholec80", 8, 96, 1.0), settings.probe)
    rng = np.random.default_rng(0)
    truths, predictions = {
        "phase": (LABELS, GUESSES),
        "action": (LABELS, [rng.random((4, 8)) for _ in LABELS]),
        "segmentation": (
            [rng.random((5, 6)) > 0.5 for _ in range(2)],
            [rng.random((5, 6)) for _ in range(2)],
        ),
        "depth": (
            [rng.uniform(1, 90, (3, 5, 6)) for _ in range(2)],
            [rng.uniform(1, 90, (3, 5, 6)) for _ in range(2)],
        ),
    }[family]
    for name, table in task.tables(truths, predictions).items():
        assert np.array_equal(task.table(name, truths, predictions), table, equal_nan=True)


def test_padding_is_in_neither_the_weights_nor_the_loss() -> None:
    labels = torch.tensor([0, 0, 1])
    padded = torch.tensor([0, -1, 0, 1, -1])
    weights = class_weights(padded.numpy(), 3)
    assert weights.tolist() == class_weights(labels.numpy(), 3).tolist() == [1, 2, 0]
    logits = torch.randn(5, 3)
    kept = weighted_cross_entropy(logits[padded >= 0], labels, weights)
    assert torch.equal(weighted_cross_entropy(logits, padded, weights), kept)
