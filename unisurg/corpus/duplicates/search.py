"""Which frames of different videos look alike: hashes within a few bits, by exact brute force.

Of every frame the corpus stores three hashes, of the content box and of its central 92 % and 84 %,
and asks with two, of the content box as it is and mirrored: a copy that lost a border looks like
the centre of its original. Black, dark, flat and frozen frames look like each other whatever they
show, so they neither ask nor answer. Brute force is affordable: 2 G pairs a second and core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

ASKED = ("phash_100", "phash_mirror")
STORED = ("phash_100", "phash_92", "phash_84")
FRAME_COLUMNS = ("video_id", "pts_s", *STORED, "phash_mirror", "entropy_bits", "dark_frac")
HASH_BYTES = 8
PAIRS_AT_ONCE = 1 << 26
"""Pairs of hashes in one search; were they all hits, they would take 1 GiB."""

EARLY_S = 0.2
"""A frame of the next second may come so early: the nearest of a grid need not lie on it."""


@dataclass(frozen=True)
class SearchRules:
    """Which frames may speak, and how alike two of them must be."""

    max_bits: int
    """Hashes of two frames that look alike differ in at most so many of 64 bits."""
    margin_bits: int
    """Of another video a frame means the frames that it resembles most, and those that differ from
    it in at most so many bits more. It keeps footage whose seconds all look alike from voting."""
    min_entropy_bits: float
    """Frames whose luma has less entropy, 0..8 bits, are banned: title cards, plain surfaces."""
    max_dark_frac: float
    """Frames of whose content box more than this share is dark are banned."""
    min_diff: float
    """Frames that differ less from the one before, in mean grey levels 0..255, are banned: a
    picture that stands still says nothing about time."""
    ask_every_s: int
    """One frame in so many seconds asks; all of them answer. 4 costs a quarter, and leaves a
    quarter of the votes."""
    block_frames: int
    """Frames held against so many others at a time, in whole videos: bounds the memory."""


@dataclass(frozen=True)
class Prints:
    """The frames that may speak, sorted by video and time; N of them, of V videos."""

    videos: np.ndarray
    """str (V,), each once; also those of which no frame may speak."""
    usable_s: np.ndarray
    """int (V,): seconds of each video in which a frame may speak."""
    video: np.ndarray
    """int32 (N,): which of `videos`."""
    pts_s: np.ndarray
    """float64 (N,)."""
    second: np.ndarray
    """int32 (N,): whole seconds since the video's first frame."""
    asks: np.ndarray
    """bool (N,): the first frame of each second that asks."""
    asked: np.ndarray
    """uint64 (N, 2), as ASKED."""
    stored: np.ndarray
    """uint64 (N, 3), as STORED."""

    def of(self, numbers: np.ndarray) -> Prints:
        """Those of the videos (n,), in this order, as a copy."""
        sought = numbers.astype(self.video.dtype)  # of another type, all of them would be copied
        starts, ends = (np.searchsorted(self.video, sought, side) for side in ("left", "right"))
        rows = np.concatenate([np.zeros(0, np.int64), *map(np.arange, starts, ends)])
        return Prints(
            videos=self.videos[numbers],
            usable_s=self.usable_s[numbers],
            video=np.repeat(np.arange(len(numbers), dtype=np.int32), ends - starts),
            pts_s=self.pts_s[rows],
            second=self.second[rows],
            asks=self.asks[rows],
            asked=self.asked[rows],
            stored=self.stored[rows],
        )

    def then(self, other: Prints) -> Prints:
        """These, and then those of other videos."""
        both = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
        }
        both["video"][len(self.video) :] += len(self.videos)
        return Prints(**both)


@dataclass(frozen=True)
class Hits:
    """Pairs of frames that look alike; n of them."""

    a: np.ndarray
    """int64 (n,): row of the prints."""
    b: np.ndarray
    """int64 (n,): row of the prints, of another video."""
    bits: np.ndarray
    """int32 (n,): how many of 64 differ."""
    mirrored: np.ndarray
    """bool (n,)."""

    def turned(self, which: np.ndarray | slice = slice(None)) -> Hits:
        """With a and b exchanged, all of them or those that `which` (n,) says."""
        a, b = self.a.copy(), self.b.copy()
        a[which], b[which] = self.b[which], self.a[which]
        return Hits(a, b, self.bits, self.mirrored)

    def of(self, rows: np.ndarray) -> Hits:
        return Hits(self.a[rows], self.b[rows], self.bits[rows], self.mirrored[rows])


def joined(parts: Sequence[Hits]) -> Hits:
    """All of them in one; no part gives no hit."""
    empty = np.zeros(0, np.int64)
    every = [Hits(empty, empty, empty.astype(np.int32), empty.astype(bool)), *parts]
    return Hits(
        np.concatenate([part.a for part in every]),
        np.concatenate([part.b for part in every]),
        np.concatenate([part.bits for part in every]),
        np.concatenate([part.mirrored for part in every]),
    )


