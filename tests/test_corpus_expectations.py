"""The gate before training: a sound curation passes, a planted fault names its rule and rows."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from corpus_scans import by_the_second, pan
from curating import SOURCE
from deid_onnx import red_is_inside

from unisurg.corpus import tables
from unisurg.corpus.curate import curate
from unisurg.corpus.expectations.check import check
from unisurg.corpus.expectations.expected import Expected, Suite
from unisurg.corpus.expectations.frames import by_video
from unisurg.corpus.expectations.outcome import Report, Rule, ValidationFailed
from unisurg.corpus.expectations.places import BY_FRAME, DEFINED, LISTED, Places
from unisurg.corpus.expectations.ranges import RANGES, UNMEASURED
from unisurg.corpus.expectations.schemas import schema_suites
from unisurg.corpus.expectations.validate import suites, validate
from unisurg.corpus.leakage import HeldOutOf
from unisurg.report.validation import write_page
from unisurg.settings import Settings
from unisurg.stages import curate as verb

Fault = Callable[[pd.DataFrame], pd.DataFrame]
CORNER = [0.0, 0.0, 0.1, 0.1]
HALF = [0.0, 0.0, 0.7, 0.7]
"""More than may be painted: its videos are refused."""


def scene(seed: int, n_seconds: int) -> list[np.ndarray]:
    return pan(seed, n_seconds * 25, every=25)


def green(frames: list[np.ndarray]) -> list[np.ndarray]:
    """As the detector of these tests sees the outside of a body."""
    return [(frame * np.array([0.1, 1.0, 0.1])).astype(np.uint8) for frame in frames]


def recordings(raw: Path) -> None:
    """Whole, in pieces, a copy, filmed outside, held out, refused, without a byte; and a note."""
    black = [np.zeros((192, 320, 3), np.uint8)] * 4
    films = {
        "plain/whole.mp4": scene(1, 14),
        "plain/copy.mp4": scene(1, 14),
        "plain/gap.mp4": scene(2, 8) + black + scene(3, 6),
        "plain/held.mp4": scene(4, 8),
        "seen/out.mp4": scene(5, 8) + green(scene(9, 5)) + scene(6, 8),
        "painted/half.mp4": scene(7, 8),
    }
    for name, frames in films.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        by_the_second(raw / name, frames, crf=34 if "copy" in name else 20)
    (raw / "plain" / "zero.mp4").write_bytes(b"")
    (raw / "plain" / "notes.txt").write_text("no recording")
    rows = {
        "plain": {"overlays": [CORNER]},
        "seen": {"deid_by_provider": None},
        "painted": {"overlays": [HALF]},
    }
    found = {name: SOURCE | row for name, row in rows.items()}
    (raw / "sources.yaml").write_text(yaml.safe_dump({"sources": found}))
    (raw / "overlaps.yaml").write_text("datasets: {plain: {title: Plain}}")


def seen_green(folder: Path) -> Path:
    """A detector that takes what is green for the outside, and black for neither."""
    weights = ((0.0, -10.0), (0.0, 8.0), (0.0, -10.0))
    return red_is_inside(folder, columns=weights, threshold=0.7)


@pytest.fixture(scope="module")
def section(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    top = tmp_path_factory.mktemp("section")
    (top / "indices").mkdir()
    update = {
        "curate": settings.curate.model_copy(update={"short_side_px": 64, "max_quarantined": 1.0}),
        "deid": settings.deid.model_copy(
            update={
                "detector": seen_green(top / "detector"),
                "text": settings.deid.text.model_copy(update={"sides_px": (352,)}),
            }
        ),
        "leaks": settings.leaks.model_copy(update={"indices": top / "indices"}),
        "tracking": settings.tracking.model_copy(update={"enabled": False}),
    }
    return settings.model_copy(update=update)


@pytest.fixture(scope="module")
def sound(section: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the stages wrote."""
    top = tmp_path_factory.mktemp("sound")
    recordings(top / "raw")
    held = HeldOutOf(
        held_out=lambda dataset, video: ["bench/held"] if video == "held" else [],
        expected={"bench": {"held"}, "other": {"case"}},
    )

    def keep(places: Places) -> None:
        ignored = shutil.ignore_patterns("medians")
        shutil.copytree(places.home, top / "home", ignore=ignored)
        shutil.copytree(places.corpus, top / "home" / "corpus", ignore=ignored)

    curate(section, top / "raw", top / "output", top / "scratch", held, keep)
    return top / "home"


