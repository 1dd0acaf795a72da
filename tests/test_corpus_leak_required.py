"""A required benchmark that was not checked stops curation; the evidence says what was checked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hash_tables import recording

from unisurg.benchmarks import REGISTRY
from unisurg.cli import main
from unisurg.corpus import tables
from unisurg.corpus.leak import HIT_COLUMNS
from unisurg.corpus.leak_index import index_of, write_index
from unisurg.corpus.leakage import (
    COVERAGE,
    PROCEDURES,
    HeldOutOf,
    LeakageError,
    checked_coverage,
    leak_folder,
)
from unisurg.corpus.mapping import Processes
from unisurg.corpus.names import write_names
from unisurg.corpus.overlaps import load
from unisurg.settings import Settings
from unisurg.stages.leak import held_out_of_all

ROOT = Path(__file__).resolve().parent.parent
NAME = {"video_id": "v", "raw": "ours/v.mp4", "dataset_d": "ours", "dataset_video": ""}


def benchmarks(**more: object) -> HeldOutOf:
    expected = {"bench": ["x"], "other": ["y"]}
    return HeldOutOf(lambda dataset, video: (), expected, **more)  # type: ignore[arg-type]


@pytest.fixture
def indices(tmp_path: Path) -> Path:
    """Of `bench` alone."""
    index = index_of(recording("x", 60, seed=1, fps=4), "bench", {"x": "test"})
    write_index(index, tmp_path / "indices" / "bench.parquet")
    return tmp_path / "indices"


# ------------------------------------------------------------------ leaks.require


def test_a_required_benchmark_that_was_checked_lets_curation_go_on(
    settings: Settings, indices: Path
) -> None:
    covered = checked_coverage(indices, settings.duplicates, benchmarks(required=["bench"]), ())
    assert dict(zip(covered["benchmark"], covered["state"], strict=True)) == {
        "bench": "checked",
        "other": "not checked",
    }


@pytest.mark.parametrize("named", [(), ("other",)])
def test_a_required_benchmark_that_was_not_checked_is_an_error_with_the_command_that_mends_it(
    settings: Settings, indices: Path, named: tuple[str, ...]
) -> None:
    asked = benchmarks(required=["bench", "other"], named=lambda dataset: named)
    with pytest.raises(LeakageError, match="unisurg leaks index NAME --root FOLDER") as raised:
        checked_coverage(indices, settings.duplicates, asked, ["ours"])
    assert ("other: by name only" if named else "other: not checked") in str(raised.value)
    assert "bench:" not in str(raised.value)


def test_a_required_benchmark_that_there_is_not_is_an_error_and_not_a_clean_bill(
    settings: Settings, indices: Path
) -> None:
    with pytest.raises(LeakageError, match="no benchmark cholek80; there are: bench, other"):
        checked_coverage(indices, settings.duplicates, benchmarks(required=["cholek80"]), ())


def test_the_stage_writes_nothing_where_a_required_benchmark_was_not_checked(
    settings: Settings, indices: Path, tmp_path: Path
) -> None:
    write_names(tmp_path, [{**NAME, "procedure_id": "v"}])
    places = tmp_path, tmp_path, tmp_path / "leak", tmp_path / "scratch"
    required = benchmarks(required=["other"])
    with pytest.raises(LeakageError, match="other: not checked"):
        leak_folder(*places, settings.duplicates, indices, required, Processes(1))
    assert not (tmp_path / "leak").exists()
    assert not (tmp_path / "scratch").exists()


def test_the_verb_curate_fails_before_it_reads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "film.mp4").write_bytes(b"no film")
    (tmp_path / "leak_indices").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ["curate", "--params", str(ROOT / "params.yaml"), "--set", "tracking.enabled=false"]
    command += ["--set", "leaks.require=all", "--input", "raw", "--output", "corpus"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert all(f"{name}: not checked" in said for name in REGISTRY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leak_indices", "raw"]


def test_all_means_every_benchmark() -> None:
    assert set(held_out_of_all(load(), "all").required) == set(REGISTRY)
    assert held_out_of_all(load(), ()).required == ()


# ------------------------------------------------------------------ what names settle


def test_only_where_names_settle_every_data_set_of_the_corpus_a_benchmark_counts_as_named(
    settings: Settings, tmp_path: Path
) -> None:
    every = held_out_of_all(load())

    def named(*datasets: str) -> set[str]:
        covered = checked_coverage(tmp_path, settings.duplicates, every, datasets)
        assert set(covered["state"]) <= {"by name only", "not checked"}
        return set(covered.loc[covered["state"] == "by name only", "benchmark"])

    assert named("laparoscopy-a", "colonoscopy") == set(REGISTRY)
    assert {"cholec80", "cholect50"} <= named("cholect50")
    assert "autolaparo" not in named("cholect50")
    assert named("our-hospital") == set()
    assert named("laparoscopy-a", "our-hospital") == set()
    assert named() == set()


# ------------------------------------------------------------------ `unisurg leaks`


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """What a corpus has of the stage `leak`: one hit, of a procedure of two videos."""
    hit = {
        **{"a_id": "v1", "b_id": "cholec80/video41", "a_start_s": 2.0, "b_start_s": 5.0},
        **{"span_s": 30.0, "votes": 28, "mean_hamming": 3.5, "mirrored": True, "rule": "content"},
        **{"benchmark": "cholec80", "part": "test", "procedure_id": "p1"},
    }
    hits = pd.DataFrame([hit], columns=list(HIT_COLUMNS)).astype(HIT_COLUMNS)
    tables.put(tmp_path, "leak_hits", hits)
    (tmp_path / PROCEDURES).write_text("video_id,procedure_id\nv1,p1\nv2,p1\nv3,p3\n")
    header = "benchmark,state,cases,seconds,frames_per_s,missing,unsearchable,rendered"
    rows = ["avos,not checked,0,0,,,,False", "cholec80,checked,48,90000,4.0,,,False"]
    (tmp_path / COVERAGE).write_text("\n".join([header, *rows, ""]))
    return tmp_path


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("v1", "v1 from 2.0 s shows cholec80/video41 (test) from 5.0 s for 30 s, mirrored"),
        ("v2", "it shows procedure p1, as the recording of the hit does"),
        ("p1", "28 seconds agree, 3.5 of 64 bits differ; procedure p1 is removed"),
        ("cholec80", "cholec80: 1 hits"),
        ("cholec80/video41", "cholec80/video41: 1 hits"),
        ("cholec80/video42", "cholec80/video42: no hit"),
        ("cholec80/video01", "cholec80/video01: cholec80 validates and tests on no such case"),
        ("cholec80/vidoe41", "validates and tests on no such case"),
        ("avos", "avos: not checked, which is not clean"),
        ("avos/abc", "avos: not checked, which is not clean"),
        ("v3", "cholec80: checked, 48 cases, 90000 s at 4 frames a second"),
    ],
)
def test_any_case_is_explained_from_a_corpus_alone(
    told: Path, capsys: pytest.CaptureFixture[str], case: str, said: str
) -> None:
    assert main(["leaks", case, "--corpus", str(told)]) == 0
    assert said in capsys.readouterr().out


def test_without_a_case_every_benchmark_is_told_and_what_is_not_checked_is_called_so(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaks", "--corpus", str(told)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 2 benchmarks are checked by content"
    assert lines[1].startswith("  avos: not checked, which is not clean; no index is on record")
    assert lines[2].startswith("  cholec80: checked, 48 cases")


def test_a_name_that_nothing_has_is_an_error_and_not_a_case_without_a_hit(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaks", "v9", "--corpus", str(told)]) == 1
    assert "nothing is called 'v9'" in capsys.readouterr().err
