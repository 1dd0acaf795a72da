"""A folder of recordings -> clips and tables, each decoded once: nothing lost, nothing redone."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from corpus_recordings import (
    constant,
    cut,
    die_by,
    flip_bits,
    hang,
    number_of,
    sound_only,
    swallow_memory,
    write_pictures,
)
from corpus_scans import KNOBS, film, pan
from curating import Here
from killed import kill, points, steps_of
from raw_names import found, reasons

from unisurg.corpus import overlaps, sources, tables
from unisurg.corpus.child import Limits
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import find
from unisurg.corpus.manifest import read_inputs, read_quarantine
from unisurg.corpus.mapping import Processes
from unisurg.corpus.normalise import normalise_pictures, normalise_video
from unisurg.corpus.overlaps import Overlaps
from unisurg.corpus.refusals import CurationError
from unisurg.corpus.scan import folder, recording, stage
from unisurg.corpus.scan.folder import read_medians, read_stills, write_medians
from unisurg.corpus.scan.kept import alone
from unisurg.corpus.scan.origin import Origin, Origins, is_theatre
from unisurg.corpus.scan.recording import Way, scan_recording
from unisurg.corpus.scan.scan import scan_video
from unisurg.corpus.scan.stage import FolderKnobs, Summary, scan_folder
from unisurg.corpus.sources import Source
from unisurg.video.decode import open_clip

FOLDER_KNOBS = FolderKnobs(
    scan=KNOBS,
    short_side_px=64,
    quality_crf=20,
    picture_fps=1.0,
    min_seconds=2.0,
    timeout_s=20.0,
    memory_mib=2048,
    max_quarantined=1.0,
)
LIMITS = Limits(timeout_s=30.0, memory_mib=2048)


@pytest.fixture(scope="module")
def known() -> tuple[dict[str, Source], Overlaps]:
    return sources.load(), overlaps.load()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of recording, healthy and not, of sources with a row and without."""
    top = tmp_path_factory.mktemp("raw") / "input"
    constant(top / "site-a" / "cfr.mp4", 25, 100, sound=True)
    constant(top / "site-a" / "ntsc.mkv", 29.97, 90)
    constant(top / "cholec80" / "Video41.avi", 60, 150, size=(101, 75), codec="mpeg4")
    write_pictures(top / "site-c" / "frames", [f"{i:04d}.png" for i in (5, 6, 7, 9)])
    shutil.copy(top / "site-a" / "cfr.mp4", top / "site-a" / "copy.mp4")
    constant(top / "site-b" / "short.mp4", 25, 10)
    whole = constant(top.parent / "whole.mp4", 25, 100, options={"g": "10", "bf": "0", "crf": "1"})
    cut(whole, top / "site-b" / "cut.mp4", 0.45)
    flip_bits(whole, top / "site-b" / "flipped.mp4", 20)
    (top / "site-b" / "zero.mp4").write_bytes(b"")
    (top / "site-b" / "text.mp4").write_text("no video\n" * 99)
    (top / "site-b" / "gone.mp4").symlink_to(top / "nowhere.mp4")
    sound_only(top / "site-b" / "sound.mp4")
    write_pictures(top / "site-c" / "views", ["color.png", "depth.png"])
    (top / "README.md").write_text("notes")
    return top


KEPT = [
    "cholec80/Video41.avi",
    "site-a/cfr.mp4",
    "site-a/ntsc.mkv",
    "site-b/flipped.mp4",
    "site-c/frames",
]
REASONS = {
    "site-a/copy.mp4": "duplicate",
    "site-b/cut.mp4": "damaged",
    "site-b/gone.mp4": "failed",
    "site-b/short.mp4": "too_short",
    "site-b/sound.mp4": "no_video_stream",
    "site-b/text.mp4": "unreadable",
    "site-b/zero.mp4": "empty",
    "site-c/views": "not_a_sequence",
}

Known = tuple[dict[str, Source], Overlaps]
Scanned = tuple[Path, Path, Summary]


