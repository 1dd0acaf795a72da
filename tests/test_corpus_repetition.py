"""Passes over each data set, the cap on them, and what the real sampler draws (G10)."""

from __future__ import annotations

import numpy as np
import pytest

from unisurg.corpus.balance import clip_weights, windows_of
from unisurg.corpus.repetition import (
    TooFewClips,
    capped_weights,
    draw_weights,
    repetition,
    warnings,
)
from unisurg.pretrain.sampler import draw_batch

Corpus = tuple[list[str], list[str], np.ndarray]


def corpus(seed: int, rows: int = 300) -> Corpus:
    """Ten data sets of very different sizes in four specialties."""
    rng = np.random.default_rng(seed)
    specialty = rng.integers(0, 4, 10)
    size = 10 ** rng.uniform(0, 3, 10)
    of = rng.integers(0, 10, rows)
    clips = size[of] * rng.uniform(0.5, 2, rows)
    return [f"d{d}" for d in of], [f"s{specialty[d]}" for d in of], clips


def shares(weights: np.ndarray, *labels: list[str]) -> dict[tuple[str, ...], float]:
    totals: dict[tuple[str, ...], float] = {}
    for label, weight in zip(zip(*labels, strict=True), weights, strict=True):
        totals[label] = totals.get(label, 0.0) + weight
    return totals


def test_one_hour_in_a_specialty_of_two_among_thirteen_is_seen_684_times_in_a_million() -> None:
    sources = ["small", "large", *(f"other{i}" for i in range(12))]
    specialties = ["s0", "s0", *(f"s{i + 1}" for i in range(12))]
    clips = [3600 / 64, 1e5, *([1e5] * 12)]
    [first, *rest] = repetition(sources, specialties, clips, draws=1_000_000)
    assert (first.source, first.share) == ("small", pytest.approx(1 / 26))
    assert first.passes == pytest.approx(1e6 / 26 / 56.25)
    [line] = warnings([first, *rest], most_passes=100)
    assert line.startswith("small (s0): 56 clips get 3.85% of the draws, 684 passes, more than 100")


