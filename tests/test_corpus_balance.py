"""Specialty-balanced sampling: theorems on w(x) ~ 1 / (N_d |D_s|)."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.corpus.balance import clip_weights


def random_corpus(seed: int) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    specialty_of = {f"d{i}": f"s{rng.integers(4)}" for i in range(10)}
    sources = [f"d{i}" for i in rng.integers(0, 10, 300)]
    return sources, [specialty_of[d] for d in sources], rng.integers(1, 5000, 300)


@pytest.mark.parametrize("seed", range(5))
def test_specialties_are_alike_and_data_sets_are_alike_within_one(seed: int) -> None:
    sources, specialties, counts = random_corpus(seed)
    weights = clip_weights(sources, specialties, counts)
    assert weights.sum() == pytest.approx(1)
    in_specialty = {
        s: {d for d, t in zip(sources, specialties, strict=True) if t == s}
        for s in set(specialties)
    }
    for s, data_sets in in_specialty.items():
        assert weights[np.array(specialties) == s].sum() == pytest.approx(1 / len(in_specialty))
        for d in data_sets:
            share = weights[np.array(sources) == d].sum()
            assert share == pytest.approx(1 / len(in_specialty) / len(data_sets))


@pytest.mark.parametrize("seed", range(5))
def test_every_frame_of_a_data_set_is_as_likely_as_any_other(seed: int) -> None:
    sources, specialties, counts = random_corpus(seed)
    per_frame = clip_weights(sources, specialties, counts) / counts
    for d in set(sources):
        of_d = per_frame[np.array(sources) == d]
        assert np.allclose(of_d, of_d[0])


def test_counts_of_ones_make_recordings_alike() -> None:
    weights = clip_weights(["a", "a", "b"], ["s", "s", "s"], [1, 1, 1])
    assert weights == pytest.approx([0.25, 0.25, 0.5])


def test_the_scale_of_the_counts_and_the_order_of_the_rows_do_not_matter() -> None:
    sources, specialties, counts = random_corpus(0)
    weights = clip_weights(sources, specialties, counts)
    assert np.allclose(clip_weights(sources, specialties, counts * 7), weights)
    back = clip_weights(sources[::-1], specialties[::-1], counts[::-1])
    assert np.allclose(back[::-1], weights)


def test_a_million_draws_follow_the_weights_within_one_percent() -> None:
    weights = clip_weights(["a", "a", "b", "c"], ["s", "s", "s", "t"], [10, 30, 5, 900])
    drawn = np.bincount(np.random.default_rng(0).choice(4, 1_000_000, p=weights), minlength=4)
    assert drawn / 1e6 == pytest.approx([0.0625, 0.1875, 0.25, 0.5], rel=0.01)


@pytest.mark.parametrize(
    ("sources", "specialties", "counts"),
    [([], [], []), (["a"], ["s"], [0]), (["a"], ["s", "s"], [1]), (["a"], ["s"], [float("nan")])],
)
def test_rows_that_cannot_be_weighed_are_refused(
    sources: list[str], specialties: list[str], counts: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"count|sources"):
        clip_weights(sources, specialties, counts)
