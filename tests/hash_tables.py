"""Frames tables of random hashes, for tests of search and votes; and the rules that tests go by."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from curating import Here

from unisurg.corpus import leak
from unisurg.corpus.duplicates.comparison import Comparison, comparing
from unisurg.corpus.duplicates.search import SearchRules, prints
from unisurg.corpus.duplicates.votes import VoteRules

SEARCH = SearchRules(
    max_bits=10,
    margin_bits=3,
    min_entropy_bits=4.0,
    max_dark_frac=0.9,
    min_diff=0.5,
    ask_every_s=1,
    block_frames=20_000,
)
VOTES = VoteRules(
    bin_s=1.0,
    min_votes=6,
    short_share=0.3,
    short_votes=4,
    max_gap_s=20.0,
    min_share=0.1,
    contrast=2.0,
    near_s=5.0,
)

HASHES = ("phash_100", "phash_92", "phash_84", "phash_mirror")


def recording(video_id: str, seconds: int, seed: int, fps: int = 1) -> pd.DataFrame:
    """Frames of which none looks like any other."""
    rng = np.random.default_rng([seed, 1])
    n = seconds * fps
    return pd.DataFrame(
        {
            "video_id": video_id,
            "k": np.arange(n, dtype=np.int32),
            "pts_s": np.arange(n) / fps,
            **{name: rng.integers(0, 2**64, n, dtype=np.uint64) for name in HASHES},
            "entropy_bits": 7.0,
            "dark_frac": 0.1,
            "diff_prev": np.r_[np.nan, np.full(n - 1, 9.0)],
        }
    )


def paste(
    target: pd.DataFrame,
    at_s: int,
    source: pd.DataFrame,
    start_s: int,
    seconds: int,
    *,
    flips: int = 0,
    mirrored: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """`target` with `seconds` of `source` in it, both of one frame a second.

    Of each hash `flips` bits are turned over; mirrored, what the one asks the other answers.
    """
    rng = np.random.default_rng([seed, 2])
    pasted = target.copy()
    for name in HASHES:
        taken = source[name].to_numpy()[start_s : start_s + seconds].copy()
        if mirrored:
            other = {"phash_100": "phash_mirror", "phash_mirror": "phash_100"}
            taken = source[other.get(name, name)].to_numpy()[start_s : start_s + seconds].copy()
        for row in range(seconds):
            for bit in rng.choice(64, flips, replace=False):
                taken[row] ^= np.uint64(1) << np.uint64(bit)
        values = pasted[name].to_numpy().copy()
        values[at_s : at_s + seconds] = taken
        pasted[name] = values
    return pasted


def table(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def corpus(seed: int, videos: int = 14) -> pd.DataFrame:
    """Videos of several lengths, most of which hold stretches of earlier ones, some mirrored."""
    rng = np.random.default_rng(seed)
    made: list[pd.DataFrame] = []
    for number in rng.permutation(videos):
        video = recording(f"v{number:02d}", int(rng.integers(8, 90)), seed=100 * seed + int(number))
        for source in rng.permutation(len(made))[:2]:
            seconds = int(rng.integers(4, 1 + min(len(video), len(made[source]))))
            video = paste(
                video,
                int(rng.integers(len(video) - seconds + 1)),
                made[source],
                int(rng.integers(len(made[source]) - seconds + 1)),
                seconds,
                flips=int(rng.integers(6)),
                mirrored=bool(rng.integers(4) == 0),
                seed=int(number),
            )
        made.append(video)
    return table(*made)


@contextmanager
def compared(search: SearchRules, votes: VoteRules, *frames: pd.DataFrame) -> Iterator[Comparison]:
    """A comparison of the videos of some tables, which remembers nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        spoken = (prints(some, search) for some in frames)
        with comparing(Path(scratch), spoken, search, votes, Here()) as comparison:
            yield comparison


def dup_pairs(frames: pd.DataFrame, search: SearchRules, votes: VoteRules) -> pd.DataFrame:
    """Footage that all videos of a table have in common."""
    with compared(search, votes, frames) as comparison:
        return comparison.within()


def pairs_between(
    left: pd.DataFrame, right: pd.DataFrame, search: SearchRules, votes: VoteRules
) -> pd.DataFrame:
    """Footage that videos of one table share with those of the other."""
    with compared(search, votes, left, right) as comparison:
        return comparison.between(left["video_id"], right["video_id"])


def leaks(
    frames: pd.DataFrame,
    videos: pd.DataFrame,
    index: pd.DataFrame,
    held_out: leak.HeldOut,
    search: SearchRules,
    votes: VoteRules,
) -> pd.DataFrame:
    """What of a table of frames is held out, by any rule."""
    with compared(search, votes, frames, index) as comparison:
        return leak.leaks(comparison, videos, index, held_out)
