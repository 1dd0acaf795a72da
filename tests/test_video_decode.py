"""Frames of a clip by number."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest
from corpus_recordings import constant, number_of

from unisurg.corpus.child import Limits
from unisurg.corpus.normalise import normalise_video
from unisurg.video.decode import VideoError, open_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames at 1 fps; frame k shows the number k."""
    folder = tmp_path_factory.mktemp("clip")
    raw, out = constant(folder / "raw.mp4", 1, 50), folder / "clip.mp4"
    normalise_video(raw, out, 1.0, 64, 20, Limits(30.0, 2048))
    return out


def test_any_frames_in_any_order_are_the_frames_asked_for(clip: Path) -> None:
    rng = np.random.default_rng(0)
    with open_clip(clip) as reader:
        assert (len(reader), reader.fps) == (50, 1.0)
        for wanted in ([0], [49, 0], [7, 7, 7], range(50), rng.integers(0, 50, 64)):
            frames = reader.read(wanted)
            assert frames.dtype == np.uint8
            assert frames.shape == (len(wanted), 64, 106, 3)
            assert [number_of(frame) for frame in frames] == list(wanted)


@pytest.mark.parametrize("wanted", [[-1], [50], [0, 99], []])
def test_a_frame_that_is_not_there_is_an_error_that_names_the_clip(
    clip: Path, wanted: list[int]
) -> None:
    with open_clip(clip) as reader, pytest.raises(IndexError, match=r"clip\.mp4: "):
        reader.read(wanted)


def test_a_missing_or_broken_clip_is_an_error_that_names_it_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"gone\.mp4: no such clip; run `unisurg curate`"):
        open_clip(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4: not a readable clip.*run it again"):
        open_clip(tmp_path / "text.mp4")


def test_a_closed_reader_reads_no_more(clip: Path) -> None:
    with open_clip(clip) as reader:
        pass
    with pytest.raises(VideoError, match="read after close"):
        reader.read([0])


def test_hundreds_of_clips_leave_neither_memory_nor_files_behind(clip: Path) -> None:
    def read_some(times: int) -> None:
        for _ in range(times):
            with open_clip(clip) as reader:
                reader.read([0, 20, 49])
        gc.collect()

    process = psutil.Process()
    read_some(120)
    memory, files = process.memory_info().rss, process.num_fds()
    read_some(120)
    assert process.memory_info().rss - memory < 16 << 20
    assert process.num_fds() <= files