@pytest.mark.parametrize("seed", range(10))
def test_passes_times_clips_are_the_draws(seed: int) -> None:
    report = repetition(*corpus(seed), draws=50_000)
    assert sum(p.passes * p.clips for p in report) == pytest.approx(50_000)
    assert [p.passes for p in report] == sorted((p.passes for p in report), reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_a_cap_that_binds_nowhere_changes_no_weight(seed: int) -> None:
    rows = corpus(seed)
    most = repetition(*rows, draws=50_000)[0].passes
    capped = capped_weights(*rows, draws=50_000, most_passes=most * 1.001)
    assert capped == pytest.approx(clip_weights(*rows), rel=1e-9)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("tightness", [1.0001, 1.5, 4.0, 20.0])
def test_no_data_set_is_seen_more_than_the_cap_and_no_draw_is_lost(
    seed: int, tightness: float
) -> None:
    sources, specialties, clips = corpus(seed)
    draws = 100_000
    most = tightness * draws / clips.sum()
    weights = capped_weights(sources, specialties, clips, draws, most)
    assert weights.sum() == pytest.approx(1)
    report = repetition(sources, specialties, clips, draws, weights)
    assert report[0].passes <= most * (1 + 1e-9)
    assert warnings(report, most) == []

    # Those below their cap have equal shares: data sets within a specialty, and specialties.
    free = {(p.specialty, p.source) for p in report if p.passes < most * (1 - 1e-6)}
    of_sets = shares(weights, specialties, sources)
    of_specialties = shares(weights, specialties)
    open_specialties = {s for s, _ in free}
    for specialty in open_specialties:
        levels = [share for d, share in of_sets.items() if d in free and d[0] == specialty]
        assert levels == pytest.approx([levels[0]] * len(levels))
        assert max(levels) >= max(v for d, v in of_sets.items() if d[0] == specialty) - 1e-9
    levels = [of_specialties[(s,)] for s in open_specialties]
    assert levels == pytest.approx([max(of_specialties.values())] * len(levels))


def test_what_a_capped_data_set_gives_up_stays_in_its_specialty_while_there_is_room() -> None:
    sources, specialties, clips = ["tiny", "mid", "big"], ["s", "s", "t"], [10.0, 500.0, 1000.0]
    weights = capped_weights(sources, specialties, clips, draws=1000, most_passes=2.0)
    assert weights == pytest.approx([0.02, 0.48, 0.5])
    tighter = capped_weights(sources, specialties, clips, draws=1000, most_passes=0.8)
    assert tighter == pytest.approx([0.008, 0.4, 0.592])


def test_within_a_data_set_every_clip_stays_as_likely_as_any_other() -> None:
    sources, specialties, clips = corpus(1)
    weights = capped_weights(sources, specialties, clips, 100_000, 2e5 / clips.sum())
    for source in set(sources):
        per_clip = (weights / clips)[np.array(sources) == source]
        assert per_clip == pytest.approx(per_clip[0])


def test_more_draws_than_the_cap_allows_at_all_are_refused_with_what_would_do() -> None:
    words = "1000 draws are more than 2 passes over 300 clips; allow 4 passes"
    with pytest.raises(TooFewClips, match=words) as refused:
        capped_weights(["a", "b"], ["s", "t"], [100, 200], draws=1000, most_passes=2)
    assert str(refused.value).endswith("or draw 600 clips (steps times batch)")
    capped_weights(["a", "b"], ["s", "t"], [100, 200], draws=1000, most_passes=4)
    capped_weights(["a", "b"], ["s", "t"], [100, 200], draws=600, most_passes=2)


def drawn(weights: np.ndarray, n_frames: list[int], draws: int) -> np.ndarray:
    """How often training's own sampler takes each row."""
    counts = np.zeros(len(weights))
    batch = 2000
    for step in range(draws // batch):
        rows = [draw.row for draw in draw_batch(weights, n_frames, 1, batch, seed=0, step=step)]
        counts += np.bincount(rows, minlength=len(weights))
    return counts


@pytest.mark.parametrize("cap_passes", [None, 600.0])
def test_a_million_draws_of_the_sampler_are_within_one_percent_of_the_weights(
    cap_passes: float | None,
) -> None:
    sources = ["a", "a", "b", "c", "d", "d", "e"]
    specialties = ["s", "s", "s", "t", "u", "u", "u"]
    frames = 16
    n_frames = [1600, 4800, 3200, 320_000, 8000, 24_000, 11_200]
    weights = draw_weights(sources, specialties, n_frames, frames, 1_000_000, cap_passes)
    counts = drawn(weights, n_frames, 1_000_000)
    wanted = shares(weights, sources)
    for label, share in shares(counts / 1e6, sources).items():
        assert share == pytest.approx(wanted[label], rel=0.01)
    clips = np.array(n_frames) / frames
    report = repetition(sources, specialties, clips, 1_000_000, weights)
    for p in report:
        seen = counts[np.array(sources) == p.source].sum() / p.clips
        assert seen == pytest.approx(p.passes, rel=0.01)
    windows = windows_of(n_frames, frames)
    assert (weights[0] / weights[1]) == pytest.approx(windows[0] / windows[1])
    if cap_passes is None:
        expected = {"a": 1 / 6, "b": 1 / 6, "c": 1 / 3, "d": 1 / 6, "e": 1 / 6}
        assert {k[0]: v for k, v in wanted.items()} == pytest.approx(expected)
    else:
        assert report[0].passes == pytest.approx(600)


def test_a_row_has_as_many_windows_as_it_has_places_to_begin_one_or_the_share_it_fills() -> None:
    assert windows_of([1, 8, 15, 16, 17, 100], 16).tolist() == [1 / 16, 0.5, 15 / 16, 1, 2, 85]