@pytest.fixture
def places(sound: Path, tmp_path: Path) -> Places:
    home = Path(shutil.copytree(sound, tmp_path / "home"))
    return Places(home, home / "corpus")


def plant(places: Places, table: str, fault: Fault) -> None:
    """Change rows of a table, which keeps its columns and types."""
    path, rows = places.file(table), fault(places.read(table).copy())
    if table in DEFINED:
        schema = tables.schema(table.partition("/")[2])
        columns = [pa.array(rows[one.name].tolist(), one.type, from_pandas=False) for one in schema]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)
    elif path.suffix == ".parquet":
        rows.astype(dict(LISTED[table])).to_parquet(path)
    else:
        rows.to_csv(path, index=False)


def judged(places: Places, settings: Settings, table: str, *columns: str) -> list[Rule]:
    """The broken rules on one table, of these columns alone where some are named."""
    own = [suite for suite in suites(places, settings) if suite.table == table]
    if columns:
        own = [replace(suite, expected=_on(suite, columns)) for suite in own]
    return [rule for rule in check(suite for suite in own if suite.expected) if not rule.success]


def _on(suite: Suite, columns: tuple[str, ...]) -> tuple[Expected, ...]:
    def named(rule: Expected) -> str:
        several = getattr(rule, "columns", (getattr(rule, "column", ""),))
        return ", ".join(several)

    return tuple(rule for rule in suite.expected if named(rule) in columns)


def setting(column: str, value: Any, row: int = 0) -> Fault:
    def fault(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[row], column] = value
        return table

    return fault


def without(row: int = 0) -> Fault:
    return lambda table: table.drop(index=table.index[row])


def twice(row: int = 0) -> Fault:
    return lambda table: pd.concat([table, table.iloc[[row]]], ignore_index=True)


def restated(before: str, after: str) -> Fault:
    return lambda table: table.replace({"state": {before: after}})


def test_a_sound_curation_keeps_every_rule_and_each_of_its_tables_has_some(
    places: Places, section: Settings, tmp_path: Path
) -> None:
    report = validate(places, section)
    assert report.success, str(ValidationFailed(report))
    by_table = pd.Series([rule.table for rule in report.rules]).value_counts()
    assert set(by_table.index) >= {*DEFINED, *LISTED}
    assert by_table.sum() > 200
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["success"] is True
    empty = {rule.table for rule in report.rules if not rule.rows}
    assert empty == {"deid/pages"}, "a rule on no row says nothing"


FAULTS: dict[str, list[tuple[str, Fault]]] = {
    "scan/videos": [
        ("bytes", setting("bytes", 0)),
        ("duration_s", setting("duration_s", -1.0)),
        ("fps_avg", setting("fps_avg", np.nan)),
        ("kind", setting("kind", "dream")),
        ("video_id", twice(1)),
    ],
    "scan/frames": [
        ("luma_mean_most", setting("luma_mean", 256.0)),
        ("dark_frac_least", setting("dark_frac", -0.1)),
        ("entropy_bits_most", setting("entropy_bits", 9.0)),
        ("lap_var_nan", setting("lap_var", np.nan)),
        ("late_s", setting("pts_s", 1e6)),
        ("lacking", without(5)),
    ],
    "scan/shots": [("fault", setting("end_s", 1.0)), ("video_id, shot_id", twice(1))],
    "deid/verdicts": [
        ("video_id", twice(2)),
        ("verdicts", without()),
        ("videos", setting("video_id", "nobody")),
        ("deid_state", setting("deid_state", "maybe")),
    ],
    "deid/rectangles": [
        ("w", setting("w", -0.5)),
        ("right", setting("x", 0.95, row=1)),
        ("bottom", setting("y", 0.95, row=1)),
        ("stranger", setting("video_id", "nobody", row=2)),
    ],
    "deid/oob": [
        ("oob_p_most", setting("oob_p", 1.5)),
        ("unseen", lambda rows: rows.groupby("video_id").head(5)),
    ],
    "deid/outside": [("fault", setting("end_s", 1e6))],
    "clean/intervals": [
        ("violation", without()),
        ("outside_s", restated("oob", "keep")),
        ("state", restated("black", "grey")),
    ],
    "dedup/intervals": [("taken_back_s", restated("black", "keep"))],
    "leak/intervals": [("taken_back_s", restated("duplicate", "keep"))],
    "corpus/intervals": [("taken_back_s", restated("leak", "keep"))],
    "dedup/dup_pairs": [
        ("votes", setting("votes", 0)),
        ("mean_hamming", setting("mean_hamming", 65.0)),
        ("itself", lambda rows: rows.assign(b_id=rows["a_id"])),
        ("stranger", lambda rows: pd.concat([rows, rows.assign(b_id="nobody")])),
    ],
    "dedup/clusters": [
        ("miscounted", lambda rows: rows.assign(size=rows["size"] + 1)),
        ("canonicals", lambda rows: rows.assign(canonical=True)),
        ("misnamed", lambda rows: rows.assign(canonical=True)),
        ("stranger", setting("video_id", "nobody")),
    ],
    "leak/leak_hits": [
        ("same_procedure", setting("procedure_id", "another")),
        ("rule", setting("rule", "guess")),
        ("part", setting("part", "train")),
        ("stranger", lambda rows: pd.concat([rows, rows.assign(a_id="nobody")])),
    ],
    "leak/procedures": [("procedures", twice(1)), ("stranger", setting("video_id", "nobody"))],
    "leak/coverage": [("rows", twice()), ("state", setting("state", "clean", row=1))],
    "corpus/quarantine": [
        ("recording", twice()),
        ("reason", setting("reason", "mood")),
        ("stage", setting("stage", "never")),
        ("silent", setting("detail", "")),
    ],
    "corpus/inputs": [
        ("found", without()),
        ("recording", twice()),
        ("outcomes", setting("recording", "0123456789abcdef", row=1)),
        ("kind", setting("kind", "dream", row=1)),
    ],
    "corpus/recordings": [
        ("video_id", twice(2)),
        ("changed", setting("specialty_s", "dentistry")),
        ("deid_state", setting("deid_state", "maybe")),
    ],
}


