"""Votes over time: footage in common is found where it is, and chance is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hash_tables import HASHES, SEARCH, VOTES, dup_pairs, paste, recording, table

from unisurg.corpus.duplicates.votes import PAIR_COLUMNS, VoteRules


def pairs_of(*videos: pd.DataFrame, votes: VoteRules = VOTES) -> pd.DataFrame:
    return dup_pairs(table(*videos), SEARCH, votes)


def test_a_copy_is_found_with_its_place_length_and_distance() -> None:
    a = recording("a", 200, seed=0)
    b = paste(recording("b", 100, seed=1), 20, a, 130, 60, flips=4)
    pairs = pairs_of(a, b)
    assert {name: str(kind) for name, kind in pairs.dtypes.items()} == PAIR_COLUMNS
    assert pairs.values.tolist() == [["a", "b", 130.0, 20.0, 60.0, 60, 4.0, False]]


def test_a_mirrored_copy_is_found_as_such() -> None:
    a = recording("a", 60, seed=0)
    b = paste(recording("b", 60, seed=1), 0, a, 10, 40, mirrored=True)
    (pair,) = pairs_of(a, b).to_dict("records")
    assert pair["mirrored"]
    assert (pair["a_start_s"], pair["b_start_s"], pair["span_s"]) == (10, 0, 40)


def test_each_stretch_of_an_edited_video_is_a_row() -> None:
    a = recording("a", 300, seed=0)
    b = paste(recording("b", 100, seed=1), 5, a, 200, 30)
    b = paste(b, 60, a, 20, 30)
    rows = pairs_of(a, b)[["a_start_s", "b_start_s", "span_s"]].values.tolist()
    assert rows == [[20, 60, 30], [200, 5, 30]]


def test_each_showing_of_a_stretch_is_a_row_on_whichever_side_it_is_shown_twice() -> None:
    for once, twice in (("a", "b"), ("b", "a")):
        original = recording(once, 60, seed=0)
        film = paste(recording(twice, 120, seed=1), 0, original, 10, 30)
        film = paste(film, 80, original, 10, 30)
        pairs = pairs_of(original, film)
        assert sorted(pairs[f"{once}_start_s"]) == [10, 10]
        assert sorted(pairs[f"{twice}_start_s"]) == [0, 80]


def test_two_copies_far_apart_at_one_offset_are_two_stretches() -> None:
    a = recording("a", 300, seed=0)
    b = paste(recording("b", 300, seed=1), 10, a, 10, 30)
    b = paste(b, 200, a, 200, 30)
    assert pairs_of(a, b)["span_s"].tolist() == [30, 30]


@pytest.mark.parametrize("seconds", [5, 6])
def test_fewer_seconds_than_the_votes_needed_are_no_pair(seconds: int) -> None:
    a = recording("a", 100, seed=0)
    b = paste(recording("b", 100, seed=1), 50, a, 50, seconds)
    assert len(pairs_of(a, b)) == (seconds >= VOTES.min_votes)


@pytest.mark.parametrize(
    ("usable_s", "needed"), [(3, 4), (10, 4), (13, 4), (16, 5), (20, 6), (99, 6)]
)
def test_a_short_video_needs_a_share_of_its_seconds(usable_s: int, needed: int) -> None:
    assert VOTES.needed(usable_s) == needed


def test_a_short_copy_is_found_by_its_share() -> None:
    a = recording("a", 100, seed=0)
    b = paste(recording("b", 12, seed=1), 0, a, 40, 4)
    assert pairs_of(a, b)["votes"].tolist() == [4]
    assert len(pairs_of(a, b, votes=replace(VOTES, short_votes=5))) == 0


def test_lookalikes_out_of_step_are_no_pair() -> None:
    a, b = recording("a", 60, seed=0), recording("b", 60, seed=1)
    b["phash_100"] = a["phash_100"].to_numpy()[::-1]
    assert len(pairs_of(a, b)) == 0


def test_votes_thinly_spread_are_no_pair() -> None:
    a, b = recording("a", 200, seed=0), recording("b", 200, seed=1)
    for second in range(0, 200, 15):
        b.loc[second, "phash_100"] = a.loc[second, "phash_100"]
    assert len(pairs_of(a, b)) == 0


def test_black_and_frozen_seconds_make_no_pair() -> None:
    a = recording("a", 60, seed=0)
    b = paste(recording("b", 60, seed=1), 0, a, 0, 60)
    for second in range(60):
        column, value = ("dark_frac", 1.0) if second % 2 else ("diff_prev", 0.0)
        b.loc[second, column] = value
    b.loc[0, "diff_prev"] = np.nan  # the first frame of a still picture may speak
    assert len(pairs_of(a, b)) == 0


def steady(video_id: str, seed: int) -> pd.DataFrame:
    """A minute under a microscope: every hash differs from every other in at most 8 bits."""
    rng = np.random.default_rng([seed, 3])
    video = recording(video_id, 60, seed)
    for name in HASHES:
        bits = [rng.choice(64, 4, replace=False).astype(np.uint64) for _ in range(60)]
        video[name] = np.array([sum(np.uint64(1) << b for b in few) for few in bits], np.uint64)
    return video


def test_two_operations_whose_seconds_all_look_alike_are_no_pair() -> None:
    assert len(pairs_of(steady("a", 0), steady("b", 1))) == 0


def test_a_copy_of_such_an_operation_is_found_all_the_same() -> None:
    a = steady("a", 0)
    b = paste(recording("b", 60, seed=1), 10, a, 0, 40, flips=1)
    rows = pairs_of(a, b)[["a_start_s", "b_start_s", "span_s"]].values.tolist()
    assert rows == [[0, 10, 40]]


def test_instants_of_sampling_may_differ_by_half_a_second() -> None:
    a = recording("a", 60, seed=0)
    b = paste(recording("b", 60, seed=1), 0, a, 20, 40)
    b["pts_s"] += 0.5 + np.random.default_rng(0).uniform(-0.04, 0.04, 60)
    (pair,) = pairs_of(a, b).to_dict("records")
    assert pair["votes"] == 40
    assert pair["b_start_s"] == pytest.approx(0.5, abs=0.1)
