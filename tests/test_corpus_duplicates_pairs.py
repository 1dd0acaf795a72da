"""Pairs of videos: whichever is the crop, by blocks of any size, within one set or across two."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hash_tables import (
    SEARCH,
    VOTES,
    compared,
    corpus,
    dup_pairs,
    pairs_between,
    paste,
    recording,
    table,
)

from unisurg.corpus.duplicates import pairs
from unisurg.corpus.duplicates.search import prints


@pytest.mark.parametrize("block_frames", [1, 60, 200])
def test_the_size_of_blocks_does_not_change_the_pairs(block_frames: int) -> None:
    frames = corpus(7)
    small = replace(SEARCH, block_frames=block_frames)
    whole = dup_pairs(frames, SEARCH, VOTES)
    assert len(whole) > 5
    pd.testing.assert_frame_equal(dup_pairs(frames, small, VOTES), whole, check_exact=True)


def test_a_pair_of_videos_is_the_same_whatever_others_there_are() -> None:
    frames = corpus(8)
    whole = dup_pairs(frames, SEARCH, VOTES)
    assert len(whole) > 5
    for (a, b), rows in whole.groupby(["a_id", "b_id"]):
        one, other = (prints(frames[frames["video_id"] == name], SEARCH) for name in (a, b))
        alone = pairs.merged([pairs.in_common(one, other, SEARCH, VOTES)])
        pd.testing.assert_frame_equal(alone, rows.reset_index(drop=True), check_exact=True)


def test_a_crop_is_found_whichever_of_the_two_is_the_crop() -> None:
    for cropped, other in (("a", "b"), ("b", "a")):
        crop, original = recording(cropped, 40, seed=0), recording(other, 40, seed=1)
        original["phash_84"] = crop["phash_100"]
        (pair,) = dup_pairs(table(crop, original), SEARCH, VOTES).to_dict("records")
        assert (pair["a_id"], pair["b_id"], pair["votes"]) == ("a", "b", 40)


def test_a_quarter_of_the_questions_still_finds_a_long_copy() -> None:
    a = recording("a", 100, seed=0)
    b = paste(recording("b", 100, seed=1), 21, a, 10, 70, flips=3)
    (pair,) = dup_pairs(table(a, b), replace(SEARCH, ask_every_s=4), VOTES).to_dict("records")
    assert pair["votes"] < 40
    assert pair["span_s"] >= 64


def test_videos_of_several_frames_a_second_give_the_same_pairs_in_any_order_of_rows() -> None:
    a, b = recording("a", 30, seed=0, fps=4), recording("b", 30, seed=1, fps=4)
    for name in ("phash_100", "phash_92"):  # each second of a shows one picture, and b has it too
        b[name] = a[name] = a[name].to_numpy().repeat(4)[: len(a)]
    found = dup_pairs(table(a, b), SEARCH, VOTES)
    assert len(found)
    shuffled = table(b, a).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(dup_pairs(shuffled, SEARCH, VOTES), found, check_exact=True)


def test_between_two_sets_only_pairs_across_count_and_the_left_one_is_a() -> None:
    a = recording("z", 40, seed=0)
    copies = [paste(recording(name, 40, seed=i), 0, a, 0, 40) for i, name in enumerate("xyc", 1)]
    left, right = table(a, copies[0]), table(copies[1], copies[2])
    across = pairs_between(left, right, SEARCH, VOTES)
    assert sorted(zip(across["a_id"], across["b_id"], strict=True)) == [
        ("x", "c"),
        ("x", "y"),
        ("z", "c"),
        ("z", "y"),
    ]


def test_a_name_that_two_videos_have_is_an_error() -> None:
    a = recording("a", 10, seed=0)
    with pytest.raises(ValueError, match="a: two videos of this name"):
        pairs_between(a, a, SEARCH, VOTES)
    with (
        compared(SEARCH, VOTES, a) as comparison,
        pytest.raises(ValueError, match="a: on both sides"),
    ):
        comparison.between("a", "a")


def test_nothing_to_compare_gives_an_empty_table_of_the_same_columns() -> None:
    a, b = recording("a", 30, seed=0), recording("b", 30, seed=1)
    found = dup_pairs(table(a, paste(b, 0, a, 0, 30)), SEARCH, VOTES)
    for none in (
        dup_pairs(a.iloc[:0], SEARCH, VOTES),
        dup_pairs(a, SEARCH, VOTES),
        pairs_between(a, b.iloc[:0], SEARCH, VOTES),
    ):
        assert len(none) == 0
        assert none.dtypes.equals(found.dtypes)
