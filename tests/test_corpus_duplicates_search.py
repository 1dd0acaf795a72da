"""Search of frame hashes: exact, bounded, and blind to frames that show nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hash_tables import SEARCH, paste, recording, table

from unisurg.corpus.duplicates import search
from unisurg.corpus.duplicates.search import (
    Hits,
    blocks,
    index_of_hashes,
    lookalikes,
    prints,
    within,
)


def found(frames: pd.DataFrame, rules: search.SearchRules = SEARCH) -> set[tuple]:
    """(video a, time a, video b, time b, bits, mirrored) of all videos against all."""
    known = prints(frames, rules)
    rows = np.arange(len(known.video))
    hits = lookalikes(known, rows, rows, rules)
    ends = [(known.videos[known.video[row]], known.pts_s[row]) for row in (hits.a, hits.b)]
    columns = [ends[0][0], ends[0][1], ends[1][0], ends[1][1], hits.bits, hits.mirrored]
    return set(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("max_bits", [0, 10, 20, 64])
def test_the_search_finds_exactly_the_pairs_within_the_radius(max_bits: int) -> None:
    rng = np.random.default_rng(max_bits)
    queries, stored = (rng.integers(0, 2**64, n, dtype=np.uint64) for n in (40, 300))
    stored[:40] = queries ^ np.uint64(2**max_bits - 1 if max_bits < 64 else 2**64 - 1)
    differing = np.bitwise_count(queries[:, None] ^ stored[None])
    query, place, bits = within(index_of_hashes(stored), queries, max_bits)
    got = set(zip(query.tolist(), place.tolist(), bits.tolist(), strict=True))
    assert got == {(i, j, differing[i, j]) for i, j in np.argwhere(differing <= max_bits).tolist()}


def test_frames_of_the_own_video_are_no_hits() -> None:
    video = recording("a", 20, seed=0)
    video["phash_100"] = video["phash_100"].iloc[0]
    assert found(video) == set()


def test_what_asks_is_held_against_each_crop_and_the_mirror_image_too() -> None:
    a, b = recording("a", 4, seed=0), recording("b", 4, seed=1)
    for second, (asked, stored) in enumerate(
        [
            ("phash_100", "phash_92"),
            ("phash_100", "phash_84"),
            ("phash_mirror", "phash_100"),
            ("phash_mirror", "phash_84"),
        ]
    ):
        b.loc[second, stored] = a.loc[second, asked]
    hits = [(at, at, at >= 2) for at in range(4)]
    assert found(table(a, b)) == {("a", at, "b", bt, 0, turned) for at, bt, turned in hits}


@pytest.mark.parametrize(
    ("column", "value"), [("entropy_bits", 2.0), ("dark_frac", 0.97), ("diff_prev", 0.1)]
)
def test_flat_dark_and_frozen_frames_are_banned_on_either_side(column: str, value: float) -> None:
    a = recording("a", 10, seed=0)
    b = paste(recording("b", 10, seed=1), 0, a, 0, 10)
    a.loc[3, column] = value
    b.loc[6, column] = value
    assert {hit[1] for hit in found(table(a, b)) if hit[0] == "a"} == {0, 1, 2, 4, 5, 7, 8, 9}


def test_of_another_video_only_the_frames_that_are_most_alike_count() -> None:
    a, b = recording("a", 1, seed=0), recording("b", 12, seed=1)
    differ = [2, 3, 5, 6, 9, 10]
    for second, bits in enumerate(differ):
        b.loc[second, "phash_100"] = a.loc[0, "phash_100"] ^ np.uint64(2**bits - 1)
    heard = {hit[4] for hit in found(table(a, b)) if hit[0] == "a"}
    assert heard == {2, 3, 5}


def test_neither_the_size_of_a_search_nor_the_order_of_rows_changes_the_hits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a = recording("a", 50, seed=0)
    b = paste(recording("b", 50, seed=1), 5, a, 0, 40, flips=4)
    c = paste(recording("c", 50, seed=2), 9, b, 0, 40, flips=5, mirrored=True)
    every = table(a, b, c)
    hits = found(every)
    assert len(hits) > 100
    monkeypatch.setattr(search, "PAIRS_AT_ONCE", 5000)
    assert found(every.sample(frac=1, random_state=0)) == hits


def test_one_frame_a_second_asks_and_all_answer() -> None:
    a = recording("a", 6, seed=0)
    quick = recording("quick", 6, seed=1, fps=4)
    known = prints(table(a, quick), SEARCH)
    asking = known.asks[known.video == 1]
    assert asking.sum() == 6
    assert known.usable_s.tolist() == [6, 6]
    sparse = prints(table(a, quick), replace(SEARCH, ask_every_s=3))
    assert sparse.asks.sum() == 4
    assert len(sparse.stored) == 6 + 24


def test_seconds_are_counted_from_a_videos_first_frame_also_if_it_is_banned() -> None:
    a = recording("a", 5, seed=0)
    a["pts_s"] += 7.02
    a.loc[0, "dark_frac"] = 1.0
    assert prints(a, SEARCH).second.tolist() == [1, 2, 3, 4]


SIZES = [3, 9, 1, 30, 2, 2]


def videos_of_several_sizes() -> search.Prints:
    frames = table(*(recording(f"v{i}", n, seed=i) for i, n in enumerate(SIZES)))
    return prints(frames, SEARCH)


def test_blocks_are_whole_videos_and_hold_every_one_once() -> None:
    parts = list(blocks(videos_of_several_sizes(), np.arange(6), block_frames=10))
    assert [part.tolist() for part in parts] == [[0], [1, 2], [3], [4, 5]]
    (whole,) = blocks(videos_of_several_sizes(), np.array([4, 1]), block_frames=11)
    assert whole.tolist() == [4, 1]


def test_some_of_the_videos_are_what_a_table_of_them_alone_says() -> None:
    known = videos_of_several_sizes()
    chosen = known.of(np.array([3, 1]))
    assert chosen.videos.tolist() == ["v3", "v1"]
    parts = [known.of(np.array([3])), known.of(np.array([1]))]
    alone = [prints(recording(f"v{i}", SIZES[i], seed=i), SEARCH) for i in (3, 1)]
    for field in fields(search.Prints):
        name = field.name
        for part, single in zip(parts, alone, strict=True):
            np.testing.assert_array_equal(getattr(part, name), getattr(single, name))
        np.testing.assert_array_equal(getattr(chosen, name), getattr(alone[0].then(alone[1]), name))
    assert chosen.video.tolist() == [0] * 30 + [1] * 9
    assert len(known.of(np.arange(0)).video) == 0


def test_a_table_without_a_column_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no column phash_92"):
        prints(recording("a", 3, seed=0).drop(columns="phash_92"), SEARCH)


def test_no_frame_is_no_hit() -> None:
    known = prints(recording("a", 3, seed=0).iloc[:0], SEARCH)
    none: Hits = lookalikes(known, np.arange(0), np.arange(0), SEARCH)
    assert len(none.a) == 0
