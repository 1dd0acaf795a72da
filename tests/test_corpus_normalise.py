"""One recording -> one clip: the right frames, the right shape, and the right refusal."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from corpus_recordings import (
    constant,
    cut,
    flip_bits,
    number_of,
    numbered,
    sound_only,
    troubled_read_video,
    write_pictures,
    write_video,
)
from test_corpus_deid_strip import captioned

from unisurg.corpus import normalise
from unisurg.corpus.child import ChildTimeout, Limits
from unisurg.corpus.deid import strip
from unisurg.corpus.encode import KEYFRAME_EVERY, clip_size
from unisurg.corpus.facts import ClipFacts, Reason, Unusable
from unisurg.corpus.normalise import longest_s, normalise_pictures, normalise_video
from unisurg.video.decode import open_clip

LIMITS = Limits(timeout_s=30.0, memory_mib=2048)


def clip_of(raw: Path, fps: float = 1.0, short_side_px: int = 64) -> tuple[np.ndarray, ClipFacts]:
    out = raw.with_name(f"clip-{raw.name}.mp4")
    _, facts = normalise_video(raw, out, fps, short_side_px, 20, LIMITS)
    with open_clip(out) as reader:
        return reader.read(range(len(reader))), facts


def numbers(frames: np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


@pytest.mark.parametrize(
    ("name", "rate", "n_frames", "expected"),
    [
        ("a.mp4", 25, 100, [0, 25, 50, 75]),
        ("a.mp4", 29.97, 300, list(range(0, 300, 30))),
        ("a.mkv", 29.97, 120, [0, 30, 60, 90]),
        ("a.mov", 60, 200, [0, 60, 120, 180]),
        ("a.avi", 24, 50, [0, 24, 48]),
        ("a.ts", 25, 60, [0, 25, 50]),
        ("a.mp4", 1, 4, [0, 1, 2, 3]),
        ("a.mp4", 0.5, 3, [0, 0, 1, 1, 2]),
        ("a.mp4", 25, 1, [0]),
    ],
)
def test_frame_k_of_a_clip_is_the_frame_nearest_to_second_k(
    tmp_path: Path, name: str, rate: float, n_frames: int, expected: list[int]
) -> None:
    frames, facts = clip_of(constant(tmp_path / name, rate, n_frames))
    assert numbers(frames) == expected
    assert facts.n_frames == len(expected)
    assert facts.decoded_frames == n_frames
    assert not facts.variable_rate
    assert facts.decode_errors == 0


@pytest.mark.parametrize("fps", [2.5, 4.0, 29.97])
def test_other_clip_rates_are_as_exact(tmp_path: Path, fps: float) -> None:
    frames, _ = clip_of(constant(tmp_path / "a.mp4", 25, 60), fps)
    seen = numbers(frames)
    places = [k / Fraction(str(fps)) * 25 for k in range(len(seen))]
    assert seen == [min(59, math.ceil(place - Fraction(1, 2))) for place in places]
    assert len(seen) == pytest.approx(2.4 * fps, abs=1)


def test_a_variable_rate_is_read_by_its_stamps(tmp_path: Path) -> None:
    gaps = np.random.default_rng(0).integers(5, 400, 40)
    stamps = [0, *np.cumsum(gaps).tolist()]
    raw = write_video(tmp_path / "vfr.mp4", stamps, Fraction(1, 1000))
    frames, facts = clip_of(raw)
    expected = [min(range(len(stamps)), key=lambda i: abs(stamps[i] - 1000 * k)) for k in range(99)]
    assert numbers(frames) == expected[: len(frames)]
    assert len(frames) in (stamps[-1] // 1000 + 1, round(stamps[-1] / 1000) + 1)
    assert facts.variable_rate


def test_a_late_start_is_no_black_lead_in(tmp_path: Path) -> None:
    raw = write_video(tmp_path / "late.mkv", range(1000, 1075), Fraction(1, 25))
    assert numbers(clip_of(raw)[0]) == [0, 25, 50]


def test_sound_is_noticed_and_left_out(tmp_path: Path) -> None:
    raw, out = constant(tmp_path / "loud.mp4", 25, 50, sound=True), tmp_path / "clip.mp4"
    facts, _ = normalise_video(raw, out, 1.0, 64, 20, LIMITS)
    assert facts.has_audio
    with av.open(str(out)) as clip:
        assert [stream.type for stream in clip.streams] == ["video"]


@pytest.mark.parametrize(
    ("size", "how", "expected"),
    [
        ((160, 96), {}, (64, 106)),
        ((96, 160), {}, (106, 64)),
        ((101, 75), {"codec": "mpeg4"}, (64, 86)),
        ((60, 40), {}, (40, 60)),
        ((160, 96), {"aspect": Fraction(2)}, (48, 160)),
        ((160, 96), {"aspect": Fraction(1, 2)}, (76, 64)),
        ((160, 96), {"rotation": 90}, (106, 64)),
    ],
    ids=["wide", "tall", "odd", "small", "wide-pixels", "tall-pixels", "turned"],
)
def test_a_clip_has_even_sides_true_proportions_and_is_never_enlarged(
    tmp_path: Path, size: tuple[int, int], how: dict[str, Any], expected: tuple[int, int]
) -> None:
    suffix = "avi" if how.get("codec") else "mp4"
    frames, facts = clip_of(constant(tmp_path / f"a.{suffix}", 25, 30, size=size, **how))
    assert frames.shape[1:3] == expected == (facts.height_px, facts.width_px)


def test_a_turned_recording_is_put_upright(tmp_path: Path) -> None:
    frames, _ = clip_of(constant(tmp_path / "phone.mp4", 25, 30, rotation=90))
    assert [number_of(np.rot90(frame, -1)) for frame in frames] == [0, 25]


@pytest.mark.parametrize("short_side_px", [64, 256])
def test_sizes_are_even_and_keep_proportions(short_side_px: int) -> None:
    rng = np.random.default_rng(1)
    for width, height in rng.integers(32, 4000, (200, 2)).tolist():
        wide, high = clip_size((Fraction(width), Fraction(height)), short_side_px)
        assert wide % 2 == high % 2 == 0
        assert min(wide, high) <= max(short_side_px, 2)
        assert wide <= width + 1
        assert high <= height + 1
        assert wide / high == pytest.approx(width / height, rel=2 / min(wide, high))


def test_colours_survive(tmp_path: Path) -> None:
    colour = (200, 60, 40)
    folder = tmp_path / "p"
    write_pictures(folder, ["1.png"])
    from PIL import Image

    for name in ("1.png", "2.png"):
        Image.new("RGB", (96, 96), colour).save(folder / name)
    out = tmp_path / "clip.mp4"
    normalise_pictures(sorted(folder.iterdir()), out, 1.0, 1.0, 64, 10, LIMITS)
    with open_clip(out) as reader:
        assert np.abs(reader.read([1]).astype(int) - colour).max() <= 6


def test_a_clip_is_what_every_reader_reads_alike(tmp_path: Path) -> None:
    raw, out = constant(tmp_path / "a.mp4", 5, 200), tmp_path / "clip.mp4"
    normalise_video(raw, out, 1.0, 64, 20, LIMITS)
    with av.open(str(out)) as clip:
        stream = clip.streams.video[0]
        frames = list(clip.decode(stream))
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 1
        assert [frame.time for frame in frames] == [float(k) for k in range(40)]
        assert [k for k, f in enumerate(frames) if f.key_frame] == [0, 16, 32]
        assert not [f for f in frames if f.pict_type == av.video.frame.PictureType.B]
        assert "creation_time" not in clip.metadata
    assert KEYFRAME_EVERY == 16
    data = out.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    with open_clip(out) as reader:
        backwards = reader.read(range(39, -1, -1))
        assert numbers(backwards) == list(range(195, -1, -5))


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    raw = constant(tmp_path / "a.mp4", 25, 60)
    for name in ("one.mp4", "two.mp4"):
        normalise_video(raw, tmp_path / name, 1.0, 64, 20, LIMITS)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.mp4", "two.mp4"))
    assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames at 25 fps in which every frame costs about as many bytes."""
    options = {"g": "10", "bf": "0", "crf": "1"}
    return constant(tmp_path_factory.mktemp("healthy") / "a.mp4", 25, 100, options=options)


