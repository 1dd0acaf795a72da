"""Second k of a clip and row k of its table are the frame that the recording shows at second k.

Frames show their own number, so the truth is when they were written to be shown, not what a reader
makes of it (curation reference, goal G9).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from corpus_recordings import number_of, write_video
from corpus_scans import KNOBS

from unisurg.corpus.scan.recording import Way, read_video
from unisurg.video.decode import open_clip

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
MILLISECOND = Fraction(1, 1000)


def seen(raw: Path) -> tuple[list[int], list[float]]:
    """Number of the frame that every second of the clip shows, and its time by the table."""
    clip, scan = read_video(raw, raw.with_name("clip.mp4"), Way(KNOBS, 64, 20, 1.0), 0.0)
    with open_clip(raw.with_name("clip.mp4")) as reader:
        numbers = [number_of(frame) for frame in reader.read(range(len(reader)))]
    table = scan.frames("v")
    assert len(table) == len(numbers) == clip.n_frames
    return numbers, table["pts_s"].tolist()


def written(
    path: Path, stamps: Sequence[int], tick: Fraction, rate: Fraction, codec: str
) -> list[Fraction]:
    """Write the recording, and return when each of its frames is shown, from the first on."""
    write_video(path, stamps, tick, rate=rate, codec=codec)
    return [(stamp - stamps[0]) * tick for stamp in stamps]


@pytest.mark.parametrize(
    ("name", "rate", "start", "codec"),
    [
        ("a.mp4", Fraction(25), 0, "libx264"),
        ("a.mp4", NTSC, 0, "libx264"),
        ("a.avi", NTSC, 0, "mpeg4"),
        ("a.mov", FILM, 0, "libx264"),
        ("a.mkv", Fraction(60), 0, "libx264"),
        ("late.mkv", NTSC, 1000, "libx264"),
        ("late.ts", Fraction(25), 90_000, "libx264"),
        ("a.h264", Fraction(10), 0, "libx264"),  # without a container, B-frames and all
        ("a.h264", NTSC, 0, "libx264"),
        ("a.m2v", NTSC, 0, "mpeg2video"),
    ],
)
def test_at_a_constant_rate_no_second_is_off_by_more_than_half_a_frame(
    tmp_path: Path, name: str, rate: Fraction, start: int, codec: str
) -> None:
    n_frames = min(1000, int(20 * rate))
    stamps = range(start, start + n_frames)
    shown_at = written(tmp_path / name, stamps, 1 / rate, rate, codec)
    numbers, told = seen(tmp_path / name)
    assert len(numbers) == int(shown_at[-1] + 1 / rate / 2) + 1
    assert max(abs(shown_at[n] - k) for k, n in enumerate(numbers)) <= 1 / rate / 2 + MILLISECOND
    assert told == pytest.approx([float(shown_at[n]) for n in numbers], abs=0.0015)


@pytest.mark.parametrize(("name", "start"), [("a.mp4", 0), ("a.mkv", 700), ("a.ts", 0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_a_variable_rate_every_second_is_the_nearest_frame(
    tmp_path: Path, name: str, start: int, seed: int
) -> None:
    gaps = np.random.default_rng(seed).integers(10, 600, 80)
    stamps = [start, *(start + np.cumsum(gaps)).tolist()]
    shown_at = written(tmp_path / name, stamps, MILLISECOND, Fraction(25), "libx264")
    numbers, told = seen(tmp_path / name)
    nearest = [min(abs(time - k) for time in shown_at) for k in range(len(numbers))]
    for k, n in enumerate(numbers):
        assert abs(shown_at[n] - k) <= nearest[k] + MILLISECOND
    assert told == pytest.approx([float(shown_at[n]) for n in numbers], abs=0.0015)
    assert len(numbers) in (int(shown_at[-1]) + 1, round(shown_at[-1]) + 1)