@pytest.mark.parametrize("table", FAULTS)
def test_planted_faults_in_any_table_are_all_found(
    places: Places, section: Settings, table: str
) -> None:
    for _, fault in FAULTS[table]:
        plant(places, table, fault)
    wanted = {column for column, _ in FAULTS[table]}
    assert {rule.column for rule in judged(places, section, table, *wanted)} == wanted


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ("breaks", setting("k", 7)),
        ("breaks", twice(3)),
        ("breaks", without(5)),
        ("video_id", lambda rows: pd.concat([rows[3:], rows[:3]])),
    ],
)
def test_frames_twice_missing_or_in_disorder_are_found(
    places: Places, section: Settings, column: str, fault: Fault
) -> None:
    plant(places, "scan/frames", fault)
    assert {rule.column for rule in judged(places, section, "scan/frames", column)} == {column}


@pytest.mark.parametrize(
    ("end_s", "table", "column"),
    [(5.0, "clean/intervals", "page_s"), (1e6, "deid/pages", "fault")],
)
def test_a_page_of_text_that_is_kept_or_leaves_its_video_is_found(
    places: Places, section: Settings, end_s: float, table: str, column: str
) -> None:
    video = places.read("corpus/manifest")["video_id"][0]
    page = pd.DataFrame([[video, 0.0, end_s]], columns=["video_id", "start_s", "end_s"])
    plant(places, "deid/pages", lambda rows: page)
    assert {rule.column for rule in judged(places, section, table, column)} == {column}


@pytest.mark.parametrize(
    ("fault", "column"),
    [
        (setting("fps", 2.0), "fps_error"),
        (setting("n_frames", 0), "n_frames"),
        (setting("n_frames", 90), "duration_error_s"),
        (setting("height_px", 128), "short_side_px"),
        (setting("width_px", 107), "odd_sides"),
        (setting("width_px", 1000), "enlarged_px"),
        (setting("end_s", 90.0), "lost_s"),
        (setting("raw_duration_s", 1.0), "raw_duration_s"),
        (setting("start_s", -1.0), "start_s"),
        (setting("clip", "clips/gone.mp4"), "clip_exists"),
        (setting("video_id", "0123456789abcdef"), "id_agrees"),
        (setting("clip_id", "0123456789abcdef-000"), "clip_id_agrees"),
    ],
)
def test_a_fault_in_the_manifest_is_named_with_its_rule_and_row(
    places: Places, section: Settings, fault: Fault, column: str
) -> None:
    recording = places.read("corpus/manifest")["recording"][0]
    plant(places, "corpus/manifest", fault)
    clip = places.read("corpus/manifest")["clip_id"][0]
    broken = judged(places, section, "corpus/manifest")
    [rule] = [rule for rule in broken if rule.column == column]
    assert [row["recording"] for row in rule.failed_rows] == [recording]
    message = str(ValidationFailed(Report(broken)))
    assert f"corpus/manifest.{column}: {rule.rule}" in message
    assert f"    clip_id {clip}, recording {recording}" in message


