"""The gate: not worse anywhere by more than a margin, better somewhere, and only like with like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unisurg.evaluation.reported import Results
from unisurg.evaluation.statistics import Estimate
from unisurg.promotion.evidence import Measured
from unisurg.promotion.gate import against, alone, judged, objections, unmeasured

MARGIN, DRAWS, SEED = 0.02, 500, 0
METRIC = "f1_sm_per_video_unrelaxed"
CASES = tuple(f"case{i}" for i in range(20))
BASE = np.random.default_rng(0).uniform(0.1, 0.9, (20, 1))
NOISE = np.random.default_rng(1).normal(0, 0.01, (3, 20, 1))


def measured(shift: float, metric: str = METRIC, **facts: object) -> Measured:
    """A model whose every case is better by about `shift`, though cases differ by far more."""
    tables = {seed: BASE + shift + (NOISE[seed] if shift else 0) for seed in range(3)}
    mean = float(np.mean([table.mean() for table in tables.values()]))
    value = {"mean": mean, "low": mean, "high": mean, "seeds": [mean] * 3}
    results = Results.model_validate(
        {
            "benchmark": "cholec80", "task": "phase", "split": "theatre", "cases": {"test": 20},
            "clips": {}, "unit": "video", "protocol": "dense", "window": "causal",
            "lookahead_s": 0.0, "frames": 16, "fps": 1.0, "kind": "attentive", "main": metric,
            "pretrained": {metric: value}, **facts,
        }
    )  # fmt: skip
    return Measured(results, tables, CASES, CASES, (0, DRAWS))


def row(champion: Measured, challenger: Measured):
    return against("cholec80", champion, challenger, MARGIN, DRAWS, SEED)


def test_a_small_gain_on_every_case_is_told_although_cases_differ_by_far_more():
    found = row(measured(0.0), measured(0.03))
    assert found.verdict == "better"
    assert 0 < found.low < 0.03 < found.high < 0.05
    assert objections([found]) == []


def test_a_loss_within_the_margin_is_not_worse_and_one_beyond_it_is():
    assert row(measured(0.0), measured(-0.01)).verdict == "not worse"
    lost = row(measured(0.0), measured(-0.05))
    assert lost.verdict == "worse"
    assert "-0.05" in lost.sentence
    assert "20 test cases" in lost.sentence


def test_equal_models_are_not_worse_and_not_better_so_nothing_is_promoted():
    same = row(measured(0.0), measured(0.0))
    assert (same.difference, same.verdict) == (0.0, "not worse")
    (reason,) = objections([same])
    assert "Better on no benchmark" in reason


def test_a_gain_on_one_benchmark_does_not_pay_for_a_loss_on_another():
    gain, loss = row(measured(0.0), measured(0.1)), row(measured(0.0), measured(-0.1))
    assert objections([gain, loss]) == [loss.sentence]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.1, "better"),
        (0.0, 0.1, "not worse"),
        (-0.02, 0.1, "not worse"),
        (-0.021, 0.1, "worse"),
    ],
)
def test_the_bounds_of_the_rule_are_exact(low: float, high: float, verdict: str):
    assert judged(Estimate(0.0, low, high, ()), MARGIN, lower_better=False) == verdict
    assert judged(Estimate(0.0, -high, -low, ()), MARGIN, lower_better=True) == verdict


def test_of_an_error_less_is_better():
    metric = "mae_grs_points"
    assert row(measured(0.0, metric), measured(-0.05, metric)).verdict == "better"
    assert row(measured(0.0, metric), measured(0.05, metric)).verdict == "worse"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"split": "official"}, "split was theatre and is official"),
        ({"protocol": "fast"}, "protocol was dense and is fast"),
        ({"window": "centred"}, "window was causal and is centred"),
        ({"kind": "linear"}, "kind was attentive and is linear"),
        ({"metric": "accuracy_per_video"}, "main was f1_sm_per_video_unrelaxed and is accuracy"),
    ],
)
def test_what_is_measured_otherwise_is_refused_by_name(facts: dict[str, str], said: str):
    found = row(measured(0.0), measured(0.1, **facts))
    assert found.verdict == "not compared"
    assert said in found.sentence
    assert found.sentence in objections([found])


def test_other_test_cases_are_refused_by_name():
    other = replace(measured(0.1), cases=(*CASES[1:], "new"))
    said = row(measured(0.0), other).sentence
    assert "without case0" in said
    assert "with new" in said


def test_other_groups_and_other_seeds_are_refused():
    grouped = replace(measured(0.1), groups=("one",) * 20)
    assert "other groups" in row(measured(0.0), grouped).sentence
    ours = measured(0.1)
    shifted = replace(ours, tables={seed + 3: table for seed, table in ours.tables.items()})
    assert "no seed is shared (0, 1, 2 and 3, 4, 5)" in row(measured(0.0), shifted).sentence


def test_replicates_are_compared_only_where_both_come_from_the_same_draws():
    def drawn(shift: float, draws: int) -> Measured:
        values = np.random.default_rng(0).normal(0.5, 0.02, draws + 1) + shift
        return replace(measured(shift), tables={0: values}, draws=(0, draws))

    assert row(drawn(0.0, 500), drawn(0.1, 500)).verdict == "better"
    said = row(drawn(0.0, 500), drawn(0.1, 400)).sentence
    assert "draws of the bootstrap were (0, 500) and are (0, 400)" in said


def test_without_a_champion_there_are_numbers_and_nothing_is_compared():
    found = alone("cholec80", measured(0.0))
    assert (found.champion, found.difference) == (None, None)
    assert f"{found.challenger:.3f}" in found.sentence


def test_a_benchmark_that_the_champion_was_not_measured_on_keeps_the_gate_shut():
    found = unmeasured("kvasir", "champion, version 3,", measured(0.0))
    assert "version 3" in found.sentence
    assert found.sentence in objections([found])
