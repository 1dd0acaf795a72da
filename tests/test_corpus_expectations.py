"""The gate before training: a sound corpus passes, a planted fault names its rule and rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from corpus_recordings import constant

from unisurg.corpus.curate import curate
from unisurg.corpus.expectations import Report, ValidationFailed, validate
from unisurg.corpus.manifest import MANIFEST, QUARANTINE, ManifestError
from unisurg.settings import Curate, Settings

Fault = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def section(settings: Settings) -> Curate:
    changes = {"short_side_px": 64, "max_quarantined": 1.0, "specialties": {"a": "urology"}}
    return settings.curate.model_copy(update=changes)


@pytest.fixture(scope="module")
def sound(section: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("sound")
    for n in (50, 75, 100):
        constant(top / "raw" / "a" / f"{n}.mp4", 25, n)
    constant(top / "raw" / "b" / "slow.mp4", 0.5, 4)
    (top / "raw" / "b" / "zero.mp4").write_bytes(b"")
    curate(section, top / "raw", top / "corpus", top / "scratch")
    return top / "corpus"


@pytest.fixture
def corpus(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "corpus"))


def setting(column: str, value: object, row: int = 0) -> Fault:
    def fault(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table.infer_objects()

    return fault


def broken(report: Report) -> set[tuple[str, str]]:
    return {(rule.table, rule.column) for rule in report.broken}


def test_a_sound_corpus_passes_and_its_report_is_plain_data(corpus: Path, section: Curate) -> None:
    report = validate(corpus, section)
    assert report.success, str(ValidationFailed(report))
    assert len(report.rules) > 30
    assert json.loads(json.dumps(report.as_dict()))["success"] is True


@pytest.mark.parametrize(
    ("fault", "column"),
    [
        (setting("fps", 2.0), "fps"),
        (setting("n_frames", 0), "n_frames"),
        (setting("n_frames", 9), "duration_error_s"),
        (setting("height_px", 128), "short_side_px"),
        (setting("width_px", 107), "odd_sides"),
        (setting("raw_duration_s", 90.0), "lost_s"),
        (setting("raw_duration_s", 1.0), "raw_duration_s"),
        (setting("specialty", None), "specialty"),
        (setting("specialty", "neurosurgery"), "specialty_agrees"),
        (setting("clip", "clips/gone.mp4"), "clip_exists"),
        (setting("raw_sha256", "x"), "sha256_is_one"),
        (setting("video_id", "0123456789abcdef"), "id_agrees"),
    ],
)
def test_a_planted_fault_is_named_with_its_rule_and_row(
    corpus: Path, section: Curate, fault: Fault, column: str
) -> None:
    table = fault(pd.read_parquet(corpus / MANIFEST))
    table.to_parquet(corpus / MANIFEST)
    report = validate(corpus, section)
    assert ("manifest", column) in broken(report)
    rule = next(r for r in report.broken if r.column == column)
    assert [row["raw"] for row in rule.failed_rows] == ["a/100.mp4"]
    message = str(ValidationFailed(report))
    assert f"manifest.{column}: {rule.rule}" in message
    assert "a/100.mp4: " in message
    json.dumps(report.as_dict(), allow_nan=False)


@pytest.mark.parametrize("column", ["video_id", "raw_sha256"])
def test_two_clips_of_one_content_are_refused(corpus: Path, section: Curate, column: str) -> None:
    table = pd.read_parquet(corpus / MANIFEST)
    table.loc[1, column] = table.loc[0, column]
    table.to_parquet(corpus / MANIFEST)
    report = validate(corpus, section)
    rule = next(r for r in report.broken if r.column == column and r.rule == "no value twice")
    assert len(rule.failed_rows) == 2


def test_a_recording_that_vanished_is_missed(corpus: Path, section: Curate) -> None:
    table = pd.read_parquet(corpus / MANIFEST)
    table.drop(index=0).to_parquet(corpus / MANIFEST)
    assert broken(validate(corpus, section)) == {("inputs", "outcomes")}


def test_a_recording_from_nowhere_is_noticed(corpus: Path, section: Curate) -> None:
    with (corpus / QUARANTINE).open("a") as file:
        file.write("b/invented.mp4,probe,empty,no bytes,0\n")
    report = validate(corpus, section)
    assert broken(report) == {("inputs", "found")}
    assert report.broken[0].failed_rows == [{"found": 0, "raw": "b/invented.mp4"}]


def test_an_unknown_reason_is_refused(corpus: Path, section: Curate) -> None:
    text = (corpus / QUARANTINE).read_text().replace(",empty,", ",mood,")
    (corpus / QUARANTINE).write_text(text)
    assert broken(validate(corpus, section)) == {("quarantine", "reason")}


def test_an_empty_corpus_is_refused_and_an_empty_quarantine_is_not(
    corpus: Path, section: Curate
) -> None:
    head = (corpus / QUARANTINE).read_text().splitlines()[0]
    (corpus / QUARANTINE).write_text(head + "\n")
    assert broken(validate(corpus, section)) == {("inputs", "outcomes")}
    table = pd.read_parquet(corpus / MANIFEST)
    table.head(0).to_parquet(corpus / MANIFEST)
    assert ("manifest", "") in broken(validate(corpus, section))


def test_a_missing_table_or_column_is_an_error_of_its_own(corpus: Path, section: Curate) -> None:
    pd.read_parquet(corpus / MANIFEST).drop(columns="fps").to_parquet(corpus / MANIFEST)
    with pytest.raises(ManifestError, match="no column fps"):
        validate(corpus, section)
    (corpus / MANIFEST).unlink()
    with pytest.raises(ManifestError, match=r"manifest\.parquet: no such file"):
        validate(corpus, section)
