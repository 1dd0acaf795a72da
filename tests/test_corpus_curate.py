"""All of curation on a folder of recordings: whatever is in it, and however often it is killed."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import cv2
import pandas as pd
import pytest
import yaml
from corpus_recordings import constant, cut, sound_only, write_pictures
from corpus_scans import film, pan
from curating import SOURCE
from killed import kill
from raw_names import found, named, reasons

from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.curate import curate
from unisurg.corpus.leakage import HeldOutOf
from unisurg.corpus.manifest import read_inputs, read_manifest, read_quarantine
from unisurg.corpus.refusals import CurationError
from unisurg.settings import Settings
from unisurg.video.decode import open_clip


def nothing(dataset: str, video: str) -> tuple[str, ...]:
    """Benchmarks that hold a recording out: none."""
    return ()


NOBODY = HeldOutOf(held_out=nothing, expected={})
REASONS = {
    "ours/cut.mp4": "damaged",
    "ours/short.mp4": "too_short",
    "ours/sound.mp4": "no_video_stream",
    "ours/text.mp4": "unreadable",
    "ours/zero.mp4": "empty",
    "views": "not_a_sequence",
    "nobodys/x.mp4": "not_deidentified",
}
KEPT = ["ours/frames", "ours/one.mp4", "ours/two.mkv"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of recording, healthy and not; one source that nobody vouches for."""
    from PIL import Image

    top = tmp_path_factory.mktemp("raw") / "input"
    (top / "ours" / "frames").mkdir(parents=True)
    (top / "nobodys").mkdir()
    film(top / "ours" / "one.mp4", pan(0, 225), Fraction(25))
    film(top / "ours" / "two.mkv", pan(1, 240), Fraction(30000, 1001))
    film(top / "nobodys" / "x.mp4", pan(2, 200), Fraction(25))
    for number, picture in enumerate(pan(3, 200, every=25)):
        Image.fromarray(picture).save(top / "ours" / "frames" / f"{number}.png")
    constant(top / "ours" / "short.mp4", 25, 10)
    whole = constant(top.parent / "whole.mp4", 25, 100, options={"g": "10", "bf": "0", "crf": "1"})
    cut(whole, top / "ours" / "cut.mp4", 0.45)
    (top / "ours" / "zero.mp4").write_bytes(b"")
    (top / "ours" / "text.mp4").write_text("no video\n" * 99)
    sound_only(top / "ours" / "sound.mp4")
    write_pictures(top / "views", ["color.png", "depth.png"])
    (top / "sources.yaml").write_text(yaml.safe_dump({"sources": {"ours": SOURCE}}))
    return top


