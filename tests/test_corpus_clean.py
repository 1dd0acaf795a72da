"""Measured frames become intervals with reasons, and no piece of what is kept holds a cut."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from corpus_scans import KNOBS, film, pan, texture

from unisurg.corpus.child import Limits
from unisurg.corpus.clean import CleanError, CleanRules, clean, short_refused
from unisurg.corpus.intervals import Interval, State, conserved, of_state, paint
from unisurg.corpus.scan.scan import scan_video
from unisurg.corpus.seconds import frames_within

RULES = CleanRules(
    grid_s=1.0,
    gap_s=1.0,
    black_dark_frac=0.97,
    frozen_diff=0.5,
    frozen_s=10.0,
    blur_lap_var=20.0,
    blur_s=5.0,
    short_s=8.0,
    across_cuts=False,
)
LONG = replace(RULES, short_s=0.0)


def healthy(seconds: int) -> pd.DataFrame:
    """Frames in which nothing is wrong."""
    k = np.arange(seconds)
    return pd.DataFrame(
        {
            "k": k.astype(np.int32),
            "pts_s": k + 0.01,
            "dark_frac": np.float32(0.1),
            "lap_var": np.float32(300.0),
            "diff_prev": np.where(k == 0, np.nan, 8.0).astype(np.float32),
            "shot_id": np.int32(0),
        }
    )


def planted(seconds: int, **columns: tuple[int, int, float]) -> pd.DataFrame:
    frames = healthy(seconds)
    for name, (first, behind, value) in columns.items():
        frames.loc[first : behind - 1, name] = value
    return frames


def told(intervals: tuple[Interval, ...]) -> list[tuple[float, float, str]]:
    return [(i.start_s, i.end_s, str(i.state)) for i in intervals]


def test_a_healthy_video_is_kept_whole() -> None:
    assert told(clean(healthy(60), 60.0, RULES)) == [(0, 60, "keep")]


@pytest.mark.parametrize(
    ("column", "value", "state", "seconds"),
    [
        ("dark_frac", 0.99, "black", 1),
        ("diff_prev", 0.0, "frozen", 11),
        ("lap_var", 3.0, "blur", 6),
    ],
)
def test_planted_faults_are_found_where_they_are_and_only_when_long_enough(
    column: str, value: float, state: str, seconds: int
) -> None:
    found = clean(planted(60, **{column: (20, 20 + seconds, value)}), 60.0, RULES)
    assert told(found) == [(0, 20, "keep"), (20, 20 + seconds, state), (20 + seconds, 60, "keep")]
    assert column in found[1].reason
    if seconds > 1:
        shorter = clean(planted(60, **{column: (20, 20 + seconds - 1, value)}), 60.0, RULES)
        assert told(shorter) == [(0, 60, "keep")]


def test_seconds_without_a_frame_nearby_are_undecodable_whether_filled_or_absent() -> None:
    absent = healthy(60).drop(index=range(20, 30))
    assert told(clean(absent, 60.0, RULES))[1] == (20, 30, "undecodable")
    filled = healthy(60)  # the grid repeats the nearest frame: before the gap, then behind it
    filled.loc[20:24, "pts_s"] = 19.96
    filled.loc[25:29, "pts_s"] = 30.0
    filled.loc[20:29, "diff_prev"] = 0.0
    assert told(clean(filled, 60.0, RULES))[1] == (21, 29, "undecodable")


def test_a_long_gap_that_is_filled_by_repetition_is_not_called_frozen() -> None:
    filled = healthy(90)
    filled.loc[20:59, "pts_s"] = 19.96
    filled.loc[20:59, "diff_prev"] = 0.0
    assert {i.state for i in clean(filled, 90.0, LONG)} == {State.KEEP, State.UNDECODABLE}


def test_a_video_that_breaks_off_is_undecodable_from_there() -> None:
    assert told(clean(healthy(40), 60.0, RULES)) == [(0, 40, "keep"), (40, 60, "undecodable")]
    assert told(clean(healthy(0), 60.0, RULES)) == [(0, 60, "undecodable")]


@pytest.mark.parametrize("duration_s", [59.98, 60.0, 60.02, 60.4])
def test_a_rest_below_half_a_grid_second_belongs_to_the_last_frame(duration_s: float) -> None:
    assert told(clean(healthy(60), duration_s, RULES)) == [(0, duration_s, "keep")]
    black = planted(60, dark_frac=(50, 60, 1.0))
    assert told(clean(black, duration_s, RULES))[1] == (50, duration_s, "black")


def test_out_of_body_seconds_are_never_shown_under_another_name() -> None:
    frames = planted(60, dark_frac=(10, 30, 1.0), lap_var=(10, 40, 1.0), diff_prev=(10, 40, 0.0))
    found = clean(frames, 60.0, RULES, oob_spans=[(15.5, 25.25)])
    assert (15.5, 25.25, "oob") in told(found)
    assert conserved(found, 60.0)


def in_shots(frames: pd.DataFrame, *cuts: int) -> pd.DataFrame:
    """The frames with shots that begin at these numbers."""
    return frames.assign(shot_id=np.searchsorted(cuts, frames["k"], side="right").astype(np.int32))


def test_a_title_card_is_a_shot_in_which_nothing_moves_from_its_first_second_on() -> None:
    still = planted(60, diff_prev=(21, 26, 0.1))
    card = clean(in_shots(still, 20, 26), 60.0, RULES)
    assert told(card) == [(0, 20, "keep"), (20, 26, "nonsurgical"), (26, 60, "keep")]
    assert "a shot in which nothing moves" in card[1].reason
    assert told(clean(still, 60.0, RULES)) == [(0, 60, "keep")], "no cut, no card"
    stirred = planted(60, diff_prev=(21, 25, 0.1))
    assert "nonsurgical" not in {i.state for i in clean(in_shots(stirred, 20, 26), 60.0, RULES)}


def test_a_card_of_any_length_goes_whole_and_one_frame_alone_is_no_card() -> None:
    for behind in (22, 34, 58):
        frames = in_shots(planted(60, diff_prev=(21, behind, 0.1)), 20, behind)
        assert (20, behind, "nonsurgical") in told(clean(frames, 60.0, RULES))
    one = in_shots(healthy(60), 20, 21)
    assert told(clean(one, 60.0, LONG)) == [(0, 20, "keep"), (20, 21, "keep"), (21, 60, "keep")]


def test_a_recording_without_a_cut_that_stands_still_is_frozen_and_no_card() -> None:
    still = planted(60, diff_prev=(1, 60, 0.0))
    assert told(clean(still, 60.0, LONG)) == [(0, 1, "keep"), (1, 60, "frozen")]


def test_pieces_too_short_are_refused_and_later_paint_may_make_more() -> None:
    frames = planted(60, dark_frac=(7, 8, 1.0))
    found = clean(frames, 60.0, RULES)
    assert told(found) == [(0, 7, "short"), (7, 8, "black"), (8, 60, "keep")]
    later = paint(found, [(12, 60)], State.LEAK, "cholec80/41", "leak")
    assert told(short_refused(later, RULES.short_s, "leak"))[2] == (8, 12, "short")
    exact = planted(60, dark_frac=(8, 9, 1.0))
    assert told(clean(exact, 60.0, RULES))[0] == (0, 8, "keep")


@pytest.mark.parametrize("seed", range(60))
def test_any_frames_whatever_give_intervals_that_conserve_the_duration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = int(rng.integers(1, 200))
    frames = healthy(seconds)
    frames["shot_id"] = np.cumsum(rng.random(seconds) < 0.1).astype(np.int32)
    for column in ("dark_frac", "lap_var", "diff_prev"):
        runs = np.repeat(rng.random(seconds), rng.integers(1, 20, seconds))[:seconds]
        frames[column] = np.where(runs < 0.3, 0.0, runs * 400)
    frames = frames[rng.random(seconds) < 0.9].sample(frac=1, random_state=seed)
    duration_s = seconds + float(rng.uniform(-0.4, 30))
    spans = [(float(s), float(s + 7)) for s in rng.uniform(0, seconds, 2)]
    assert conserved(clean(frames, duration_s, RULES, spans), duration_s)


def test_another_grid_than_one_a_second_gives_the_same_times() -> None:
    frames = planted(240, dark_frac=(80, 120, 1.0))
    frames["pts_s"] = frames["k"] / 4
    found = clean(frames, 60.0, replace(RULES, grid_s=0.25, gap_s=0.25))
    assert told(found) == [(0, 20, "keep"), (20, 30, "black"), (30, 60, "keep")]


def test_a_table_that_cannot_be_judged_is_refused_with_its_column() -> None:
    with pytest.raises(CleanError, match="k names a frame twice"):
        clean(pd.concat([healthy(9), healthy(9)]), 9.0, RULES)
    with pytest.raises(CleanError, match="k reaches 59 s in a video of 9 s"):
        clean(healthy(60), 9.0, RULES)
    with pytest.raises(CleanError, match="2 rows without a lap_var"):
        clean(planted(9, lap_var=(3, 5, math.nan)), 9.0, RULES)


def test_a_shot_cut_ends_a_piece_and_begins_the_next_and_no_second_is_lost() -> None:
    found = clean(in_shots(healthy(60), 20, 31), 60.0, RULES)
    assert told(found) == [(0, 20, "keep"), (20, 31, "keep"), (31, 60, "keep")]
    assert [i.reason for i in found] == ["shot 0", "shot 1", "shot 2"]
    across = clean(in_shots(healthy(60), 20, 31), 60.0, replace(RULES, across_cuts=True))
    assert told(across) == [(0, 60, "keep")]


def test_what_later_stages_paint_leaves_the_pieces_of_two_shots_apart() -> None:
    found = clean(in_shots(healthy(60), 20), 60.0, RULES)
    later = paint(found, [(30, 40)], State.DUPLICATE, "a copy", "dedup")
    assert told(later) == [
        (0, 20, "keep"),
        (20, 30, "keep"),
        (30, 40, "duplicate"),
        (40, 60, "keep"),
    ]


def test_a_shot_that_is_too_short_is_told_as_short() -> None:
    found = clean(in_shots(healthy(60), 20, 26), 60.0, RULES)
    assert told(found) == [(0, 20, "keep"), (20, 26, "short"), (26, 60, "keep")]
    assert found[1].reason == "piece shorter than 8 s"


def test_a_flash_between_two_frames_of_the_grid_cuts_where_the_shot_of_the_frames_changes() -> None:
    flash = healthy(60)
    flash["shot_id"] = np.where(flash["k"] < 20, 4, 6).astype(np.int32)  # nothing is seen of shot 5
    assert [(i.start_s, i.reason) for i in clean(flash, 60.0, RULES)] == [
        (0.0, "shot 4"),
        (20.0, "shot 6"),
    ]


def test_a_shot_that_begins_with_a_frame_behind_the_end_is_no_piece() -> None:
    assert told(clean(in_shots(healthy(61), 60), 59.98, RULES)) == [(0, 59.98, "keep")]


@pytest.mark.parametrize("seed", range(60))
def test_the_frames_of_a_piece_that_is_kept_are_all_of_one_shot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fps = float(rng.choice([0.5, 1.0, 4.0]))
    n_frames = int(rng.integers(10, 400))
    duration_s = (n_frames + float(rng.uniform(-0.4, 0.4))) / fps
    frames = healthy(n_frames)
    frames["pts_s"] = frames["k"] / fps
    frames["shot_id"] = np.cumsum(rng.random(n_frames) < 0.1).astype(np.int32)
    spans = [(float(s), float(s + rng.uniform(0, 9))) for s in rng.uniform(0, duration_s, 4)]
    rules = replace(LONG, grid_s=1 / fps, gap_s=1 / fps)
    found = paint(clean(frames, duration_s, rules), spans, State.LEAK, "", "leak")
    assert conserved(found, duration_s)
    pieces = of_state(found, State.KEEP)
    seen = [
        set(frames["shot_id"].to_numpy()[list(frames_within(keep, n_frames, fps, duration_s))])
        for keep in pieces
    ]
    assert max(map(len, seen)) == 1
    across = of_state(clean(frames, duration_s, replace(rules, across_cuts=True)), State.KEEP)
    shots = {i.reason for i in of_state(clean(frames, duration_s, rules), State.KEEP)}
    assert (len(across), len(shots)) == (1, frames["shot_id"].nunique())


def test_in_a_film_with_a_title_card_the_card_is_found_and_its_cuts_end_the_pieces(
    tmp_path: Path,
) -> None:
    card = cv2.putText(texture(9)[:192, :320] // 4, "CASE 12", (60, 100), 0, 1.5, (255,) * 3, 3)
    shown = [*pan(1, 250, 5), *[card] * 20, *pan(2, 250, 5), *pan(3, 250, 5)]
    film(tmp_path / "a.mp4", shown, rate=Fraction(5), crf=28)
    found = scan_video(tmp_path / "a.mp4", KNOBS, Limits(60.0, 2048))
    intervals = clean(found.frames("v"), found.facts.duration_s, replace(RULES, short_s=2.0))
    assert told(intervals) == [
        (0, 10, "keep"),
        (10, 14, "nonsurgical"),
        (14, 24, "keep"),
        (24, 34, "keep"),
    ]


def seconds_of(video: Path) -> list[np.ndarray]:
    """Luma of one frame a second, short side 256."""
    with av.open(str(video)) as container:
        luma = [f.to_ndarray(format="gray") for f in container.decode(video=0)][::25]
    return [cv2.resize(y, (y.shape[1] * 256 // y.shape[0], 256)) for y in luma]


def measured(luma: list[np.ndarray]) -> pd.DataFrame:
    frames = healthy(len(luma))
    frames["dark_frac"] = [np.mean(y < 16) for y in luma]
    frames["lap_var"] = [cv2.Laplacian(y, cv2.CV_64F).var() for y in luma]
    frames["diff_prev"] = [np.nan, *(np.mean(cv2.absdiff(a, b)) for a, b in pairwise(luma))]
    return frames


@pytest.mark.realdata
def test_real_surgery_is_kept_and_the_faults_planted_in_it_are_not(real_data: Path) -> None:
    rules = replace(LONG, frozen_s=1.0, blur_s=1.0)
    luma = seconds_of(real_data / "rvimlab-endoscopy" / "endo.mp4")
    assert told(clean(measured(luma), 10.0, rules)) == [(0, 10, "keep")]
    luma[2] = np.zeros_like(luma[2])
    luma[5] = luma[6] = luma[4]
    luma[8:10] = [cv2.GaussianBlur(y, (0, 0), 3) for y in luma[8:10]]
    assert told(clean(measured(luma), 10.0, rules)) == [
        (0, 2, "keep"),
        (2, 3, "black"),
        (3, 5, "keep"),
        (5, 7, "frozen"),
        (7, 8, "keep"),
        (8, 10, "blur"),
    ]