def broken(kind: str, healthy: Path, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "zero":
            path.write_bytes(b"")
        case "text":
            path.write_text("no video at all\n" * 500)
        case "random":
            path.write_bytes(np.random.default_rng(0).bytes(50_000))
        case "playlist":
            path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
        case "sound":
            sound_only(path)
        case "no-index":
            cut(constant(folder / "whole.mp4", 25, 100, faststart=False), path, 0.7)
        case "cut-early":
            cut(healthy, path, 0.45)
        case "cut-at-once":
            cut(healthy, path, 0.2)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("zero", Reason.EMPTY),
        ("text", Reason.UNREADABLE),
        ("random", Reason.UNREADABLE),
        ("playlist", Reason.UNREADABLE),
        ("no-index", Reason.UNREADABLE),
        ("sound", Reason.NO_VIDEO_STREAM),
        ("cut-early", Reason.DAMAGED),
    ],
)
def test_a_broken_recording_is_refused_with_its_reason_and_leaves_nothing(
    tmp_path: Path, healthy: Path, kind: str, reason: Reason
) -> None:
    raw, out = broken(kind, healthy, tmp_path), tmp_path / "out" / "clip.mp4"
    out.parent.mkdir()
    with pytest.raises(Unusable) as refusal:
        normalise_video(raw, out, 1.0, 64, 20, LIMITS)
    assert refusal.value.reason == reason
    assert refusal.value.detail
    assert not list(out.parent.iterdir())