@pytest.fixture(scope="module")
def small(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    changes = {
        "curate": {"short_side_px": 64, "timeout_s": 30.0, "max_quarantined": 1.0},
        "leaks": {"indices": tmp_path_factory.mktemp("indices")},
        "runner": {"workers": 1},
    }
    sections = {
        name: getattr(settings, name).model_copy(update=update) for name, update in changes.items()
    }
    return settings.model_copy(update=sections)


@pytest.fixture(scope="module")
def curated(small: Settings, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the recordings."""
    top = tmp_path_factory.mktemp("curated")
    before = digest(raw)
    curate(small, raw, top / "corpus", top / "scratch", NOBODY)
    assert digest(raw) == before, "curation changed its raw input"
    return top / "corpus"


def recordings(corpus: Path) -> pd.DataFrame:
    """The table of what could be read, by the recordings' raw names."""
    return named(corpus, tables.read(corpus / manifest.RECORDINGS, "recordings")).set_index("raw")


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_every_kind_of_recording_ends_in_clips_or_in_quarantine_for_its_reason(
    curated: Path,
) -> None:
    refused = read_quarantine(curated)
    assert reasons(curated, refused) == REASONS
    assert (refused["detail"].str.len() > 0).all()
    assert sorted(set(named(curated, read_manifest(curated))["raw"])) == KEPT
    assert sorted([*KEPT, *REASONS]) == found(curated, read_inputs(curated))
    assert sorted(recordings(curated).index) == sorted([*KEPT, "nobodys/x.mp4"])


def test_nothing_of_a_source_that_nobody_vouches_for_is_in_the_corpus(curated: Path) -> None:
    told = recordings(curated)
    assert told.loc["nobodys/x.mp4", "deid_state"] == "refused"
    secret = told.loc["nobodys/x.mp4", "video_id"]
    assert not list(curated.rglob(f"{secret}*"))


def test_a_name_that_is_shown_for_8_of_60_seconds_is_black_in_the_clip(
    small: Settings, tmp_path: Path
) -> None:
    named = [frame.copy() for frame in pan(5, 1500, every=25)]
    white = (255, 255, 255)
    for frame in named[:8]:
        cv2.putText(frame, "PATIENT 20415", (20, 170), 0, 0.7, white, 2, cv2.LINE_AA)
    raw = tmp_path / "raw"
    (raw / "ours").mkdir(parents=True)
    film(raw / "ours" / "a.mp4", named, Fraction(1))
    (raw / "sources.yaml").write_text(yaml.safe_dump({"sources": {"ours": SOURCE}}))
    curate(small, raw, tmp_path / "corpus", tmp_path / "scratch", NOBODY)
    clip = tmp_path / "corpus" / read_manifest(tmp_path / "corpus")["clip"][0]
    with open_clip(clip) as reader:
        frames = reader.read(range(len(reader)))
    assert len(frames) == 60
    line = frames[:, round(156 * 64 / 192) : round(168 * 64 / 192), 8:58]
    assert line.max() <= 24


def test_the_seconds_that_a_cut_recording_lost_are_undecodable(
    small: Settings, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    (raw / "ours").mkdir(parents=True)
    (raw / "nobodys").mkdir()
    whole = film(tmp_path / "whole.mp4", pan(6, 1000, every=5), Fraction(5), crf=12)
    cut(whole, raw / "ours" / "cut.mp4", 0.7)
    cut(whole, raw / "nobodys" / "cut.mp4", 0.72)
    (raw / "sources.yaml").write_text(yaml.safe_dump({"sources": {"ours": SOURCE}}))
    curate(small, raw, tmp_path / "corpus", tmp_path / "scratch", NOBODY)
    told = recordings(tmp_path / "corpus")
    video = told.loc["ours/cut.mp4"]
    assert video.declared_s == 40.0
    assert 24 < video.duration_s < 32
    intervals = tables.of(tmp_path / "corpus", "intervals")
    own = intervals[intervals["video_id"] == video.video_id]
    assert own["state"].tolist() == ["keep", "undecodable"]
    assert own["end_s"].tolist() == [video.duration_s, 40.0]
    refused = intervals[intervals["video_id"] == told.loc["nobodys/cut.mp4"].video_id]
    assert refused[["start_s", "end_s", "state"]].to_numpy().tolist() == [[0.0, 40.0, "refused"]]


def test_a_length_that_the_bytes_cannot_hold_or_that_rounds_is_not_believed() -> None:
    videos = pd.DataFrame(
        {
            "duration_s": [30.0, 30.0, 30.0, 30.0, 30.0],
            "declared_s": [40.0, 30.9, 0.0, 40.0, 20.0],
            "bytes": [40_000, 40_000, 40_000, 39_999, 40_000],
        }
    )
    assert seconds.lasts_s(videos).tolist() == [40.0, 30.0, 30.0, 30.0, 30.0]


def test_a_run_that_was_killed_again_and_again_ends_as_if_it_never_was(
    small: Settings, raw: Path, curated: Path, tmp_path: Path
) -> None:
    places = raw, tmp_path / "corpus", tmp_path / "scratch"
    for step in (2, 12, 40, 90):
        kill(step, curate, small, *places, NOBODY)
    curate(small, *places, NOBODY)
    assert digest(tmp_path / "corpus") == digest(curated)


@pytest.mark.parametrize("place", ["corpus", "scratch"])
def test_nothing_is_ever_written_below_the_input(
    small: Settings, tmp_path: Path, place: str
) -> None:
    constant(tmp_path / "raw" / "x.mp4", 25, 50)
    places = {"corpus": tmp_path / "corpus", "scratch": tmp_path / "scratch"}
    places[place] = tmp_path / "raw" / place
    with pytest.raises(CurationError, match="inside the raw input"):
        curate(small, tmp_path / "raw", places["corpus"], places["scratch"], NOBODY)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["x.mp4"]


def test_an_input_without_recordings_is_an_error_that_says_what_is_there(
    small: Settings, tmp_path: Path
) -> None:
    places = tmp_path / "raw", tmp_path / "corpus", tmp_path / "scratch"
    with pytest.raises(CurationError, match="no such folder"):
        curate(small, *places, NOBODY)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "labels.csv").write_text("a,b\n")
    with pytest.raises(CurationError, match=r"'\.csv': 1"):
        curate(small, *places, NOBODY)


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"video_id": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(manifest.ManifestError, match=r"manifest\.parquet: no column"):
        read_manifest(tmp_path)


@pytest.mark.realdata
def test_of_real_recordings_none_is_kept_that_nobody_vouches_for_by_its_own_name(
    small: Settings, real_data: Path, tmp_path: Path
) -> None:
    before = {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    with pytest.raises(CurationError, match="nothing is kept"):
        curate(small, real_data, tmp_path / "corpus", tmp_path / "scratch", NOBODY)
    assert before == {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in real_data.rglob("*")}
    assert read_manifest(tmp_path / "corpus").empty
    refused = named(tmp_path / "corpus", read_quarantine(tmp_path / "corpus")).set_index("raw")
    assert len(refused) == len(found(tmp_path / "corpus", read_inputs(tmp_path / "corpus")))
    assert set(refused["reason"]) == {"not_a_sequence", "not_deidentified"}
    phantom = refused.loc["c3vd/c3vdv3_aligned_prev_final.mp4", "detail"]
    assert "it is not named as recordings of c3vd are" in phantom
