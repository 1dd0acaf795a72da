"""Which copy stays: the best one, all its seconds, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unisurg.corpus.duplicates.clusters import (
    CLUSTER_COLUMNS,
    INTERVAL_COLUMNS,
    clusters,
    duplicate_intervals,
)


def video(
    video_id: str, *, priority: int = 0, px: int = 480, health: str = "healthy", s: float = 100
) -> dict:
    size = {"width_px": px, "height_px": px}
    return {"video_id": video_id, "priority": priority, **size, "health": health, "duration_s": s}


def pair(a: str, b: str, a_s: float = 0, b_s: float = 0, span: float = 100) -> dict:
    times = {"a_start_s": a_s, "b_start_s": b_s, "span_s": span}
    return {"a_id": a, "b_id": b, **times, "mirrored": False}


def frame(rows: list[dict], like: dict) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(like))


def videos_of(*rows: dict) -> pd.DataFrame:
    return frame(list(rows), video("a"))


def pairs_of(*rows: dict) -> pd.DataFrame:
    return frame(list(rows), pair("a", "b"))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (video("z", priority=1, px=100, health="degraded"), video("a", priority=2)),
        (video("z", px=720, health="degraded"), video("a", px=480)),
        (video("z", health="healthy"), video("a", health="degraded")),
        (video("z", health="degraded"), video("a", health="unreadable")),
        (video("a"), video("z")),
    ],
)
def test_canonical_is_the_best_by_priority_then_pixels_then_health_then_id(
    better: dict, worse: dict
) -> None:
    for rows in ((better, worse), (worse, better)):
        table = clusters(pairs_of(pair("a", "z")), videos_of(*rows))
        assert table.loc[table["canonical"], "video_id"].tolist() == [better["video_id"]]
        assert set(table["cluster"]) == {better["video_id"]}


def test_what_is_linked_by_any_chain_is_one_cluster_and_the_rest_stand_alone() -> None:
    rows = [video(name) for name in "abcdef"]
    table = clusters(pairs_of(pair("d", "e"), pair("b", "c"), pair("c", "d")), videos_of(*rows))
    assert {name: str(kind) for name, kind in table.dtypes.items()} == CLUSTER_COLUMNS
    assert table["cluster"].tolist() == ["a", "b", "b", "b", "b", "f"]
    assert table["size"].tolist() == [1, 4, 4, 4, 4, 1]
    assert table["canonical"].sum() == 3


@pytest.mark.parametrize("seed", range(10))
def test_clusters_and_intervals_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        video(f"v{i}", priority=int(rng.integers(3)), px=int(rng.integers(3))) for i in range(12)
    ]
    links = [
        pair(f"v{min(a, b)}", f"v{max(a, b)}", *rng.uniform(0, 60, 2), rng.uniform(10, 40))
        for a, b in rng.integers(0, 12, (14, 2))
        if a != b
    ]
    videos, pairs = videos_of(*rows), pairs_of(*links)
    mixed_videos, mixed_pairs = (t.sample(frac=1, random_state=seed) for t in (videos, pairs))
    pd.testing.assert_frame_equal(clusters(pairs, videos), clusters(mixed_pairs, mixed_videos))
    pd.testing.assert_frame_equal(
        duplicate_intervals(pairs, videos, 5.0),
        duplicate_intervals(mixed_pairs, mixed_videos, 5.0),
    )


def test_only_the_seconds_in_common_are_duplicate_and_they_name_their_original() -> None:
    table = duplicate_intervals(
        pairs_of(pair("a", "b", a_s=300, b_s=40, span=25)),
        videos_of(video("a", s=600), video("b", s=200)),
        bridge_s=10,
    )
    assert {name: str(kind) for name, kind in table.dtypes.items()} == INTERVAL_COLUMNS
    assert table.values.tolist() == [["b", 40, 65, "duplicate", "as a from 300.0 s", "dedup"]]


def test_the_worse_video_gives_up_its_seconds_also_where_it_is_a() -> None:
    table = duplicate_intervals(
        pairs_of(pair("a", "b", a_s=300, b_s=40, span=25)),
        videos_of(video("a", px=100, s=600), video("b", s=200)),
        bridge_s=10,
    )
    assert table[["video_id", "start_s", "end_s"]].values.tolist() == [["a", 300, 325]]


def test_a_copy_whose_ends_did_not_vote_is_covered_whole() -> None:
    stretches = pairs_of(pair("a", "b", 4, 4, 40), pair("a", "b", 50, 50, 45))
    table = duplicate_intervals(stretches, videos_of(video("a"), video("b")), bridge_s=10)
    assert table[["start_s", "end_s"]].values.tolist() == [[0, 100]]


def test_a_video_longer_than_its_part_in_another_keeps_the_rest() -> None:
    stretches = pairs_of(pair("a", "b", 0, 20, 30), pair("a", "b", 40, 70, 10))
    table = duplicate_intervals(stretches, videos_of(video("a"), video("b", s=95)), bridge_s=10)
    assert table[["start_s", "end_s"]].values.tolist() == [[20, 50], [70, 80]]


@pytest.mark.parametrize("seed", range(20))
def test_every_second_of_footage_is_kept_exactly_once(seed: int) -> None:
    """Videos cut from one tape, all their pairs known: what is kept is the tape, once."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, 150, 9), rng.integers(20, 80, 9)
    names = [f"v{i}" for i in range(9)]
    rows = [
        video(name, priority=int(rng.integers(3)), s=float(length))
        for name, length in zip(names, lengths, strict=True)
    ]
    links = []
    for i in range(9):
        for j in range(i):
            start = max(starts[i], starts[j])
            end = min(starts[i] + lengths[i], starts[j] + lengths[j])
            if start < end:
                ends = float(start - starts[j]), float(start - starts[i]), float(end - start)
                links.append(pair(names[j], names[i], *ends))
    gone = duplicate_intervals(pairs_of(*links), videos_of(*rows), bridge_s=0.0)
    kept = np.zeros(300, int)
    for name, start, length in zip(names, starts, lengths, strict=True):
        own = np.ones(length, bool)
        for row in gone[gone["video_id"] == name].itertuples():
            own[int(row.start_s) : int(row.end_s)] = False
        kept[start : start + length] += own
    shown = np.zeros(300, bool)
    for start, length in zip(starts, lengths, strict=True):
        shown[start : start + length] = True
    assert kept.tolist() == shown.astype(int).tolist()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([video("a")], "b: in a pair, but not among the videos fit for use"),
        ([video("a"), video("b"), video("a")], "a: listed twice"),
        ([video("a"), video("b", health="fine")], "b: health 'fine' is none of"),
    ],
)
def test_tables_that_do_not_fit_are_refused(rows: list[dict], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        clusters(pairs_of(pair("a", "b")), videos_of(*rows))
