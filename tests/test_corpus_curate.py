"""A folder of recordings -> a corpus: nothing is lost, nothing raw touched, nothing redone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from corpus_recordings import (
    constant,
    cut,
    number_of,
    sound_only,
    troubled_read_video,
    write_pictures,
)

from unisurg.corpus import curate as curation
from unisurg.corpus import manifest, normalise
from unisurg.corpus.curate import CurationError, Summary, curate
from unisurg.corpus.manifest import read_inputs, read_manifest, read_quarantine
from unisurg.settings import Curate, Settings
from unisurg.video.decode import open_clip


@pytest.fixture(scope="module")
def section(settings: Settings) -> Curate:
    specialties = {"site-a": "general_surgery", "site-b": "colonoscopy"}
    changes = {"short_side_px": 64, "timeout_s": 20.0, "max_quarantined": 1.0, "workers": 2}
    return settings.curate.model_copy(update={**changes, "specialties": specialties})


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of recording, healthy and not."""
    top = tmp_path_factory.mktemp("raw") / "input"
    constant(top / "site-a" / "cfr.mp4", 25, 100, sound=True)
    constant(top / "site-a" / "ntsc.mkv", 29.97, 90)
    constant(top / "site-b" / "fast.avi", 60, 150, size=(101, 75), codec="mpeg4")
    write_pictures(top / "site-c" / "frames", [f"{i:04d}.png" for i in (5, 6, 7, 9)])
    shutil.copy(top / "site-a" / "cfr.mp4", top / "site-b" / "copy.mp4")
    constant(top / "site-b" / "short.mp4", 25, 10)
    whole = constant(top.parent / "whole.mp4", 25, 100, options={"g": "10", "bf": "0", "crf": "1"})
    cut(whole, top / "site-b" / "cut.mp4", 0.45)
    (top / "site-b" / "zero.mp4").write_bytes(b"")
    (top / "site-b" / "text.mp4").write_text("no video\n" * 99)
    sound_only(top / "site-b" / "sound.mp4")
    write_pictures(top / "site-c" / "views", ["color.png", "depth.png"])
    (top / "README.md").write_text("notes")
    return top


REASONS = {
    "site-b/copy.mp4": "duplicate",
    "site-b/cut.mp4": "damaged",
    "site-b/short.mp4": "too_short",
    "site-b/sound.mp4": "no_video_stream",
    "site-b/text.mp4": "unreadable",
    "site-b/zero.mp4": "empty",
    "site-c/views": "not_a_sequence",
}


@pytest.fixture(scope="module")
def curated(
    section: Curate, raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Summary]:
    """(corpus, scratch, summary) of the recordings."""
    top = tmp_path_factory.mktemp("curated")
    before = digest(raw)
    summary = curate(section, raw, top / "corpus", top / "scratch")
    assert digest(raw) == before, "curation changed its raw input"
    return top / "corpus", top / "scratch", summary


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_every_recording_ends_as_one_clip_or_in_quarantine_for_its_reason(
    curated: tuple[Path, Path, Summary],
) -> None:
    corpus, _, _ = curated
    refused = read_quarantine(corpus)
    assert dict(zip(refused["raw"], refused["reason"], strict=True)) == REASONS
    kept = read_manifest(corpus)["raw"].tolist()
    assert kept == ["site-a/cfr.mp4", "site-a/ntsc.mkv", "site-b/fast.avi", "site-c/frames"]
    assert sorted([*kept, *refused["raw"]]) == read_inputs(corpus)["raw"].tolist()
    assert (refused["detail"].str.len() > 0).all()


def test_the_summary_counts_what_the_tables_hold(curated: tuple[Path, Path, Summary]) -> None:
    corpus, _, summary = curated
    table = read_manifest(corpus)
    assert (summary.inputs, summary.clips, summary.reused) == (11, 4, 0)
    assert summary.frames == table["n_frames"].sum() == 4 + 3 + 3 + 4
    assert summary.quarantined == dict.fromkeys(sorted(REASONS.values()), 1)
    assert summary.ignored == {".md": 1}
    assert summary.numbers()["quarantined_damaged"] == 1
    assert "11 recordings: 4 clips" in str(summary)