def prints(frames: pd.DataFrame, rules: SearchRules) -> Prints:
    """What a frames table, of any rate, says for the search.

    Raises:
        ValueError: columns are missing.
    """
    absent = [name for name in (*FRAME_COLUMNS, "diff_prev") if name not in frames.columns]
    if absent:
        raise ValueError(f"the frames table has no column {', '.join(absent)}; scan again")
    names, video = np.unique(frames["video_id"].to_numpy(str), return_inverse=True)
    pts_s = frames["pts_s"].to_numpy(np.float64)
    first_s = np.full(len(names), np.inf)
    np.minimum.at(first_s, video, pts_s)
    second = np.floor(pts_s - first_s[video] + EARLY_S).astype(np.int32)
    order = np.lexsort((pts_s, video))
    order = order[speaks(frames, rules)[order]]
    video, second = video[order].astype(np.int32), second[order]
    opens = np.ones(len(order), bool)
    opens[1:] = (np.diff(video) != 0) | (np.diff(second) != 0)
    return Prints(
        videos=names,
        usable_s=np.bincount(video[opens], minlength=len(names)),
        video=video,
        pts_s=pts_s[order],
        second=second,
        asks=opens & (second % rules.ask_every_s == 0),
        asked=frames[list(ASKED)].to_numpy(np.uint64)[order],
        stored=frames[list(STORED)].to_numpy(np.uint64)[order],
    )


def speaks(frames: pd.DataFrame, rules: SearchRules) -> np.ndarray:
    """bool (rows,): the frame shows enough to be told from others, and it moves."""
    moves = ~(frames["diff_prev"].to_numpy(np.float64) < rules.min_diff)  # nan: the first frame
    return (
        (frames["entropy_bits"].to_numpy(np.float64) >= rules.min_entropy_bits)
        & (frames["dark_frac"].to_numpy(np.float64) <= rules.max_dark_frac)
        & moves
    )


def lookalikes(
    prints: Prints, asking: np.ndarray, answering: np.ndarray, rules: SearchRules
) -> Hits:
    """Frames `asking` (rows, those of them that ask) as a, their like in `answering` (rows) as b.

    Both must be whole videos. A frame never finds one of its own video.
    """
    asking = asking[prints.asks[asking]]
    if len(asking) == 0 or len(answering) == 0:
        return joined([])
    index = index_of_hashes(prints.stored[answering].T.ravel())
    at_once = max(1, PAIRS_AT_ONCE // (len(ASKED) * len(STORED) * len(answering)))
    found = []
    for start in range(0, len(asking), at_once):
        rows = asking[start : start + at_once]
        query, place, bits = within(index, prints.asked[rows].T.ravel(), rules.max_bits)
        hits = Hits(
            rows[query % len(rows)],
            answering[place % len(answering)],
            bits,
            query >= len(rows),
        )
        found.append(_closest(prints, hits, rules.margin_bits))
    return joined(found)


def index_of_hashes(hashes: np.ndarray) -> Any:
    """A faiss index of uint64 (n,), in which a hash's number is its place."""
    import faiss

    index = faiss.IndexBinaryFlat(8 * HASH_BYTES)
    index.add(_bytes(hashes))
    return index


def within(
    index: Any, hashes: np.ndarray, max_bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of `hashes` uint64 (Q,) and the index's that differ in at most `max_bits`.

    Returns:
        number of the query, place in the index (int64), differing bits (int32), each (pairs,).
    """
    limits, bits, places = index.range_search(_bytes(hashes), max_bits + 1)
    counts = np.diff(limits.astype(np.int64))
    return np.repeat(np.arange(len(hashes)), counts), places, bits.astype(np.int32)


def blocks(prints: Prints, numbers: np.ndarray, block_frames: int) -> Iterator[np.ndarray]:
    """The videos `numbers` (n,) in groups of at most `block_frames` frames, or of one video."""
    sought = numbers.astype(prints.video.dtype)
    starts, ends = (np.searchsorted(prints.video, sought, side) for side in ("left", "right"))
    block: list[int] = []
    size = 0
    for number, frames in zip(numbers.tolist(), (ends - starts).tolist(), strict=True):
        if block and size + frames > block_frames:
            yield np.array(block)
            block, size = [], 0
        block.append(number)
        size += frames
    if block:
        yield np.array(block)


def _closest(prints: Prints, hits: Hits, margin_bits: int) -> Hits:
    """Per frame a and other video b the most alike, and those within the margin; once each."""
    hits = hits.of(prints.video[hits.a] != prints.video[hits.b])
    if len(hits.a) == 0:
        return hits
    hits = hits.of(np.lexsort((hits.mirrored, hits.bits, prints.video[hits.b], hits.a)))
    opens = np.ones(len(hits.a), bool)
    opens[1:] = (np.diff(hits.a) != 0) | (np.diff(prints.video[hits.b]) != 0)
    least = hits.bits[opens][np.cumsum(opens) - 1]
    hits = hits.of(hits.bits <= least + margin_bits)
    _, once = np.unique(hits.a * len(prints.video) + hits.b, return_index=True)
    return hits.of(np.sort(once))


def _bytes(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes, np.uint64).view(np.uint8).reshape(-1, HASH_BYTES)
