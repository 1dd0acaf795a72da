"""One decode of a recording: the right frames at the right times, and what is said of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from corpus_recordings import constant, cut, flip_bits, number_of, sound_only, write_video
from corpus_scans import (
    HEIGHT,
    KNOBS,
    WIDTH,
    by_the_second,
    film,
    letterboxed,
    masked,
    pan,
    texture,
)

from unisurg.corpus.child import Limits
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.normalise import Tally
from unisurg.corpus.scan import lumas, stills
from unisurg.corpus.scan.hashes import distance
from unisurg.corpus.scan.scan import Scan, Scanner, read_scan, scan_video
from unisurg.corpus.scan.stills import chosen
from unisurg.corpus.timing import Clock, on_grid

LIMITS = Limits(timeout_s=60.0, memory_mib=2048)
NTSC = Fraction(30000, 1001)


def scan(raw: Path, **knobs) -> Scan:
    return scan_video(raw, KNOBS.__class__(**{**KNOBS.__dict__, **knobs}), LIMITS)


def frames(raw: Path, **knobs) -> pd.DataFrame:
    return scan(raw, **knobs).frames("v")


def starts(raw: Path) -> list[float]:
    return list(scan(raw).shots("v").start_s[1:])


def decoded(raw: Path) -> list[tuple[Fraction, av.VideoFrame]]:
    with av.open(str(raw)) as container:
        stream = container.streams.video[0]
        clock = Clock(stream.time_base, 1 / stream.average_rate)
        return [(clock.time(frame.pts), frame) for frame in container.decode(video=0)]


VARIABLE = np.cumsum(np.random.default_rng(0).integers(10, 120, 120)).tolist()  # milliseconds


@pytest.mark.parametrize(
    "raw",
    [
        lambda folder: constant(folder / "a.mp4", 29.97, 300),
        lambda folder: constant(folder / "a.mkv", 25, 130),
        lambda folder: constant(folder / "a.mp4", 60, 200),
        lambda folder: constant(folder / "a.mp4", 0.5, 4),
        lambda folder: write_video(folder / "a.mkv", VARIABLE, Fraction(1, 1000)),
        lambda folder: write_video(folder / "a.ts", range(9000, 9090), Fraction(1, 25)),
    ],
    ids=["29.97", "25", "60", "slower than the grid", "variable", "starts late"],
)
def test_row_k_is_of_the_frame_nearest_to_second_k(tmp_path, raw):
    path = raw(tmp_path)
    times = np.array([float(time) for time, _ in decoded(path)])
    table = frames(path)
    assert (table.k == np.arange(len(table))).all()
    nearest = np.abs(times[None] - table.k.to_numpy()[:, None]).min(axis=1)
    assert np.abs(table.pts_s - table.k).to_numpy() == pytest.approx(nearest, abs=1e-9)
    assert len(table) - 1 <= times[-1] + np.diff(times).max()


def test_at_29_97_frames_a_second_no_row_is_off_by_more_than_half_a_frame(tmp_path):
    table = frames(constant(tmp_path / "a.mp4", 29.97, 1000))
    assert len(table) == 34
    assert np.abs(table.pts_s - table.k).max() <= float(1 / NTSC / 2)


def test_four_rows_a_second_where_the_grid_is_that_fine(tmp_path):
    table = frames(constant(tmp_path / "a.mp4", 25, 100), fps=4.0)
    assert len(table) == 16
    assert np.abs(table.pts_s - table.k / 4).max() <= 0.02 + 1e-9


def test_whoever_watches_through_a_scanner_gets_the_frames_of_the_grid(tmp_path):
    path = constant(tmp_path / "a.mp4", 29.97, 200)
    scanner = Scanner(KNOBS, NTSC, Fraction(1))
    seen = [
        number_of(frame.to_ndarray(format="rgb24")) for _, frame in scanner.watch(decoded(path))
    ]
    assert seen == [number_of(f.to_ndarray(format="rgb24")) for f in on_the_grid(path)]
    assert seen == [0, 30, 60, 90, 120, 150, 180]


def on_the_grid(path: Path) -> list[av.VideoFrame]:
    return list(on_grid(decoded(path), Fraction(1), 1 / NTSC))


LENGTHS = [13, 50, 31, 25, 77, 14, 20, 18, 40, 22, 33, 16, 60, 15, 29, 19, 45]  # frames: 16 cuts


def shots_of(lengths: list[int]) -> list[np.ndarray]:
    return [frame for seed, length in enumerate(lengths) for frame in pan(seed, length)]


@pytest.mark.parametrize("rate", [Fraction(25), NTSC], ids=str)
def test_every_hard_cut_is_found_at_the_time_of_the_first_frame_behind_it(tmp_path, rate):
    lengths = [length + 3 for length in LENGTHS]
    table = scan(film(tmp_path / "a.mp4", shots_of(lengths), rate)).shots("v")
    assert len(table) == 17
    assert list(table.start_s) == pytest.approx([0, *np.cumsum(lengths[:-1]) / rate], abs=1e-3)
    assert list(table.end_s[:-1]) == list(table.start_s[1:])
    assert table.end_s.iloc[-1] == pytest.approx(sum(lengths) / rate, abs=1e-3)
    assert np.isnan(table.score[0])
    assert table.score[1:].min() > 15


def test_cuts_of_a_variable_rate_are_at_their_presentation_times(tmp_path):
    lengths = [30, 40, 50]
    stamps = np.cumsum(np.random.default_rng(1).integers(15, 70, 120))
    path = film(
        tmp_path / "a.mkv", shots_of(lengths), stamps=stamps.tolist(), time_base=Fraction(1, 1000)
    )
    expected = (stamps[[30, 70]] - stamps[0]) / 1000
    assert starts(path) == pytest.approx(expected, abs=2e-3)


def test_no_cut_is_invented_while_the_camera_moves(tmp_path):
    assert starts(film(tmp_path / "a.mp4", pan(0, 500))) == []


def test_rows_know_their_shot(tmp_path):
    scanned = scan(film(tmp_path / "a.mp4", shots_of([60, 60, 70])))
    table, shots = scanned.frames("v"), scanned.shots("v")
    assert list(table.shot_id) == [0, 0, 0, 1, 1, 2, 2, 2]
    for row in table.itertuples():
        assert shots.start_s[row.shot_id] <= row.pts_s < shots.end_s[row.shot_id]


def test_a_copy_with_other_size_quality_brightness_and_bars_has_nearly_the_same_hashes(tmp_path):
    scene = pan(3, 750, every=25)
    original = frames(by_the_second(tmp_path / "a.mp4", scene))
    brighter = [cv2.resize(cv2.convertScaleAbs(f, alpha=1.1), (480, 288)) for f in scene]
    copies = {
        "small.mp4": [cv2.resize(f, (240, 144), interpolation=cv2.INTER_AREA) for f in scene],
        "bright.mp4": brighter,
        "bars.mp4": letterboxed(scene, 24, "DOE JANE"),
    }
    for name, pictures in copies.items():
        copy = frames(by_the_second(tmp_path / name, pictures, crf=30))
        apart = distance(original.phash_100.to_numpy(), copy.phash_100.to_numpy())
        assert np.median(apart) <= 3, name
        assert np.mean(apart <= 10) >= 0.9, (name, apart)


def test_a_mirrored_copy_is_found_by_the_mirrored_hash(tmp_path):
    scene = pan(4, 750, every=25)
    original = frames(by_the_second(tmp_path / "a.mp4", scene))
    copy = frames(by_the_second(tmp_path / "b.mp4", [f[:, ::-1] for f in scene]))
    apart = distance(original.phash_mirror.to_numpy(), copy.phash_100.to_numpy())
    assert apart.max() <= 6
    assert distance(original.phash_100.to_numpy(), copy.phash_100.to_numpy()).min() > 13


def test_black_frozen_and_blurred_seconds_have_the_statistics_of_such(tmp_path):
    sharp = pan(5, 400, every=25)
    black = [np.zeros_like(sharp[0])] * 16
    frozen = [sharp[-1]] * 16
    blurred = [cv2.GaussianBlur(frame, (0, 0), 6) for frame in sharp]
    table = frames(by_the_second(tmp_path / "a.mp4", sharp + black + frozen + blurred))
    moving, dark, still, soft = (table[table.k // 16 == part] for part in range(4))
    assert dark.dark_frac.min() == 1
    assert dark.luma_mean.max() < 1
    assert dark.entropy_bits.max() < 0.1
    assert (dark.phash_100 == 0).all()
    assert moving.dark_frac.max() < 0.3
    assert moving.entropy_bits.min() > 6
    assert still.diff_prev[1:].max() < 1 < moving.diff_prev[1:].min()
    assert soft.lap_var.max() < moving.lap_var.min() / 5
    assert np.isnan(table.diff_prev[0])
    assert not table.diff_prev[1:].isna().any()


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.mov", "prores_ks", "yuv422p10le"),
    ],
)
def test_luma_is_on_one_scale_however_it_is_stored(tmp_path, name, codec, pix_fmt):
    scene = [np.zeros((HEIGHT, WIDTH, 3), np.uint8), *pan(5, 100, every=25)]
    expected = frames(by_the_second(tmp_path / "expected.mp4", scene))
    table = frames(by_the_second(tmp_path / name, scene, codec=codec, pix_fmt=pix_fmt))
    assert table.luma_mean.to_numpy() == pytest.approx(expected.luma_mean, abs=3)
    assert list(table.dark_frac) == pytest.approx(list(expected.dark_frac), abs=0.01)


def test_box_and_circle_are_in_pixels_of_the_recording(tmp_path):
    wide = [cv2.resize(f, (640, 384)) for f in pan(6, 600, every=20)]
    facts = scan(by_the_second(tmp_path / "a.mp4", letterboxed(wide, 60, "DOE JANE"))).facts
    assert (facts.width_px, facts.height_px) == (640, 384)
    assert (facts.box.x, facts.box.w) == (0, 640)
    assert (facts.box.y, facts.box.h) == pytest.approx((60, 264), abs=6)
    assert facts.circle is None
    assert np.isnan(facts.row()["circle_r_px"])
    round_one = scan(by_the_second(tmp_path / "b.mp4", masked(wide, 320, 192, 180))).facts
    assert round_one.circle is not None
    assert list(round_one.row().values())[4:] == pytest.approx((320, 192, 180), abs=5)


def test_a_recording_that_is_stored_lying_is_described_as_it_is_seen(tmp_path):
    facts = scan(constant(tmp_path / "a.mp4", 25, 30, rotation=90)).facts
    assert (facts.width_px, facts.height_px) == (96, 160)


def test_a_median_keeps_what_is_written_and_loses_what_moves(tmp_path):
    scene = pan(7, 1500, every=25)
    still = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(still, "DOE JANE 1970", (20, 180), 0, 1.0, 255, 2)
    written = [np.where(still[..., None] > 0, 255, frame).astype(np.uint8) for frame in scene]
    medians = scan(by_the_second(tmp_path / "a.mp4", written)).medians
    assert len(medians) == 1
    median = medians[0]
    assert (median.shape, median.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    inside = cv2.erode(still, np.ones((2, 2), np.uint8)) > 0
    outside = cv2.dilate(still, np.ones((7, 7), np.uint8)) == 0
    assert median[inside].mean() > 235
    off = [np.abs(p - np.mean(scene, axis=0))[outside].mean() for p in (median, scene[0])]
    assert off[0] < 0.5 * off[1]


def test_there_is_a_median_for_every_begun_span(tmp_path):
    path = by_the_second(tmp_path / "a.mp4", pan(8, 130))
    assert len(scan(path).medians) == 3
    assert len(scan(path, median_every_s=20).medians) == 7
    assert scan(path, median_short_side_px=96).medians[1].shape == (96, 160, 3)


def stills_of(scanned: Scan, fps: int = 1) -> list[int]:
    """Numbers of the stills that there should be, which are as many as there are."""
    wanted = chosen(scanned.frames("v")["shot_id"].to_numpy(), Fraction(fps))
    assert len(wanted) == len(scanned.stills)
    return wanted


def test_the_first_frame_of_every_shot_and_some_of_the_first_and_last_minute_are_kept(tmp_path):
    shots = [frame for seed, n in enumerate((31, 52, 70, 27)) for frame in pan(seed, n * 5)]
    path = film(tmp_path / "a.mp4", shots, rate=Fraction(5))
    scanned = scan(path)
    assert stills_of(scanned) == sorted({*range(0, 60, 10), 31, 83, 153, *range(120, 180, 10), 179})
    for place, still in zip(stills_of(scanned), scanned.stills, strict=True):
        assert np.abs(still.astype(int) - shots[5 * place]).mean() < 12
    assert stills_of(scan(path, median_short_side_px=96))
    assert scan(path, median_short_side_px=96).stills[0].shape == (96, 160, 3)


def test_of_many_shots_a_bounded_number_is_kept_spread_over_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(stills, "MOST_SHOTS", 4)
    bits = [frame for seed in range(30) for frame in pan(seed, 12)]
    scanned = read_scan(film(tmp_path / "a.mp4", bits, rate=Fraction(2)), KNOBS)
    assert len(scanned.shots("v")) == 30
    middle = [k for k in stills_of(scanned) if 60 <= k < 120]
    assert middle == [96], "the others lie in the first and last minute"


@pytest.mark.parametrize("n_shots", [1, 96, 97, 1000])
def test_no_video_has_more_than_110_stills(n_shots):
    found = chosen(np.repeat(np.arange(n_shots), 20), Fraction(1))
    assert found == sorted(set(found))
    assert {0, 10, 20 * n_shots - 1} <= set(found)
    assert len(found) <= 110


@pytest.mark.parametrize("fps", [0.5, 1, 5, 25, 30])
def test_as_many_stills_are_kept_as_frames_and_shots_call_for_whatever_the_rates(tmp_path, fps):
    shots = [frame for seed, n in enumerate((7, 1, 12, 3, 3, 9)) for frame in pan(seed, n * 60, 30)]
    scanned = scan(film(tmp_path / "a.mp4", shots, rate=Fraction(str(fps))))
    assert stills_of(scanned)
    assert stills_of(scan(tmp_path / "a.mp4", fps=4.0), fps=4)


def test_a_damaged_recording_is_scanned_to_its_end_and_its_errors_are_counted(tmp_path):
    whole = film(tmp_path / "whole.mp4", pan(9, 500), crf=28)
    damaged = flip_bits(whole, tmp_path / "damaged.mp4", 60)
    scanned = scan(damaged)
    assert scanned.facts.decode_errors > 0
    assert scanned.facts.decoded_frames > 400
    assert len(scanned.frames("v")) >= 19
    assert scan(whole).facts.decode_errors == 0


def test_half_a_recording_is_scanned_as_far_as_it_goes(tmp_path):
    half = cut(film(tmp_path / "a.mkv", pan(9, 250)), tmp_path / "half.mkv", 0.5)
    facts = scan(half).facts
    assert 3 < facts.duration_s < 7


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), Reason.EMPTY),
        (lambda path: path.write_bytes(b"no video " * 100), Reason.UNREADABLE),
        (lambda path: sound_only(path), Reason.NO_VIDEO_STREAM),
    ],
    ids=["no bytes", "no video", "sound only"],
)
def test_what_is_no_video_is_refused_with_a_reason(tmp_path, make, reason):
    make(tmp_path / "a.mp4")
    with pytest.raises(Unusable) as refused:
        scan(tmp_path / "a.mp4")
    assert refused.value.reason == reason


def test_a_recording_without_a_single_frame_is_refused():
    scanner = Scanner(KNOBS, Fraction(25), Fraction(1))
    assert list(scanner.watch([])) == []
    with pytest.raises(Unusable, match="no frame"):
        scanner.scan(Tally(), Clock(Fraction(1, 25), Fraction(1, 25)))


def test_one_frame_is_a_recording_too(tmp_path):
    scanned = scan(film(tmp_path / "a.mp4", [texture(0, WIDTH, HEIGHT)]))
    assert len(scanned.frames("v")) == len(scanned.shots("v")) == len(scanned.medians) == 1


def test_the_same_recording_gives_the_same_bytes(tmp_path):
    path = film(tmp_path / "a.mp4", letterboxed(shots_of([60, 80]), 20))
    files = []
    for name in "ab":
        scanned = scan(path)
        for kind in ("frames", "shots"):
            getattr(scanned, kind)("v").to_parquet(tmp_path / f"{name}-{kind}", index=False)
        files.append((scanned.medians.files, scanned.facts))
    assert files[0] == files[1]
    for kind in ("frames", "shots"):
        assert (tmp_path / f"a-{kind}").read_bytes() == (tmp_path / f"b-{kind}").read_bytes()


def test_what_does_not_fit_in_memory_goes_to_a_file_and_changes_nothing(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", pan(2, 250))
    expected = read_scan(path, KNOBS).frames("v")
    monkeypatch.setattr(lumas, "IN_MEMORY", 10_000)
    pd.testing.assert_frame_equal(read_scan(path, KNOBS).frames("v"), expected)


def test_the_tables_have_the_columns_that_later_stages_read(tmp_path):
    scanned = scan(constant(tmp_path / "a.mp4", 25, 30))
    hashes = {f"phash_{kind}": "uint64" for kind in ("100", "92", "84", "mirror")}
    rated = ("luma_mean", "dark_frac", "lap_var", "entropy_bits", "diff_prev")
    assert scanned.frames("v").dtypes.astype(str).to_dict() == {
        "video_id": "str",
        "k": "int32",
        "pts_s": "float64",
        **hashes,
        **dict.fromkeys(rated, "float32"),
        "shot_id": "int32",
    }
    assert scanned.shots("v").dtypes.astype(str).to_dict() == {
        "video_id": "str",
        "shot_id": "int32",
        "start_s": "float64",
        "end_s": "float64",
        "score": "float32",
    }


@pytest.mark.realdata
def test_real_laparoscopy_is_one_shot_and_its_round_field_of_view_is_found(real_data):
    scanned = scan(real_data / "rvimlab-endoscopy" / "endo.mp4")
    circle = scanned.facts.circle
    assert len(scanned.shots("v")) == 1
    assert circle is not None
    assert (circle.cx, circle.cy, circle.r) == pytest.approx((620, 397, 577), abs=12)
    assert scanned.facts.box.w == pytest.approx(1145, abs=15)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["Up-1_2.mp4", "Zoomin_2.mp4"])
def test_a_moving_real_camera_makes_no_cut_and_fills_the_frame(real_data, name):
    scanned = scan(real_data / "autolaparo-web" / name)
    box = scanned.facts.box
    assert len(scanned.shots("v")) == 1
    assert (box.x, box.y, box.w, box.h) == (0, 0, 1920, 1080)
    assert scanned.facts.circle is None
