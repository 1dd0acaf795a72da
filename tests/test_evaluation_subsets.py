"""Subsets of training cases are nested, repeatable and never empty."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.evaluation.probing.subsets import nested_subset

CASES = tuple(f"video{i:02d}" for i in range(1, 41))
FRACTIONS = (0.1, 0.25, 0.5, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_subset_lies_in_every_larger_one(seed: int) -> None:
    found = [set(nested_subset(CASES, fraction, seed)) for fraction in FRACTIONS]
    assert [len(subset) for subset in found] == [4, 10, 20, 40]
    assert found[0] < found[1] < found[2] < found[3] == set(CASES)


def test_the_whole_is_everything_in_the_order_given() -> None:
    assert nested_subset(CASES[::-1], 1.0, 3) == CASES[::-1]
    half = nested_subset(CASES, 0.5, 3)
    assert list(half) == sorted(half)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_few_cases_leave_at_least_one(fraction: float) -> None:
    for count in range(1, 6):
        assert len(nested_subset(CASES[:count], fraction, 0)) >= 1


def test_the_choice_depends_on_seed_and_names_alone() -> None:
    shuffled = np.random.default_rng(0).permutation(CASES).tolist()
    assert set(nested_subset(shuffled, 0.25, 1)) == set(nested_subset(CASES, 0.25, 1))
    assert len({nested_subset(CASES, 0.25, seed) for seed in range(20)}) == 20


def test_a_golden_choice_holds_on_every_machine() -> None:
    assert nested_subset(CASES, 0.1, 0) == (
        "video02",
        "video05",
        "video14",
        "video26",
    )


def test_over_many_seeds_every_case_is_chosen_alike() -> None:
    chosen = [case for seed in range(400) for case in nested_subset(CASES, 0.25, seed)]
    _, counts = np.unique(chosen, return_counts=True)
    # Binomial of 400 draws with p = 1/4: mean 100, five standard deviations 43.
    assert counts.sum() == 4000
    assert len(counts) == 40
    assert np.abs(counts - 100).max() < 43


@pytest.mark.parametrize(
    ("cases", "fraction", "message"),
    [
        (CASES, 0.0, r"fraction of 0\.0"),
        (CASES, 1.1, r"fraction of 1\.1"),
        ((), 0.5, "no training cases"),
        (("a", "b", "a"), 0.5, "'a' occurs twice"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(
    cases: tuple[str, ...], fraction: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nested_subset(cases, fraction, 0)