def test_the_manifest_tells_the_truth_about_raw_and_clip(
    curated: tuple[Path, Path, Summary], raw: Path
) -> None:
    corpus, _, _ = curated
    table = read_manifest(corpus).set_index("raw")
    assert {c: str(t) for c, t in read_manifest(corpus).dtypes.items()} == {
        **manifest.MANIFEST_COLUMNS
    }
    cfr = table.loc["site-a/cfr.mp4"]
    assert cfr["raw_sha256"] == hashlib.sha256((raw / "site-a/cfr.mp4").read_bytes()).hexdigest()
    assert cfr["video_id"] == cfr["raw_sha256"][:16]
    assert (cfr["source"], cfr["specialty"]) == ("site-a", "general_surgery")
    assert (cfr["raw_width_px"], cfr["raw_height_px"], cfr["raw_fps"]) == (160, 96, 25.0)
    assert (cfr["width_px"], cfr["height_px"], cfr["n_frames"]) == (106, 64, 4)
    assert cfr["raw_duration_s"] == cfr["duration_s"] == 4.0
    assert table["has_audio"].tolist() == [True, False, False, False]
    assert table.loc["site-c/frames", "specialty"] == "unknown"
    assert table.loc["site-c/frames", "missing_pictures"] == 1


def test_every_clip_reads_as_the_manifest_says(curated: tuple[Path, Path, Summary]) -> None:
    corpus, _, _ = curated
    table = read_manifest(corpus)
    on_disk = sorted(path.name for path in (corpus / "clips").iterdir())
    assert on_disk == sorted(Path(clip).name for clip in table["clip"])
    for row in table.itertuples():
        with open_clip(corpus / row.clip) as reader:
            frames = reader.read(range(len(reader)))
            assert (len(reader), reader.fps) == (row.n_frames, row.fps)
        assert frames.shape[1:3] == (row.height_px, row.width_px)
        step = 1 if row.codec == "png" else round(row.raw_fps)
        assert [number_of(frame) for frame in frames] == [step * k for k in range(len(frames))]