@pytest.fixture(scope="module")
def scanned(raw: Path, known: Known, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """(folder of the scan, scratch, summary) of the recordings."""
    top = tmp_path_factory.mktemp("scanned")
    before = digest(raw)
    summary = scan_folder(raw, top / "scan", top / "scratch", FOLDER_KNOBS, *known, Here())
    assert digest(raw) == before, "the stage changed its raw input"
    return top / "scan", top / "scratch", summary


def digest(top: Path) -> dict[str, str]:
    files = sorted(path for path in top.rglob("*") if path.is_file())
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def table(scan: Path, name: str = "videos") -> pd.DataFrame:
    return tables.read(scan / f"{name}.parquet", name)


def videos(scan: Path) -> pd.DataFrame:
    return table(scan).set_index("uri")


def run(
    top: Path, known: Known, runner: Any = None, raw: Path | None = None, **changes: Any
) -> Summary:
    knobs = replace(FOLDER_KNOBS, **changes)
    places = raw or top / "raw", top / "scan", top / "scratch"
    return scan_folder(*places, knobs, *known, runner or Here())


# ------------------------------------------------------------------ nothing is lost


def test_every_recording_ends_as_one_video_or_in_quarantine_for_its_reason(
    scanned: Scanned,
) -> None:
    scan, _, _ = scanned
    refused = read_quarantine(scan)
    assert reasons(scan, refused) == REASONS
    assert (refused["detail"].str.len() > 0).all()
    assert sorted(videos(scan).index) == KEPT
    assert sorted([*KEPT, *REASONS]) == found(scan, read_inputs(scan))


def test_the_summary_counts_what_the_tables_hold(scanned: Scanned) -> None:
    scan, _, summary = scanned
    assert (summary.inputs, summary.videos, summary.reused) == (13, 5, 0)
    assert summary.frames == videos(scan)["n_frames"].sum() == len(table(scan, "frames"))
    assert summary.seconds == pytest.approx(videos(scan)["duration_s"].sum())
    assert summary.quarantined == dict.fromkeys(sorted(REASONS.values()), 1)
    assert summary.others == {".md": 1}
    assert summary.numbers()["quarantined_damaged"] == 1
    assert "13 recordings: 5 videos" in str(summary)


def test_the_table_of_videos_tells_the_truth(scanned: Scanned, raw: Path) -> None:
    table = videos(scanned[0])
    cfr = table.loc["site-a/cfr.mp4"]
    assert cfr.content_sha256 == hashlib.sha256((raw / "site-a/cfr.mp4").read_bytes()).hexdigest()
    assert cfr.video_id == cfr.content_sha256[:16]
    assert (cfr.coded_width_px, cfr.coded_height_px, cfr.fps_avg) == (160, 96, 25.0)
    assert (cfr.width_px, cfr.height_px, cfr.sar, cfr.rotation_deg) == (160, 96, 1.0, 0)
    assert (cfr.clip_width_px, cfr.clip_height_px, cfr.n_frames, cfr.clip_fps) == (106, 64, 4, 1)
    assert (cfr.duration_s, cfr.n_packets, cfr.n_decoded) == (4.0, 100, 100)
    assert (cfr.vcodec, cfr.pix_fmt, cfr.kind, cfr.bytes) == (
        "h264",
        "yuv420p",
        "video",
        (raw / "site-a/cfr.mp4").stat().st_size,
    )
    assert cfr.max_pts_gap_s == pytest.approx(0.04)
    assert cfr.stage_versions == {"scan": "3"}
    assert table["has_audio"].tolist().count(True) == 1
    assert table.loc["site-c/frames", "missing_pictures"] == 1
    assert table["health"].to_dict() == dict.fromkeys(KEPT, "healthy") | {
        "site-b/flipped.mp4": "degraded"
    }
    assert table.loc["site-b/flipped.mp4", "n_packet_err"] > 0


def test_every_clip_holds_the_frames_of_the_table(scanned: Scanned) -> None:
    scan, _, _ = scanned
    frames, shots = table(scan, "frames"), table(scan, "shots")
    for video in table(scan).itertuples():
        own = frames[frames["video_id"] == video.video_id]
        assert own["k"].tolist() == list(range(video.n_frames))
        with open_clip(folder.clip(scan, video.video_id)) as reader:
            shown = reader.read(range(len(reader)))
            assert (len(reader), reader.fps) == (video.n_frames, video.clip_fps)
        assert shown.shape[1:3] == (video.clip_height_px, video.clip_width_px)
        if video.health == "healthy":
            step = 1 if video.kind == "pictures" else round(video.fps_avg)
            assert [number_of(frame) for frame in shown] == [step * k for k in own["k"]]
        assert shots[shots["video_id"] == video.video_id]["end_s"].max() == video.duration_s
    assert set(frames["video_id"]) == set(shots["video_id"]) == set(table(scan)["video_id"])


def test_pixels_that_nobody_has_cleaned_are_for_their_owner_alone(scanned: Scanned) -> None:
    scan, scratch, _ = scanned
    for place in (scan / "clips", scan / "medians", scratch / "scan"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    names = {f"{video}.mp4" for video in table(scan)["video_id"]}
    assert {path.name for path in (scan / "clips").iterdir()} == names
    assert {path.stem for path in (scan / "medians").iterdir()} == set(table(scan)["video_id"])


# ------------------------------------------------------------------ one decode gives both


def test_one_decode_of_a_video_gives_the_clip_and_the_scan_that_two_would(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [*pan(0, 60), *pan(1, 70)], rate=Fraction(30000, 1001))
    [one] = find(tmp_path).recordings
    way = Way(KNOBS, 64, 20, 1.0)
    raw_facts, clip, scan = scan_recording(one, tmp_path / "one.mp4", way, LIMITS)
    alone_facts, alone_clip = normalise_video(path, tmp_path / "two.mp4", 1.0, 64, 20, LIMITS)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert (raw_facts, clip) == (alone_facts, alone_clip)
    alone = scan_video(path, KNOBS, LIMITS)
    pd.testing.assert_frame_equal(scan.frames("v"), alone.frames("v"), check_exact=True)
    pd.testing.assert_frame_equal(scan.shots("v"), alone.shots("v"), check_exact=True)
    assert scan.facts == alone.facts
    assert scan.medians.files == alone.medians.files
    assert len(scan.shots("v")) == 2


def test_a_folder_of_pictures_gives_the_clip_and_a_scan_as_a_video_does(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "p").mkdir()
    shown = pan(2, 900, every=25)
    for number, picture in enumerate(shown):
        Image.fromarray(picture).save(tmp_path / "p" / f"{number}.png")
    [one] = find(tmp_path).recordings
    way = Way(KNOBS, 64, 20, picture_fps=2.0)
    raw_facts, clip, scan = scan_recording(one, tmp_path / "one.mp4", way, LIMITS)
    assert (raw_facts, clip) == normalise_pictures(
        one.files, tmp_path / "two.mp4", 2.0, 1.0, 64, 20, LIMITS
    )
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    lossless = film(tmp_path / "p.mkv", shown[::2], Fraction(1), crf=0)
    assert len(scan.frames("v")) == clip.n_frames == 18
    apart = (
        scan.frames("v")["phash_100"] ^ scan_video(lossless, KNOBS, LIMITS).frames("v").phash_100
    )
    assert np.bitwise_count(apart.to_numpy()).max() <= 4
    assert (scan.facts.width_px, scan.facts.height_px) == (320, 192)


def test_medians_come_back_as_they_were_seen(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pan(3, 500, every=5), rate=Fraction(1))
    scan = scan_video(path, KNOBS, LIMITS)
    seen, stills = scan.medians, scan.stills
    write_medians(tmp_path / "m.npz", seen, stills)
    back = read_medians(tmp_path / "m.npz")
    assert len(back) == len(seen) == math.ceil(100 / KNOBS.median_every_s)
    for one, other in zip(back, seen, strict=True):
        assert np.array_equal(one, other)
    assert (back[0].dtype, back[0].shape) == (np.uint8, (192, 320, 3))
    assert np.array_equal(back[-1:][0], seen[1])
    beside = read_stills(tmp_path / "m.npz")
    assert len(beside) == len(stills) > len(seen)
    assert all(np.array_equal(one, other) for one, other in zip(beside, stills, strict=True))
    write_medians(tmp_path / "again.npz", seen, stills)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


# ------------------------------------------------------------------ nothing is done twice


def test_a_second_run_decodes_nothing_and_writes_the_same_bytes(
    raw: Path, known: Known, scanned: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, scratch, _ = scanned

    def decode(*_: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(stage, "scan_recording", decode)
    summary = scan_folder(raw, tmp_path / "again", scratch, FOLDER_KNOBS, *known, Here())
    assert summary.reused == summary.videos == 5
    assert digest(tmp_path / "again") == digest(scan)


def test_a_run_from_nothing_in_other_processes_writes_the_same_bytes(
    raw: Path, known: Known, scanned: Scanned, tmp_path: Path
) -> None:
    run(tmp_path, known, Processes(workers=2), raw=raw)
    assert digest(tmp_path / "scan") == digest(scanned[0])


SCRIPT = """
import sys
from pathlib import Path
from unisurg.corpus import overlaps, sources
from unisurg.corpus.mapping import Processes
from unisurg.corpus.scan.stage import scan_folder
from test_corpus_scan_stage import FOLDER_KNOBS
scan_folder(*map(Path, sys.argv[1:]), FOLDER_KNOBS, sources.load(), overlaps.load(), Processes(1))
"""


def start(*places: Path) -> subprocess.Popen[bytes]:
    """The stage in a process of its own, as a run of the graph is."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT, *map(str, places)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_a_run_that_was_killed_again_and_again_ends_as_if_it_never_was(
    raw: Path, known: Known, scanned: Scanned, tmp_path: Path
) -> None:
    """Killed when so many recordings are kept, a little into the next one."""
    scan, scratch = tmp_path / "scan", tmp_path / "scratch"
    for kept in (0, 2, 5):
        process = start(raw, scan, scratch)
        try:
            while not (scan / "inputs.csv").exists():
                time.sleep(0.01)
            while process.poll() is None and len(list(scratch.glob("scan/facts/*.done"))) < kept:
                time.sleep(0.01)
            time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
        assert not (scan / "videos.parquet").exists()
    assert run(tmp_path, known, raw=raw).reused >= 4  # and one that is too short
    assert digest(scan) == digest(scanned[0])
    leavings = [path.name for path in (scratch / "scan").rglob("*") if path.name.startswith(".")]
    assert leavings == [] == list((scratch / "scan" / "work").iterdir())


def scan_here(raw: Path, top: Path) -> None:
    """The stage in this process, whose steps are the same every time."""
    known = sources.load(), overlaps.load()
    scan_folder(raw, top / "scan", top / "scratch", FOLDER_KNOBS, *known, Here())


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_points_it_still_ends_the_same(
    raw: Path, known: Known, scanned: Scanned, number: int, tmp_path: Path
) -> None:
    for step in points(steps_of(scan_here, raw, tmp_path / "whole"), number):
        top = tmp_path / str(step)
        kill(step, scan_here, raw, top)
        run(top, known, raw=raw)
        assert digest(top / "scan") == digest(scanned[0])


def test_other_knobs_or_a_spoilt_part_are_not_served_from_an_earlier_run(
    known: Known, tmp_path: Path
) -> None:
    constant(tmp_path / "raw" / "a" / "x.mp4", 25, 75)
    faster = replace(KNOBS, fps=2.0)
    reused = [run(tmp_path, known, scan=scan).reused for scan in (KNOBS, KNOBS, faster, KNOBS)]
    assert reused == [0, 1, 0, 1]
    assert run(tmp_path, known, min_seconds=1.0, timeout_s=9.0).reused == 1
    for kind in ("clips", "frames", "shots", "medians", "facts"):
        for part in (tmp_path / "scratch" / "scan" / kind).iterdir():
            if part.suffix != ".done":
                part.unlink()  # it may be linked into the output
                part.write_bytes(b"spoilt")
        assert run(tmp_path, known).reused == 0
        assert len(table(tmp_path / "scan", "frames")) == 3


def test_a_recording_that_is_too_short_for_one_run_may_do_for_the_next(
    known: Known, tmp_path: Path
) -> None:
    constant(tmp_path / "raw" / "a" / "x.mp4", 25, 75)
    assert run(tmp_path, known, min_seconds=3.5).quarantined == {"too_short": 1}
    assert run(tmp_path, known, min_seconds=2.5).reused == 1


@pytest.mark.parametrize(
    ("reason", "again"), [(Reason.DAMAGED, {"damaged": 1}), (Reason.VERIFY_FAILED, {})]
)
def test_a_refusal_is_final_only_where_it_lies_in_the_bytes_of_the_recording(
    known: Known,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: Reason,
    again: dict[str, int],
) -> None:
    def refuse(*_: Any) -> None:
        raise Unusable(reason, "as it was seen")

    constant(tmp_path / "raw" / "a" / "x.mp4", 25, 75)
    with monkeypatch.context() as patched:
        patched.setattr(stage, "scan_recording", refuse)
        assert run(tmp_path, known).quarantined == {str(reason): 1}
    assert run(tmp_path, known).quarantined == again


def troubled_read_video(raw: Path, **how: Any) -> Any:
    """`read_video`, but a recording called hang, crash or greedy does just that."""
    if raw.stem == "hang":
        hang()
    if raw.stem == "crash":
        die_by(signal.SIGSEGV)
    if raw.stem == "greedy":
        swallow_memory()
    return recording.read_video(raw=raw, **how)


def test_one_bad_recording_cannot_harm_the_others_and_is_tried_again(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, name in enumerate(("hang", "crash", "greedy", "fine")):
        constant(tmp_path / "raw" / "a" / f"{name}.mp4", 25, 75 + n)
    with monkeypatch.context() as patched:
        patched.setattr(recording, "read_video", troubled_read_video)
        run(tmp_path, known, timeout_s=3.0)
    refused = read_quarantine(tmp_path / "scan")
    assert reasons(tmp_path / "scan", refused) == {
        "a/crash.mp4": "crashed",
        "a/greedy.mp4": "out_of_memory",
        "a/hang.mp4": "timeout",
    }
    assert videos(tmp_path / "scan").index.tolist() == ["a/fine.mp4"]
    assert not list((tmp_path / "scratch" / "scan" / "work").iterdir())
    again = run(tmp_path, known)
    assert (again.videos, again.reused, again.quarantined) == (4, 1, {})


def test_a_worker_that_dies_costs_its_own_recording_alone(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, name in enumerate(("crash", "fine")):
        constant(tmp_path / "raw" / "a" / f"{name}.mp4", 25, 75 + n)
    monkeypatch.setattr(stage, "read_one", deadly_read_one)
    run(tmp_path, known, Processes(workers=1))
    refused = read_quarantine(tmp_path / "scan")
    assert reasons(tmp_path / "scan", refused) == {"a/crash.mp4": "crashed"}
    assert videos(tmp_path / "scan").index.tolist() == ["a/fine.mp4"]


def deadly_read_one(work: Any, **how: Any) -> Any:
    if work.recording.raw.endswith("crash.mp4"):
        die_by(signal.SIGKILL)
    return stage.read_one(work, **how)


def test_too_much_quarantine_is_an_error_that_names_the_files_after_all_is_written(
    raw: Path, known: Known, scanned: Scanned, tmp_path: Path
) -> None:
    strict = replace(FOLDER_KNOBS, max_quarantined=0.25)
    with pytest.raises(CurationError, match=r"8 of 13 recordings") as error:
        scan_folder(raw, tmp_path / "scan", scanned[1], strict, *known, Here())
    for row in read_quarantine(scanned[0]).itertuples():
        assert f"  {row.recording}: {row.reason}: " in str(error.value)
    assert f"`unisurg recordings --corpus {tmp_path / 'scan'}`" in str(error.value)
    assert digest(tmp_path / "scan") == digest(scanned[0])


def test_a_folder_of_which_nothing_is_fit_has_empty_tables(known: Known, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.mp4").write_text("no video\n" * 99)
    assert run(tmp_path, known).videos == 0
    for name in ("videos", "frames", "shots"):
        assert len(table(tmp_path / "scan", name)) == 0


def test_what_is_kept_of_recordings_that_are_gone_goes_from_the_output(
    known: Known, tmp_path: Path
) -> None:
    for n in (50, 75):
        constant(tmp_path / "raw" / "a" / f"{n}.mp4", 25, n)
    run(tmp_path, known)
    (tmp_path / "raw" / "a" / "50.mp4").unlink()
    run(tmp_path, known)
    [video] = table(tmp_path / "scan")["video_id"]
    assert [path.name for path in (tmp_path / "scan" / "clips").iterdir()] == [f"{video}.mp4"]
    assert [path.name for path in (tmp_path / "scan" / "medians").iterdir()] == [f"{video}.npz"]


@pytest.mark.parametrize("place", ["scan", "scratch"])
def test_nothing_is_ever_written_below_the_input(known: Known, tmp_path: Path, place: str) -> None:
    constant(tmp_path / "raw" / "x.mp4", 25, 50)
    places = {"scan": tmp_path / "scan", "scratch": tmp_path / "scratch"}
    places[place] = tmp_path / "raw" / place
    with pytest.raises(CurationError, match="inside the raw input"):
        scan_folder(tmp_path / "raw", *places.values(), FOLDER_KNOBS, *known, Here())
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["x.mp4"]


def test_an_input_without_recordings_is_an_error_that_says_what_is_there(
    known: Known, tmp_path: Path
) -> None:
    with pytest.raises(CurationError, match="no such folder"):
        run(tmp_path, known)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "labels.csv").write_text("a,b\n")
    with pytest.raises(CurationError, match=r"'\.csv': 1"):
        run(tmp_path, known)


def test_two_runs_do_not_share_a_scratch_folder(known: Known, tmp_path: Path) -> None:
    constant(tmp_path / "raw" / "x.mp4", 25, 50)
    with alone(tmp_path / "scratch"), pytest.raises(CurationError, match="another run"):
        run(tmp_path, known)
    assert run(tmp_path, known).videos == 1


# ------------------------------------------------------------------ where it comes from


def origin_of(top: Path, raw: str, known: Known, rendered: bool = False) -> Origin:
    path = top / raw
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    recordings = {one.raw: one for one in find(top).recordings}
    return Origins(*known, rendered).of(recordings[raw])


def test_a_source_with_a_row_has_its_data_set_specialty_and_licence(
    known: Known, tmp_path: Path
) -> None:
    origin = origin_of(tmp_path, "bernbypass70/BBP01.mp4", known)
    assert (origin.source_id, origin.dataset_d) == ("bernbypass70", "multibypass140")
    assert (origin.specialty_s, origin.licence) == ("gastric", "CC BY-NC-SA 4.0")
    assert origin.procedure_id == "multibypass140/BBP01"
    assert origin_of(tmp_path, "egosurgery/01_1.mp4", known).specialty_s == "unknown"


def test_a_folder_that_no_row_names_is_its_own_data_set_and_of_no_known_specialty(
    known: Known, tmp_path: Path
) -> None:
    ours = origin_of(tmp_path, "ours/video41.mp4", known)
    assert (ours.dataset_d, ours.specialty_s, ours.licence) == ("ours", "unknown", "")
    assert (ours.dataset_video, ours.procedure_id) == ("", "")
    assert ours.priority > max(
        origin_of(tmp_path, f"{name}/x.mp4", known).priority for name in known[0]
    )


@pytest.mark.parametrize(
    ("raw", "video", "procedure"),
    [
        ("cholec80/videos/Video41.mp4", "video41", "cholec80/video41"),
        ("cholec80/video41_fixed.mp4", "", ""),
        ("endoscapes/1.mp4", "1", "cholec80/video67"),
        ("cholecseg8k/video01.mp4", "video01", "cholec80/video01"),
    ],
)
def test_the_operation_is_known_where_the_name_tells_it(
    known: Known, tmp_path: Path, raw: str, video: str, procedure: str
) -> None:
    origin = origin_of(tmp_path, raw, known)
    assert (origin.dataset_video, origin.procedure_id) == (video, procedure)


def test_the_operation_of_pictures_is_told_by_the_name_of_their_folder(
    known: Known, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "cholect50" / "videos" / "VID73", ["1.png", "2.png"])
    origin = origin_of(tmp_path, "cholect50/videos/VID73", known)
    assert (origin.dataset_video, origin.procedure_id) == ("VID73", "cholec80/video73")


def test_origins_reach_the_table(scanned: Scanned, known: Known) -> None:
    table = videos(scanned[0])
    assert table["procedure_id"]["cholec80/Video41.avi"] == "cholec80/video41"
    assert table["specialty_s"]["cholec80/Video41.avi"] == "cholecystectomy"
    assert table["dataset_video"]["cholec80/Video41.avi"] == "video41"
    others = table.drop("cholec80/Video41.avi")
    assert (others["procedure_id"] == others["video_id"]).all()
    assert set(others["specialty_s"]) == {"unknown"}
    assert set(others["priority"]) == {len(known[0])}
    assert not table["rendered"].any()


def test_of_equal_bytes_stays_the_copy_whose_name_tells_its_operation(
    known: Known, tmp_path: Path
) -> None:
    copies = ["a-first/x.mp4", "cholec80/intro.mp4", "cholec80/video50.mp4", "zz/y.mp4"]
    constant(tmp_path / "x.mp4", 25, 75)
    for copy in copies:
        (tmp_path / "raw" / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "x.mp4", tmp_path / "raw" / copy)
    run(tmp_path, known)
    assert videos(tmp_path / "scan")["procedure_id"].to_dict() == {
        "cholec80/video50.mp4": "cholec80/video50"
    }
    kept = videos(tmp_path / "scan")["recording"]["cholec80/video50.mp4"]
    assert set(read_quarantine(tmp_path / "scan")["detail"]) == {f"same bytes as {kept}"}


def test_what_was_rendered_counts_as_such_only_beside_the_mark_of_the_theatre(
    known: Known, tmp_path: Path
) -> None:
    raw = tmp_path / "theatre" / "corpus"
    constant(raw / "laparoscopy-a" / "x.mp4", 25, 50)
    constant(raw / "ours" / "y.mp4", 25, 75)
    run(tmp_path, known, raw=raw)
    assert not videos(tmp_path / "scan")["rendered"].any()
    (tmp_path / "theatre" / "theatre.json").write_text("{}")
    assert is_theatre(raw)
    assert run(tmp_path, known, raw=raw).reused == 2
    assert videos(tmp_path / "scan")["rendered"].to_dict() == {
        "laparoscopy-a/x.mp4": True,
        "ours/y.mp4": False,
    }


def test_a_source_keeps_its_own_rates_where_its_row_says_so(known: Known, tmp_path: Path) -> None:
    row = known[0]["egosurgery"].model_copy(update={"id": "slow"})
    write_pictures(tmp_path / "raw" / "slow" / "01_1", [f"{i}.png" for i in range(6)])
    write_pictures(tmp_path / "raw" / "ours" / "v", [f"{i}.png" for i in range(5)])
    run(tmp_path, ({**known[0], "slow": row}, known[1]))
    table = videos(tmp_path / "scan")
    slow, ours = table.loc["slow/01_1"], table.loc["ours/v"]
    assert (slow.duration_s, slow.clip_fps, slow.n_frames) == (12.0, 0.5, 6)
    assert (ours.duration_s, ours.clip_fps, ours.n_frames) == (5.0, 1.0, 5)


# ------------------------------------------------------------------ real recordings


@pytest.mark.realdata
def test_real_recordings_are_scanned(known: Known, real_data: Path, tmp_path: Path) -> None:
    before = {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    places = real_data, tmp_path / "scan", tmp_path / "scratch"
    ordinary = replace(FOLDER_KNOBS, short_side_px=256, timeout_s=120.0, memory_mib=4096)
    summary = scan_folder(*places, ordinary, *known, Processes(workers=2))
    assert before == {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    table = videos(tmp_path / "scan")
    assert summary.quarantined == {"not_a_sequence": 1}
    assert table["n_frames"].sort_index().to_dict() == {
        "autolaparo-web/Up-1_2.mp4": 10,
        "autolaparo-web/Zoomin_2.mp4": 10,
        "c3vd/c3vdv3_aligned_prev_final.mp4": 5,
        "cataractsam2-frames": 32,
        "cholect50-val/videos/VID70": 23,
        "cholect50-val/videos/VID74": 35,
        "rvimlab-endoscopy/endo.mp4": 10,
    }
    assert table["clip_height_px"].unique().tolist() == [256]
    assert (table["health"] == "healthy").all()
    endoscope = table.loc["rvimlab-endoscopy/endo.mp4"]
    assert endoscope.circle_r_px == pytest.approx(577, abs=20)
    frames = tables.read(tmp_path / "scan" / "frames.parquet", "frames")
    assert frames["phash_100"].gt(0).all()
    assert frames["dark_frac"].max() < 0.9
