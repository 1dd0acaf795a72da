"""Copies of moving pictures are found whatever was done to them (goal G2), and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hash_tables import SEARCH, VOTES, dup_pairs, pairs_between
from moving_pictures import COPYINGS, Footage, cropped, frames_of, mirrored, table, x264

from unisurg.video.opencv import opencv

ORIGINAL_S, QUERY_S, SHORT_S = 120, 60, 16
SAMPLING_S = 1.01
"""Times of two 1-fps tables may differ by so much."""


@dataclass(frozen=True)
class Planted:
    original: str
    start_s: float
    copying: str


@dataclass(frozen=True)
class Verdict:
    recall: float
    """Share of the planted copies with a row of the right video, time and mirroring."""
    precision: float
    """Share of the rows with the right video and mirroring."""
    in_time: float
    """Share of the rows with the right time too: a view may be seen twice in one operation."""
    missed: list[str]


def originals(seeds: Sequence[int]) -> pd.DataFrame:
    return table([frames_of(f"o{seed}", Footage(seed).clip(0, ORIGINAL_S)) for seed in seeds])


def copies(
    seeds: Sequence[int], lengths: Sequence[int], names: Sequence[str]
) -> tuple[list[pd.DataFrame], dict[str, Planted]]:
    """Of each recording and copying a part, from any instant; a frames table per length."""
    tables: list[list[pd.DataFrame]] = [[] for _ in lengths]
    planted = {}
    for seed in seeds:
        rng = np.random.default_rng([seed, 4])
        for name in names:
            start = int(rng.integers(ORIGINAL_S - QUERY_S)) + rng.uniform(0, 0.5)
            clip = COPYINGS[name](Footage(seed).clip(start, max(lengths)))
            query = f"q{seed} {name}"
            planted[query] = Planted(f"o{seed}", start, name)
            for frames, seconds in zip(tables, lengths, strict=True):
                frames.append(frames_of(query, clip[:seconds]))
    return [table(frames) for frames in tables], planted


def judged(pairs: pd.DataFrame, planted: dict[str, Planted]) -> Verdict:
    truth = [planted[query] for query in pairs["a_id"]]
    original = np.array([one.original for one in truth])
    start_s = np.array([one.start_s for one in truth])
    turned = np.array(["mirror" in one.copying for one in truth])
    right = (pairs["b_id"].to_numpy(str) == original) & (pairs["mirrored"].to_numpy() == turned)
    offset_s = (pairs["b_start_s"] - pairs["a_start_s"]).to_numpy()
    in_time = right & (np.abs(offset_s - start_s) < SAMPLING_S)
    missed = sorted(set(planted) - set(pairs["a_id"][in_time]))
    recall = 1 - len(missed) / len(planted)
    return Verdict(recall, float(right.mean()), float(in_time.mean()), missed)


def test_twenty_ways_of_copying_are_found_and_nothing_else() -> None:
    assert len(COPYINGS) == 20
    seeds = range(1000, 1002)
    (queries,), planted = copies(seeds, [40], list(COPYINGS))
    verdict = judged(pairs_between(queries, originals(seeds), SEARCH, VOTES), planted)
    assert (verdict.precision, verdict.in_time) == (1.0, 1.0)
    assert verdict.recall >= 0.95, verdict.missed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_goal_g2_on_fifty_recordings() -> None:
    seeds = range(50)
    (minute, short), planted = copies(seeds, [QUERY_S, SHORT_S], list(COPYINGS))
    stored = originals(seeds)
    long = judged(pairs_between(minute, stored, SEARCH, VOTES), planted)
    brief = judged(pairs_between(short, stored, SEARCH, VOTES), planted)
    for seconds, verdict in ((QUERY_S, long), (SHORT_S, brief)):
        print(f"{seconds} s: {verdict}")
    assert long.recall >= 0.99
    assert brief.recall >= 0.95
    assert min(long.precision, brief.precision) >= 0.999
    assert min(long.in_time, brief.in_time) >= 0.995


def test_the_stretch_in_common_is_measured_to_a_few_seconds() -> None:
    footage, other = Footage(2000), Footage(2001)
    film = np.concatenate([other.clip(0, 30), footage.clip(40.3, 50), other.clip(60, 30)])
    frames = [frames_of("film", x264(30)(film)), frames_of("original", footage.clip(0, 120))]
    (pair,) = dup_pairs(table(frames), SEARCH, VOTES).to_dict("records")
    assert pair["a_start_s"] == pytest.approx(30, abs=3)
    assert pair["a_start_s"] + pair["span_s"] == pytest.approx(80, abs=3)
    assert pair["b_start_s"] - pair["a_start_s"] == pytest.approx(10.3, abs=0.8)


def test_title_cards_and_black_that_two_films_share_make_no_pair() -> None:
    cv2 = opencv()
    card = np.full((144, 256, 3), 30, np.uint8)
    cv2.putText(
        card, "Department of Surgery", (8, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250,) * 3, 1
    )
    opening = np.concatenate([np.stack([card] * 20), np.zeros((20, 144, 256, 3), np.uint8)])
    films = [
        frames_of(f"film{seed}", x264(24)(np.concatenate([opening, Footage(seed).clip(0, 40)])))
        for seed in (3000, 3001)
    ]
    assert len(dup_pairs(table(films), SEARCH, VOTES)) == 0


@pytest.mark.realdata
def test_copies_of_real_operations_are_found_and_two_operations_are_no_pair(
    real_data: Path,
) -> None:
    cv2 = opencv()
    clips = {}
    for folder in sorted((real_data / "cholect50-val" / "videos").iterdir()):
        pictures = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]
        clips[folder.name] = np.stack([cv2.resize(p, (427, 240))[..., ::-1] for p in pictures])
    stored = [frames_of(name, clip) for name, clip in clips.items()]
    assert len(dup_pairs(table(stored), SEARCH, VOTES)) == 0
    copied = {"crf 30": x264(30), "crop 10 %": cropped(0.10), "mirror": mirrored}
    asked = [
        frames_of(f"{name}, {how}", change(clip))
        for name, clip in clips.items()
        for how, change in copied.items()
    ]
    pairs = pairs_between(table(asked), table(stored), SEARCH, VOTES)
    assert pairs["a_id"].tolist() == sorted(frames["video_id"].iloc[0] for frames in asked)
    assert all(a.startswith(b) for a, b in zip(pairs["a_id"], pairs["b_id"], strict=True))
    assert all(("mirror" in a) == m for a, m in zip(pairs["a_id"], pairs["mirrored"], strict=True))
