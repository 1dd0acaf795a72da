"""Do frames that look alike do so in step? One offset in time, many seconds: the same footage.

A hit of frame a and frame b votes for the offset b_pts_s - a_pts_s. Chance hits scatter over all
offsets; a copy's agree. Method: section 3.3 of the curation reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unisurg.corpus.duplicates.search import Hits, Prints

PAIR_COLUMNS: dict[str, str] = {
    "a_id": "str",
    "b_id": "str",
    "a_start_s": "float64",  # first voting second in a
    "b_start_s": "float64",  # and what a shows there, in b
    "span_s": "float64",  # of the footage in common
    "votes": "int32",  # seconds of a that have their like in b at this offset
    "mean_hamming": "float32",  # over the votes, 0..64 bits
    "mirrored": "bool",
}


@dataclass(frozen=True)
class VoteRules:
    """How many votes make a copy."""

    bin_s: float
    """Offsets that agree within so much are one; bins overlap by half."""
    min_votes: int
    """So many seconds must agree."""
    short_share: float
    """Of a video too short for that, this share of its usable seconds,"""
    short_votes: int
    """but never fewer than so many: a shorter video cannot be found."""
    max_gap_s: float
    """Votes of one stretch of footage are at most so far apart."""
    min_share: float
    """At least this share of the seconds of a stretch votes."""
    contrast: float
    """Its votes are at least so many times those that its seconds give to any other offset, on
    average: footage that stays the same for minutes, as under a microscope, agrees at all of
    them."""
    near_s: float
    """Offsets that differ less are no others: neighbouring seconds look alike."""

    def needed(self, usable_s: int) -> int:
        """Votes for a pair whose shorter video has so many usable seconds."""
        share = math.ceil(self.short_share * usable_s)
        return min(self.min_votes, max(self.short_votes, share))


def count_votes(prints: Prints, hits: Hits, rules: VoteRules) -> pd.DataFrame:
    """Footage in common, a row per stretch and columns as PAIR_COLUMNS, whatever the hits' order.

    `hits` must hold all hits of every pair of videos that it holds a hit of.
    """
    rows = [
        _row(prints, stretch)
        for pair in _by_pair(prints, hits)
        for stretch in _stretches(prints, pair, rules)
    ]
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS)).astype(PAIR_COLUMNS)


def _by_pair(prints: Prints, hits: Hits) -> Iterator[Hits]:
    """The hits of each pair of videos; of each second of a, the most alike first."""
    a, b = prints.video[hits.a], prints.video[hits.b]
    order = np.lexsort((hits.mirrored, hits.a, hits.b, hits.bits, prints.second[hits.a], b, a))
    hits, opens = hits.of(order), _opens(a[order], b[order])
    for start, end in itertools.pairwise([*np.flatnonzero(opens), len(opens)]):
        yield hits.of(np.arange(start, end))


def _stretches(prints: Prints, pair: Hits, rules: VoteRules) -> Iterator[Hits]:
    """The votes of the best stretch; then of the best of what it does not tell; and so on."""
    usable = prints.usable_s[prints.video[[pair.a[0], pair.b[0]]]]
    needed = rules.needed(int(usable.min()))
    votes, bins = _ballot(prints, pair, rules.bin_s)
    while len(votes.a) >= needed:
        second = prints.second[votes.a]
        far = np.diff(second, prepend=second[:1]) > rules.max_gap_s
        starts = np.flatnonzero(_opens(votes.mirrored, bins) | far)
        ends = np.append(starts[1:], len(second))
        counts, bits = ends - starts, np.add.reduceat(votes.bits, starts)
        lasts = second[ends - 1] - second[starts] + 1
        fit = (counts >= needed) & (counts >= rules.min_share * lasts)
        if not fit.any():
            return
        best = np.lexsort((starts, bits / counts, -counts, ~fit))[0]
        stretch = votes.of(np.arange(starts[best], ends[best]))
        if counts[best] >= rules.contrast * _by_chance(prints, pair, stretch, rules.near_s):
            yield stretch
        rest = ~_told(prints, votes, stretch, rules.near_s)
        votes, bins = votes.of(rest), bins[rest]


def _ballot(prints: Prints, pair: Hits, bin_s: float) -> tuple[Hits, np.ndarray]:
    """Every hit votes in the two bins that hold its offset; of each second of a, one vote a bin.

    Returns:
        the votes, sorted by mirroring, bin and second; their bins (n,).
    """
    lower = np.floor(_offset_s(prints, pair) / (bin_s / 2)).astype(np.int64)
    twice, bins = pair.of(np.tile(np.arange(len(lower)), 2)), np.concatenate([lower, lower - 1])
    order = np.lexsort((twice.b, twice.bits, prints.second[twice.a], bins, twice.mirrored))
    twice, bins = twice.of(order), bins[order]
    one = _opens(twice.mirrored, bins, prints.second[twice.a])
    return twice.of(one), bins[one]


def _told(prints: Prints, votes: Hits, stretch: Hits, near_s: float) -> np.ndarray:
    """bool (n,): the vote is for footage of the stretch, or for its neighbours, on both sides."""
    a, b = prints.second[votes.a], prints.second[votes.b]
    of_a, of_b = prints.second[stretch.a], prints.second[stretch.b]
    in_a = (a >= of_a.min()) & (a <= of_a.max())
    return in_a & (b >= of_b.min() - near_s) & (b <= of_b.max() + near_s)


def _by_chance(prints: Prints, pair: Hits, stretch: Hits, near_s: float) -> float:
    """The votes that the seconds of a stretch give to an offset that is not its own, on average."""
    second = prints.second[pair.a]
    first, last = prints.second[stretch.a[[0, -1]]]
    far = np.abs(_offset_s(prints, pair) - np.median(_offset_s(prints, stretch))) > near_s
    chosen = pair.of((second >= first) & (second <= last) & far)
    meetings = len(set(zip(prints.second[chosen.a], prints.second[chosen.b], strict=True)))
    offsets = prints.usable_s[prints.video[stretch.b[0]]] - 2 * near_s
    return meetings / max(offsets, near_s)


def _offset_s(prints: Prints, hits: Hits) -> np.ndarray:
    return prints.pts_s[hits.b] - prints.pts_s[hits.a]


def _row(prints: Prints, hits: Hits) -> dict[str, object]:
    a_s = prints.pts_s[hits.a]
    offset = float(np.median(_offset_s(prints, hits)))
    start = float(a_s.min())
    return {
        "a_id": prints.videos[prints.video[hits.a[0]]],
        "b_id": prints.videos[prints.video[hits.b[0]]],
        "a_start_s": round(start, 3),
        "b_start_s": round(start + offset, 3),
        "span_s": round(float(a_s.max()) - start + 1, 3),
        "votes": len(hits.a),
        "mean_hamming": round(float(hits.bits.mean()), 4),
        "mirrored": bool(hits.mirrored[0]),
    }


def _opens(*keys: np.ndarray) -> np.ndarray:
    """bool (n,): the row differs from the one before in any of the keys (n,)."""
    opens = np.zeros(len(keys[0]), bool)
    opens[:1] = True
    for key in keys:
        opens[1:] |= key[1:] != key[:-1]
    return opens
