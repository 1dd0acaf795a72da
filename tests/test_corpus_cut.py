"""Pieces of a clip hold exactly their frames, wherever in the clip they lie."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from corpus_scans import pan

from unisurg.corpus.cut import Pieces, cut, frames_of
from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.encode import write_clip

N_FRAMES = 70


@pytest.fixture(scope="module", params=["1", "30000/1001", "1/2"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = (
        av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        for picture in pan(1, N_FRAMES * 9, every=9)
    )
    path = tmp_path_factory.mktemp("cut") / "0123456789abcdef.mp4"
    write_clip(frames, path, Fraction(request.param), 20)
    return path


def pictures(clip: Path, *span: int) -> np.ndarray:
    return np.array([frame.to_ndarray() for frame in frames_of(clip, *span)])


@pytest.mark.parametrize(
    "span", [(0, 70), (0, 1), (15, 17), (16, 32), (33, 34), (69, 70), (50, 900)]
)
def test_a_span_is_read_as_it_lies_in_the_whole_clip(clip: Path, span: tuple[int, int]) -> None:
    whole = pictures(clip)
    assert len(whole) == N_FRAMES
    assert np.array_equal(pictures(clip, *span), whole[slice(*span)])


def test_pieces_are_their_frames_encoded_again_and_the_whole_is_not(
    clip: Path, tmp_path: Path
) -> None:
    with av.open(str(clip)) as container:
        fps = float(container.streams.video[0].average_rate or 0)
    spans = ((0, 20), (20, 53), (53, 70))
    pieces = Pieces(clip, N_FRAMES, fps, 20, (), spans, tmp_path)
    whole = pictures(clip)
    for made, (first, behind) in zip(cut(pieces), spans, strict=True):
        found = pictures(made)
        assert len(found) == behind - first
        off = np.abs(found.astype(int) - whole[first:behind]).mean(axis=(1, 2))
        others = np.abs(found[:-1].astype(int) - whole[first + 1 : behind]).mean(axis=(1, 2))
        assert off.max() < others.min() / 2
    [same] = cut(Pieces(clip, N_FRAMES, fps, 20, (), ((0, N_FRAMES),), tmp_path))
    assert same.read_bytes() == clip.read_bytes()


def test_a_rectangle_is_black_in_a_piece_and_the_rest_is_as_it_was(
    clip: Path, tmp_path: Path
) -> None:
    corner = Rectangle(0.0, 0.0, 0.5, 0.5)
    [made] = cut(Pieces(clip, N_FRAMES, 1.0, 20, (corner,), ((40, 50),), tmp_path))
    luma = pictures(made)[:, :192]
    assert luma[:, :90, :150].max() <= 20
    assert np.abs(luma[:, 100:].astype(int) - pictures(clip, 40, 50)[:, 100:192]).mean() < 4


def test_a_piece_deep_in_a_clip_costs_no_decoding_of_what_lies_before_it(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream: Any = container.streams.video[0]
        container.seek(round(64 / (stream.average_rate * stream.time_base)), stream=stream)
        decoded = sum(1 for _ in container.decode(stream))
    assert decoded == N_FRAMES - 64, "a clip has a key frame every 16 frames, and no other"