def test_a_row_without_a_value_is_found(places: Places, section: Settings) -> None:
    rows = places.read("corpus/manifest")
    rows.loc[0, "specialty"] = None
    rows.to_parquet(places.file("corpus/manifest"))
    [rule] = judged(places, section, "corpus/manifest")
    assert (rule.column, rule.failed_rows[0]["missing"]) == ("missing", "specialty")


@pytest.mark.parametrize("column", ["clip_id", "clip"])
def test_two_rows_of_one_piece_are_refused(places: Places, section: Settings, column: str) -> None:
    first = places.read("corpus/manifest")[column][0]
    plant(places, "corpus/manifest", setting(column, first, row=1))
    broken = judged(places, section, "corpus/manifest")
    [rule] = [rule for rule in broken if rule.rule == "no value twice"]
    assert (rule.column, len(rule.failed_rows)) == (column, 2)


def test_an_empty_manifest_is_refused(places: Places, section: Settings) -> None:
    plant(places, "corpus/manifest", lambda rows: rows[:0])
    [rule] = [r for r in judged(places, section, "corpus/manifest") if r.rule == "there is a clip"]
    assert rule.observed == "0 rows"


def test_a_clip_over_a_cut_is_refused_unless_it_may_be(places: Places, section: Settings) -> None:
    def cut(frames: pd.DataFrame) -> pd.DataFrame:
        return frames.assign(shot_id=(frames["k"] >= 3).astype("int32"))

    plant(places, "scan/frames", cut)
    assert {rule.column for rule in judged(places, section, "corpus/manifest")} == {"cuts"}
    free = section.clean.model_copy(update={"across_cuts": True})
    across = section.model_copy(update={"clean": free})
    assert judged(places, across, "corpus/manifest") == []


@pytest.mark.parametrize(
    ("table", "fault", "column"),
    [
        ("corpus/manifest", without(), "unclipped"),
        ("corpus/intervals", restated("black", "keep"), "unclipped"),
        ("corpus/intervals", restated("refused", "keep"), "unclean"),
        ("deid/verdicts", lambda rows: rows.assign(deid_state="refused"), "unclean"),
        ("corpus/intervals", restated("leak", "keep"), "leaked"),
        ("leak/procedures", lambda rows: rows.assign(procedure_id="one"), "leaked"),
        ("corpus/quarantine", lambda rows: rows[:0], "unlisted"),
        ("corpus/intervals", restated("black", "refused"), "unlisted"),
    ],
)
def test_what_is_kept_is_clean_whole_and_of_no_held_out_operation(
    places: Places, section: Settings, table: str, fault: Fault, column: str
) -> None:
    plant(places, table, fault)
    broken = judged(places, section, "corpus/recordings", column)
    assert {rule.column for rule in broken} == {column}


def test_a_quarantine_that_lost_its_rows_is_missed(places: Places, section: Settings) -> None:
    plant(places, "corpus/quarantine", lambda rows: rows[:0])
    assert {rule.column for rule in judged(places, section, "corpus/inputs")} == {"outcomes"}


def test_evidence_that_is_not_what_the_stage_wrote_is_refused(
    places: Places, section: Settings
) -> None:
    plant(places, "corpus/leak_hits", lambda rows: rows[:0])
    [rule] = judged(places, section, "corpus/evidence")
    assert rule.failed_rows == [{"same": False, "file": "corpus/leak_hits"}]


@pytest.mark.parametrize(
    ("required", "missed"), [(["other"], {"other"}), ("all", {"bench", "other"}), ([], set())]
)
def test_a_benchmark_that_must_be_checked_and_was_not_blocks(
    places: Places, section: Settings, required: Any, missed: set[str]
) -> None:
    leaks = section.leaks.model_copy(update={"require": required})
    broken = judged(places, section.model_copy(update={"leaks": leaks}), "leak/coverage")
    assert {row["benchmark"] for rule in broken for row in rule.failed_rows} == missed


def test_a_required_benchmark_that_nobody_knows_blocks(places: Places, section: Settings) -> None:
    leaks = section.leaks.model_copy(update={"require": ("unheard-of",)})
    [rule] = judged(places, section.model_copy(update={"leaks": leaks}), "leak/coverage")
    assert rule.failed_rows[0]["benchmark"] == "unheard-of"


