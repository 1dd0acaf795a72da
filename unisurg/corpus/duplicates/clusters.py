"""Which copy stays: clusters of videos that share footage, and the seconds that others repeat.

The choice is a pure function of the set of videos and the set of pairs, so no order of arrival can
change it. Only seconds are marked: a video that shares a minute with another loses that minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

CLUSTER_COLUMNS: dict[str, str] = {
    "video_id": "str",
    "cluster": "str",  # id of its canonical video
    "canonical": "bool",
    "size": "int32",  # videos in the cluster
}
INTERVAL_COLUMNS: dict[str, str] = {
    "video_id": "str",
    "start_s": "float64",
    "end_s": "float64",
    "state": "str",
    "reason": "str",
    "stage": "str",
}
HEALTH = ("healthy", "degraded", "unreadable")
"""The best first."""


def clusters(pairs: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """A row per video: its cluster, and whether it is the canonical video of it.

    Canonical is the best by (priority of its source, pixels, health, id).

    Args:
        pairs: columns a_id, b_id, as of `dup_pairs`.
        videos: video_id; priority, the less the better; width_px, height_px; health, of HEALTH.
            Only videos fit for use: a copy must not be dropped for one that is not.

    Returns:
        columns as CLUSTER_COLUMNS, by video_id.

    Raises:
        ValueError: a video is listed twice or has no known health, or a pair names a video that
            is not listed.
    """
    ranked = _ranked(videos)
    place = {video: i for i, video in enumerate(ranked)}
    root = _united(len(ranked), _edges(pairs, place))
    sizes = np.bincount(root, minlength=len(ranked))
    rows = [(ranked[i], ranked[root[i]], root[i] == i, sizes[root[i]]) for i in range(len(ranked))]
    table = pd.DataFrame(rows, columns=list(CLUSTER_COLUMNS)).astype(CLUSTER_COLUMNS)
    return table.sort_values("video_id", ignore_index=True)


def duplicate_intervals(pairs: pd.DataFrame, videos: pd.DataFrame, bridge_s: float) -> pd.DataFrame:
    """The seconds that are kept from another, better video.

    Of two videos that share a stretch, the one that ranks lower gives it up. A better video has it
    then, or gave it up to one that is better still: nothing is lost.

    Args:
        pairs: as of `dup_pairs`.
        videos: as in `clusters`, and duration_s.
        bridge_s: what is left between two such stretches, or between one and an end of the video,
            goes too if it is shorter than this: the first and last seconds of a copy need not vote.

    Returns:
        columns as INTERVAL_COLUMNS, by video_id and start_s, without overlap; state is
        `duplicate`, stage `dedup`, and the reason names the better video and where it begins there.
    """
    ranked = _ranked(videos)
    place = {video: i for i, video in enumerate(ranked)}
    duration = dict(zip(videos["video_id"], videos["duration_s"], strict=True))
    _edges(pairs, place)
    repeated: dict[str, list[tuple[float, float, int, str]]] = {}
    for pair in pairs.itertuples():
        sides = [(pair.a_id, pair.a_start_s), (pair.b_id, pair.b_start_s)]
        (best, best_s), (other, other_s) = sorted(sides, key=lambda side: place[side[0]])
        start, end = max(0.0, other_s), min(duration[other], other_s + pair.span_s)
        if start < end:
            reason = f"as {best} from {best_s:.1f} s" + (", mirrored" if pair.mirrored else "")
            repeated.setdefault(other, []).append((start, end, place[best], reason))
    rows = [
        (video, *piece, "duplicate", reason, "dedup")
        for video, stretches in sorted(repeated.items())
        for *piece, reason in _apart(stretches, float(duration[video]), bridge_s)
    ]
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS)).astype(INTERVAL_COLUMNS)


def _ranked(videos: pd.DataFrame) -> list[str]:
    """Ids, the best first."""
    twice = videos.loc[videos["video_id"].duplicated(), "video_id"]
    if len(twice):
        raise ValueError(f"{twice.iloc[0]}: listed twice in the table of videos")
    strange = videos.loc[~videos["health"].isin(HEALTH)]
    if len(strange):
        row = strange.iloc[0]
        raise ValueError(f"{row['video_id']}: health {row['health']!r} is none of {HEALTH}")
    rank = pd.DataFrame(
        {
            "priority": videos["priority"],
            "fewer_px": -videos["width_px"].astype("int64") * videos["height_px"].astype("int64"),
            "health": videos["health"].map(HEALTH.index),
            "video_id": videos["video_id"].astype(str),
        }
    )
    return rank.sort_values(list(rank.columns))["video_id"].tolist()


def _edges(pairs: pd.DataFrame, place: dict[str, int]) -> list[tuple[int, int]]:
    unknown = sorted({*pairs["a_id"], *pairs["b_id"]} - set(place))
    if unknown:
        raise ValueError(
            f"{', '.join(unknown[:5])}: in a pair, but not among the videos fit for use; "
            "leave out the pairs of videos that are not"
        )
    return [(place[a], place[b]) for a, b in zip(pairs["a_id"], pairs["b_id"], strict=True)]


def _united(size: int, edges: Iterable[tuple[int, int]]) -> np.ndarray:
    """int (size,): the least member of everyone's cluster, by union-find."""
    parent = list(range(size))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for a, b in edges:
        least, other = sorted((root(a), root(b)))
        parent[other] = least
    return np.array([root(one) for one in range(size)], np.int64)


def _apart(
    stretches: list[tuple[float, float, int, str]], duration_s: float, bridge_s: float
) -> Iterator[tuple[float, float, str]]:
    """Overlapping and nearly touching stretches as pieces that do not overlap; the reason of each
    is that of its best video."""
    pieces: list[tuple[float, float, int, str]] = []
    for start, end, rank, reason in sorted(stretches):
        if pieces and start - pieces[-1][1] < bridge_s:
            before = pieces.pop()
            _, best = min((before[2], before[3]), (rank, reason))
            pieces.append((before[0], max(before[1], end), min(before[2], rank), best))
        else:
            pieces.append((start, end, rank, reason))
    for start, end, _, reason in pieces:
        yield (
            0.0 if start < bridge_s else start,
            duration_s if duration_s - end < bridge_s else end,
            reason,
        )
