"""Which frames are encoded and which tokens make a clip, for both protocols, as arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unisurg.benchmarks import BenchmarkError
from unisurg.evaluation.extraction.cases import Clip, Picture, Video
from unisurg.evaluation.extraction.sequences import DepthSequence
from unisurg.evaluation.extraction.windows import (
    clip_windows,
    hop,
    lookahead_s,
    overlapping_windows,
)
from unisurg.settings import Benchmark

WANTED = Benchmark(root=Path(), split="", frames=8, fps=2.0, size_px=32)
SHAPES = [(16, 2), (8, 2), (16, 1), (12, 6), (2, 2), (6, 2), (4, 4)]


def clip(start_s: float | None, end_s: float | None) -> list[int]:
    (window,) = clip_windows(Clip(Path("a.mp4"), start_s, end_s), WANTED, "causal", 2.0, 40)
    return window.tolist()


# --- clips and pictures -------------------------------------------------------------------------


def test_a_clip_has_frames_from_its_start_to_before_its_end() -> None:
    assert clip(2.0, 6.0) == list(range(4, 12))
    assert clip(2.0, 4.0) == [4, 4, 5, 5, 6, 6, 7, 7]
    assert clip(None, None) == [2, 7, 12, 17, 22, 27, 32, 37]


def test_a_clip_between_two_frames_shows_the_one_before_it() -> None:
    assert set(clip(3.1, 3.3)) == {6}


def test_a_clip_is_cut_at_the_end_of_its_file() -> None:
    assert clip(19.0, 30.0) == [38] * 4 + [39] * 4


def test_a_clip_after_the_end_of_its_file_is_an_error() -> None:
    with pytest.raises(
        BenchmarkError, match=r"a\.mp4: lasts 20\.0 s, but a clip of it starts at 21"
    ):
        clip(21.0, 22.0)


def test_a_picture_is_a_clip_of_equal_frames() -> None:
    windows = clip_windows(Picture(Path(), Path()), WANTED, "causal", 1.0, 1)
    assert windows.tolist() == [[0] * 8]


def test_the_moments_of_a_video_have_a_window_each() -> None:
    video = Video(Path(), 25.0, np.array([0.0, 3.0]), 1.0, 5.0)
    assert clip_windows(video, WANTED, "causal", 2.0, 10)[:, -1].tolist() == [0, 6]
    assert clip_windows(video, WANTED, "centred", 2.0, 20)[:, -1].tolist() == [4, 10]


def test_a_clip_with_depth_ends_with_the_frame_whose_depth_is_asked() -> None:
    frames = tuple(Path(f"sequence/{i}.png") for i in range(20))
    sequence = DepthSequence(frames, frames, np.array([0, 9, 19]), None)
    windows = clip_windows(sequence, WANTED, "causal", 1.0, 20)
    assert windows[:, -1].tolist() == [0, 9, 19]
    assert windows[1].tolist() == list(range(2, 10))
    with pytest.raises(BenchmarkError, match=r"sequence: .* set features\.window: causal"):
        clip_windows(sequence, WANTED, "centred", 1.0, 20)


# --- half-overlapping windows -------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "tubelet"), SHAPES)
def test_every_frame_of_a_video_is_kept_exactly_once_in_order(frames: int, tubelet: int) -> None:
    for length in range(1, 60):
        plan = overlapping_windows(frames, 1.0, 1.0, length, tubelet)
        kept = np.concatenate(
            [w[frames - n :] for w, n in zip(plan.windows, plan.fresh, strict=True)]
        )
        assert len(kept) == plan.n_frames
        assert plan.n_frames - length < tubelet, "only the last tubelet is filled up"
        assert np.array_equal(kept[:length], np.arange(length))
        assert (kept[length:] == length - 1).all()
        assert (plan.fresh % tubelet == 0).all()


@pytest.mark.parametrize(("frames", "tubelet"), SHAPES)
def test_windows_overlap_by_half_and_every_kept_frame_has_half_a_window_before_it(
    frames: int, tubelet: int
) -> None:
    step = hop(frames, tubelet)
    plan = overlapping_windows(frames, 1.0, 1.0, 100, tubelet)
    assert step <= max(frames / 2, tubelet)
    assert len(plan.windows) == -(-plan.n_frames // step)
    assert plan.fresh.max() <= step
    inner = plan.windows[(plan.windows[:, 0] > 0) & (plan.windows[:, -1] < 99)]
    assert (np.diff(inner, axis=1) == 1).all()


@pytest.mark.parametrize("kind", ["causal", "centred"])
@pytest.mark.parametrize(("frames", "tubelet"), SHAPES)
def test_the_lookahead_of_fast_is_the_exact_bound(frames: int, tubelet: int, kind: str) -> None:
    """Followed through the windows: the latest frame that any token of a clip has seen."""
    fps, length = 2.0, 120
    plan = overlapping_windows(frames, fps, fps, length, tubelet)
    newest = np.repeat(plan.windows[:, -1], plan.fresh // tubelet) / fps
    moments = np.arange(length) / fps
    steps = plan.steps(moments, frames, tubelet, kind)
    ahead = newest[steps].max(axis=1) - moments
    assert ahead.max() == pytest.approx(lookahead_s("fast", kind, frames, fps, [tubelet]))


@pytest.mark.parametrize(("frames", "tubelet"), SHAPES)
def test_the_newest_step_of_a_causal_clip_holds_the_frame_at_its_moment(
    frames: int, tubelet: int
) -> None:
    plan = overlapping_windows(frames, 1.0, 1.0, 50, tubelet)
    steps = plan.steps(np.arange(50.0), frames, tubelet, "causal")
    assert np.array_equal(steps[:, -1], np.arange(50) // tubelet)
    assert (np.diff(steps, axis=1) >= 0).all()
    assert steps[0].tolist() == [0] * (frames // tubelet)


def test_a_slow_video_is_laid_out_in_time_and_loses_no_picture() -> None:
    plan = overlapping_windows(8, 1.0, 0.5, 10, 2)
    kept = np.concatenate([w[8 - n :] for w, n in zip(plan.windows, plan.fresh, strict=True)])
    assert kept.tolist() == [i // 2 for i in range(19)] + [9]
    steps = plan.steps(np.array([18.0, 99.0]), 8, 2, "causal")
    assert steps.tolist() == [[6, 7, 8, 9]] * 2


def test_dense_windows_look_ahead_only_where_they_are_centred() -> None:
    assert lookahead_s("dense", "causal", 16, 2.0, [2]) == 0
    assert lookahead_s("dense", "centred", 16, 2.0, [2]) == 4
    assert lookahead_s("fast", "causal", 16, 1.0, []) == 0, "frames by themselves see no other"