def test_a_second_run_reads_nothing_again_and_writes_the_same_bytes(
    section: Curate,
    raw: Path,
    curated: tuple[Path, Path, Summary],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus, scratch, _ = curated
    read: list[str] = []
    monkeypatch.setattr(
        curation,
        "_normalise",
        lambda recording, out, section, original=curation._normalise: (
            read.append(recording.raw) or original(recording, out, section)
        ),
    )
    summary = curate(section, raw, tmp_path / "again", scratch)
    assert summary.reused == summary.clips == 4
    assert sorted(read) == ["site-b/cut.mp4", "site-b/sound.mp4", "site-b/text.mp4"]
    assert digest(tmp_path / "again") == digest(corpus)


def test_a_run_from_nothing_writes_the_same_bytes_with_other_workers(
    section: Curate, raw: Path, curated: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    one = section.model_copy(update={"workers": 1})
    curate(one, raw, tmp_path / "corpus", tmp_path / "scratch")
    assert digest(tmp_path / "corpus") == digest(curated[0])


def test_a_run_that_was_killed_goes_on_where_it_stopped(
    section: Curate, raw: Path, curated: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    corpus, scratch = tmp_path / "corpus", tmp_path / "scratch"
    script = (
        "import sys; from pathlib import Path; from unisurg.settings import Curate\n"
        "from unisurg.corpus.curate import curate\n"
        "curate(Curate.model_validate_json(sys.argv[1]), *map(Path, sys.argv[2:]))"
    )
    one = section.model_copy(update={"workers": 1})
    places = [str(path) for path in (raw, corpus, scratch)]
    run = subprocess.Popen([sys.executable, "-c", script, one.model_dump_json(), *places])
    try:
        while run.poll() is None and not list(scratch.glob("clips/*.json")):
            time.sleep(0.01)
    finally:
        run.kill()
        run.wait()
    assert not (corpus / "manifest.parquet").exists(), "it was killed before its end"
    assert curate(section, raw, corpus, scratch).reused >= 1
    assert digest(corpus) == digest(curated[0])


def test_other_settings_or_a_spoilt_clip_are_not_served_from_an_earlier_run(
    section: Curate, tmp_path: Path
) -> None:
    constant(tmp_path / "raw" / "a" / "x.mp4", 25, 75)

    def run(**changes: object) -> Summary:
        changed = section.model_copy(update=changes)
        return curate(changed, tmp_path / "raw", tmp_path / "corpus", tmp_path / "scratch")

    assert [run().reused, run().reused, run(fps=2.0).reused, run().reused] == [0, 1, 0, 1]
    for clip in (tmp_path / "scratch" / "clips").glob("*.mp4"):
        clip.unlink()
        clip.write_bytes(b"spoilt")
    assert run().reused == 0
    assert read_manifest(tmp_path / "corpus")["n_frames"].tolist() == [3]


def test_one_bad_recording_cannot_harm_the_others(
    section: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, "read_video", troubled_read_video)
    for n, name in enumerate(("hang", "crash", "greedy", "fine")):
        constant(tmp_path / "raw" / "a" / f"{name}.mp4", 25, 75 + n)
    limited = section.model_copy(update={"timeout_s": 6.0, "memory_mib": 2048})
    curate(limited, tmp_path / "raw", tmp_path / "corpus", tmp_path / "scratch")
    refused = read_quarantine(tmp_path / "corpus")
    assert dict(zip(refused["raw"], refused["reason"], strict=True)) == {
        "a/crash.mp4": "crashed",
        "a/greedy.mp4": "out_of_memory",
        "a/hang.mp4": "timeout",
    }
    assert read_manifest(tmp_path / "corpus")["raw"].tolist() == ["a/fine.mp4"]
    assert not list((tmp_path / "scratch" / "clips").glob("*.part"))


def test_too_much_quarantine_is_an_error_that_names_the_files_after_all_is_written(
    section: Curate, raw: Path, curated: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    strict = section.model_copy(update={"max_quarantined": 0.25})
    with pytest.raises(CurationError, match=r"7 of 11 recordings") as error:
        curate(strict, raw, tmp_path / "corpus", curated[1])
    for name, reason in REASONS.items():
        assert f"{name}: {reason}: " in str(error.value)
    assert digest(tmp_path / "corpus") == digest(curated[0])


def test_clips_of_recordings_that_are_gone_go_too(section: Curate, tmp_path: Path) -> None:
    for n in (50, 75):
        constant(tmp_path / "raw" / "a" / f"{n}.mp4", 25, n)
    corpus, scratch = tmp_path / "corpus", tmp_path / "scratch"
    curate(section, tmp_path / "raw", corpus, scratch)
    (tmp_path / "raw" / "a" / "50.mp4").unlink()
    curate(section, tmp_path / "raw", corpus, scratch)
    table = read_manifest(corpus)
    assert [f"clips/{path.name}" for path in (corpus / "clips").iterdir()] == table["clip"].tolist()


@pytest.mark.parametrize("place", ["corpus", "scratch"])
def test_nothing_is_ever_written_below_the_input(
    section: Curate, tmp_path: Path, place: str
) -> None:
    constant(tmp_path / "raw" / "x.mp4", 25, 50)
    places = {"corpus": tmp_path / "corpus", "scratch": tmp_path / "scratch"}
    places[place] = tmp_path / "raw" / place
    with pytest.raises(CurationError, match="inside the raw input"):
        curate(section, tmp_path / "raw", places["corpus"], places["scratch"])
    assert os.listdir(tmp_path / "raw") == ["x.mp4"]  # noqa: PTH208


def test_an_input_without_recordings_is_an_error_that_says_what_is_there(
    section: Curate, tmp_path: Path
) -> None:
    with pytest.raises(CurationError, match="no such folder"):
        curate(section, tmp_path / "nowhere", tmp_path / "c", tmp_path / "s")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "labels.csv").write_text("a,b\n")
    with pytest.raises(CurationError, match=r"'\.csv': 1"):
        curate(section, tmp_path / "raw", tmp_path / "c", tmp_path / "s")


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"video_id": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(manifest.ManifestError, match=r"manifest\.parquet: no column source"):
        read_manifest(tmp_path)


@pytest.mark.realdata
def test_real_recordings_become_clips(section: Curate, real_data: Path, tmp_path: Path) -> None:
    before = {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    ordinary = section.model_copy(update={"short_side_px": 256, "max_quarantined": 0.25})
    summary = curate(ordinary, real_data, tmp_path / "corpus", tmp_path / "scratch")
    assert before == {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    table = read_manifest(tmp_path / "corpus").set_index("raw")
    assert summary.clips + sum(summary.quarantined.values()) == summary.inputs
    assert summary.quarantined == {"not_a_sequence": 1}
    assert table["n_frames"].to_dict() == {
        "autolaparo-web/Up-1_2.mp4": 10,
        "autolaparo-web/Zoomin_2.mp4": 10,
        "c3vd/c3vdv3_aligned_prev_final.mp4": 5,
        "cataractsam2-frames": 32,
        "cholect50-val/videos/VID70": 23,
        "cholect50-val/videos/VID74": 35,
        "rvimlab-endoscopy/endo.mp4": 10,
    }
    assert table["height_px"].unique().tolist() == [256]
    assert (table["decode_errors"] == 0).all()
    with open_clip(tmp_path / "corpus" / table.loc["rvimlab-endoscopy/endo.mp4", "clip"]) as reader:
        frames = reader.read(range(10))
    assert frames[:, 128, 228].mean() > 60, "the middle shows tissue"
    assert frames[:, :8, :8].mean() < 30, "the corner lies outside the round field of view"