def test_columns_of_other_names_or_types_are_all_that_is_told(
    places: Places, section: Settings
) -> None:
    path = places.file("corpus/manifest")
    pd.read_parquet(path).drop(columns="fps").to_parquet(path)
    frames = pq.read_table(places.file("scan/frames"))
    pq.write_table(frames.append_column("mood", frames["k"]), places.file("scan/frames"))
    shots = pd.read_parquet(places.file("scan/shots")).astype({"shot_id": "int64"})
    shots.to_parquet(places.file("scan/shots"))
    places.file("leak/coverage").unlink()
    places.file("dedup/clusters").write_bytes(b"no table")
    report = validate(places, section)
    found = {(rule.table, row["column"]): row["fault"] for rule in report.broken
             for row in rule.failed_rows}  # fmt: skip
    assert found["corpus/manifest", "fps"] == "absent"
    assert found["scan/frames", "mood"] == "unknown"
    assert found["scan/shots", "shot_id"] == "is int64, not int32"
    assert found["scan/shots", "score"] == "may be null"
    assert found["leak/coverage", ""] == "no such file: coverage.csv"
    assert found["dedup/clusters", ""].startswith("cannot be read")
    assert {rule.column for rule in report.rules} == {"fault"}


def test_text_where_a_number_should_be_is_told(places: Places) -> None:
    path = places.file("corpus/quarantine")
    path.write_text(path.read_text().replace(",0\n", ",many\n"))
    own = (suite for suite in schema_suites(places) if suite.table == "corpus/quarantine")
    [rule] = check(own)
    assert rule.failed_rows[0]["fault"].startswith("cannot be read")


def test_every_table_that_is_defined_is_validated() -> None:
    assert {table.partition("/")[2] for table in DEFINED} == set(tables.TABLES)


def test_ranges_are_of_columns_that_there_are() -> None:
    for listed in (RANGES, UNMEASURED):
        for name, columns in listed.items():
            assert set(columns) <= set(tables.TABLES[name].columns), name


@pytest.mark.parametrize("table", sorted(BY_FRAME))
def test_a_table_of_frames_is_told_by_video_as_grouping_its_rows_would(
    places: Places, table: str
) -> None:
    rows, told = places.read(table), by_video(places.file(table), table.partition("/")[2])
    own = rows.groupby("video_id")
    assert told["video_id"].tolist() == list(own.groups)
    assert told["rows"].tolist() == own.size().tolist()
    assert (told["breaks"] == 0).all()
    for column in told.columns:
        name, _, kind = column.rpartition("_")
        if kind in ("least", "most"):
            wanted = own[name].min() if kind == "least" else own[name].max()
            np.testing.assert_array_equal(told[column], wanted)
        elif kind == "nan":
            assert told[column].tolist() == own[name].apply(lambda v: v.isna().sum()).tolist()


def test_the_page_needs_nothing_else_tells_all_and_is_the_same_twice(
    places: Places, section: Settings, tmp_path: Path
) -> None:
    plant(places, "corpus/manifest", setting("fps", 2.0))
    broken = judged(places, section, "corpus/manifest")
    whole = check(one for one in suites(places, section) if one.table == "deid/verdicts")
    pages = [write_page(Report(whole + broken), tmp_path).read_text() for _ in range(2)]
    assert pages[0] == pages[1]
    assert "http" not in pages[0]
    assert "<script" not in pages[0]
    told = html.unescape(pages[0])
    for said in ("deid/verdicts", "fps_error", "✗ broken", "✓ holds", broken[0].rule):
        assert said in told
    assert broken[0].failed_rows[0]["recording"] in pages[0]


def test_the_verb_curate_validates_what_it_wrote_and_a_broken_rule_is_an_error(
    places: Places, section: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(places, "corpus/manifest", setting("fps", 2.0))

    def written(*arguments: Any) -> None:
        arguments[-1](places)

    def manifest_alone(places: Places, settings: Settings) -> Report:
        return Report(judged(places, settings, "corpus/manifest", "fps_error"))

    monkeypatch.setattr(verb, "curate", written)
    monkeypatch.setattr("unisurg.stages.validate.validate", manifest_alone)
    output = tmp_path / "output"
    with pytest.raises(ValidationFailed, match="fps_error"):
        verb.run(section, places.home, output)
    assert json.loads((output / "validation/validation.json").read_text())["success"] is False
    assert "fps_error" in (output / "validation/index.html").read_text()