def test_what_is_left_of_a_cut_recording_is_kept(tmp_path: Path, healthy: Path) -> None:
    frames, facts = clip_of(cut(healthy, tmp_path / "cut.mp4", 0.9))
    assert numbers(frames)[:3] == [0, 25, 50]
    assert 50 <= facts.decoded_frames < 100


def test_flipped_bits_are_counted_and_cost_only_the_frames_they_hit(
    tmp_path: Path, healthy: Path
) -> None:
    frames, facts = clip_of(flip_bits(healthy, tmp_path / "flipped.mp4", 20))
    assert numbers(frames[:2]) == [0, 25]
    assert len(frames) == 4
    assert facts.decode_errors > 0


def test_a_recording_that_takes_too_long_is_killed_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, "read_video", troubled_read_video)
    raw, out = constant(tmp_path / "hang.mp4", 25, 30), tmp_path / "clip.mp4"
    with pytest.raises(ChildTimeout):
        normalise_video(raw, out, 1.0, 64, 20, Limits(2.0, 2048))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hang.mp4"]


def test_pictures_follow_each_other_at_their_rate(tmp_path: Path) -> None:
    names = [f"{i:03d}.png" for i in range(6)]
    folder, out = write_pictures(tmp_path / "p", names), tmp_path / "clip.mp4"
    for picture_fps, expected in [(1.0, [0, 1, 2, 3, 4, 5]), (2.0, [0, 2, 4]), (0.5, [0, 0, 1, 1])]:
        raw, facts = normalise_pictures(
            [folder / name for name in names], out, picture_fps, 1.0, 64, 20, LIMITS
        )
        with open_clip(out) as reader:
            seen = numbers(reader.read(range(len(reader))))
        assert seen[: len(expected)] == expected
        assert raw.duration_s == facts.decoded_s == 6 / picture_fps


def test_a_picture_of_another_shape_is_fitted_on_black_and_a_broken_one_counted(
    tmp_path: Path,
) -> None:
    folder, out = write_pictures(tmp_path / "p", ["0.png", "1.png", "2.png"]), tmp_path / "clip.mp4"
    from PIL import Image

    Image.fromarray(numbered(1023, 96, 96)).save(folder / "1.png")
    (folder / "3.png").write_bytes(b"\x89PNG broken")
    _, facts = normalise_pictures(sorted(folder.iterdir()), out, 1.0, 1.0, 96, 20, LIMITS)
    with open_clip(out) as reader:
        frames = reader.read(range(len(reader)))
    assert frames.shape[1:3] == (96, 160)
    assert frames[1, :, 80].min() > 200
    assert frames[1, :, 10].max() < 50
    assert number_of(frames[2]) == 2
    assert facts.decode_errors == 1


def test_captions_inside_the_pictures_of_a_recording_are_not_copied(tmp_path: Path) -> None:
    raw, out = captioned(tmp_path / "captioned.h264"), tmp_path / "clip.mp4"
    assert strip.facts(raw).side_data["A53_CC"] > 0
    normalise_video(raw, out, 5.0, 64, 20, LIMITS)
    strip.assert_stripped(out)
    assert b"GA94" not in out.read_bytes()


def test_what_the_first_frame_and_the_stamps_tell_is_kept(tmp_path: Path) -> None:
    stamps = [*range(100, 300, 4), *range(342, 500, 4)]
    raw = write_video(tmp_path / "a.mkv", stamps, Fraction(1, 100))
    raw_facts, clip_facts = normalise_video(raw, tmp_path / "c.mp4", 1.0, 64, 20, LIMITS)
    assert raw_facts.start_s == pytest.approx(1.0)
    assert raw_facts.pixel_format == "yuv420p"
    assert clip_facts.longest_gap_s == pytest.approx(0.46)
    turned = constant(tmp_path / "phone.mp4", 25, 30, rotation=90)
    assert clip_of(turned)[1].rotation_deg == 90


def test_a_title_in_an_old_encoding_costs_nothing(tmp_path: Path) -> None:
    raw = constant(tmp_path / "a.mkv", 25, 50, title="Cholezystektomie XX")
    raw.write_bytes(raw.read_bytes().replace(b"XX", b"\xfc\xe4"))
    assert numbers(clip_of(raw)[0]) == [0, 25]


def test_missing_recordings_are_an_ordinary_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4"):
        normalise_video(tmp_path / "nowhere.mp4", tmp_path / "c.mp4", 1.0, 64, 20, LIMITS)


def test_a_slow_machine_may_take_several_times_a_recordings_duration_but_no_header_stretches_it(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "a.mp4"
    raw.write_bytes(bytes(100_000))
    limits = Limits(timeout_s=30.0, memory_mib=512)
    assert longest_s(raw, 60.0, limits) == 30 + 4 * 60
    assert longest_s(raw, 1e9, limits) == 30 + 4 * 100
