"""`unisurg leaks index`: what a benchmark holds out is hashed, once, and what is not is told."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corpus_scans import film, letterboxed, pan
from hash_tables import HASHES, SEARCH, VOTES, leaks

from unisurg.benchmarks import (
    REGISTRY,
    ClipCase,
    DepthCase,
    Findings,
    PictureCase,
    SkillCase,
    VideoCase,
)
from unisurg.benchmarks.base import Case, Split
from unisurg.cli import main
from unisurg.corpus import indexing
from unisurg.corpus.child import Limits
from unisurg.corpus.indexing import HeldOut, IndexingError, deciding, hashing, make_index
from unisurg.corpus.leak import coverage
from unisurg.corpus.leak_index import INDEX_COLUMNS, Account, read_accounts, read_indices
from unisurg.corpus.mapping import Processes
from unisurg.corpus.scan.scan import ScanKnobs, scan_video
from unisurg.settings import Settings
from unisurg.stages.leaks import held_out_of
from unisurg.synthetic import layouts

FPS = 5
LABELS = """video,start_s,end_s,label,split
a.mp4,0,9,open,train
b.mp4,0,9,open,val
c.mp4,0,9,close,test
torn.mp4,0,9,close,test
"""


def footage(seed: int, seconds: int = 16) -> list[np.ndarray]:
    return pan(seed, seconds * 25, every=25 // FPS)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of one's own, of which one test video is torn."""
    root = tmp_path_factory.mktemp("copy")
    for seed, name in enumerate("abc"):
        film(root / f"{name}.mp4", footage(seed), Fraction(FPS))
    whole = film(root / "torn.mp4", footage(9), Fraction(FPS))
    with whole.open("r+b") as file:  # its header can be read, its pictures cannot
        file.seek(whole.stat().st_size // 5)
        file.write(bytes(whole.stat().st_size))
    (root / "labels.csv").write_text(LABELS)
    return root


@pytest.fixture(scope="module")
def knobs(settings: Settings) -> ScanKnobs:
    return hashing(ScanKnobs(fps=1.0, **dict(settings.scan)))


def recordings(copy: Path) -> list[HeldOut]:
    return [
        HeldOut("b", "val", (copy / "b.mp4",), None),
        HeldOut("c", "test", (copy / "c.mp4",), None),
    ]


def account(knobs: ScanKnobs) -> Account:
    return Account("ours", ("column",), {}, False, deciding(knobs))


def made(copy: Path, held: list[HeldOut], knobs: ScanKnobs, scratch: Path):
    limits = Limits(timeout_s=60, memory_mib=4096)
    return make_index("ours", held, account(knobs), knobs, limits, scratch, Processes(1))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def index(copy: Path, knobs: ScanKnobs, scratch: Path) -> pd.DataFrame:
    found, said = made(copy, recordings(copy), knobs, scratch)
    assert said.unread == {}
    return found


# ------------------------------------------------------------------ the verb


def test_the_verb_hashes_val_and_test_and_names_what_it_could_not_read(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = (Path(__file__).resolve().parent.parent / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params)
    monkeypatch.chdir(tmp_path)
    command = ["leaks", "index", "ours", "--root", str(copy), "--split", "column"]
    assert main([*command, "--output", "indices"]) == 0
    index = read_indices(tmp_path / "indices")
    assert dict(zip(index["video_id"], index["part"], strict=True)) == {
        "ours/b": "val",
        "ours/c": "test",
    }
    [said] = read_accounts(tmp_path / "indices")
    assert set(said.unread) == {"torn"}
    assert said.knobs == {"fps": 4.0, "box_samples": 24, "box_std": 1.5}
    printed = capsys.readouterr().out
    assert (
        "ours: partly checked, 2 cases, 34 s at 3.99 frames a second; missing: 1 (ours/torn)"
        in (printed)
    )
    assert "not read: torn: " in printed
    before = (tmp_path / "indices" / "ours.parquet").read_bytes()
    assert main([*command, "--output", "again"]) == 0
    assert (tmp_path / "again" / "ours.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "words", [["index"], ["cholec80", "avos"], ["cholec80", "--root", "x"], ["--split", "official"]]
)
def test_words_that_say_nothing_together_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["leaks", *words])


def test_a_benchmark_without_a_block_and_a_root_is_an_error_with_a_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["leaks", "index", "ours"]) == 1
    assert "name the copy with --root" in capsys.readouterr().err


# ------------------------------------------------------------------ what an index is


def test_an_index_holds_hashes_and_times_four_a_second_and_no_pixel(index: pd.DataFrame) -> None:
    assert list(index.columns) == list(INDEX_COLUMNS)
    steps = index.groupby("video_id")["pts_s"].diff().dropna()
    assert steps.between(0.19, 0.41).all()
    assert index.groupby("video_id").size().tolist() == [64, 64]
    assert {str(index[name].dtype) for name in HASHES} == {"uint64"}


def test_a_copy_at_one_frame_a_second_from_between_is_found_and_the_rest_is_not(
    index: pd.DataFrame, knobs: ScanKnobs, tmp_path: Path
) -> None:
    shown = letterboxed(footage(2)[2:], bar=20)  # 0.4 s later, with bars
    limits = Limits(timeout_s=60, memory_mib=4096)
    rows = []
    for name, frames in (("film", shown), ("other", footage(7))):
        path = film(tmp_path / f"{name}.mp4", frames, Fraction(FPS), crf=30)
        rows.append(scan_video(path, replace(knobs, fps=1.0), limits).frames(name))
    corpus = pd.concat(rows, ignore_index=True)
    videos = pd.DataFrame(
        {"video_id": ["film", "other"], "dataset": "own", "video": "", "procedure_id": ["p", "q"]}
    )
    hits = leaks(corpus, videos, index, lambda *_: [], SEARCH, VOTES)
    assert hits[["a_id", "b_id", "rule", "part"]].to_numpy().tolist() == [
        ["film", "ours/c", "content", "test"]
    ]
    assert abs(hits["b_start_s"][0] - hits["a_start_s"][0] - 0.4) <= 0.5


def test_the_same_recordings_in_another_order_give_the_same_index(
    index: pd.DataFrame, copy: Path, knobs: ScanKnobs, scratch: Path
) -> None:
    again, _ = made(copy, recordings(copy)[::-1], knobs, scratch)
    pd.testing.assert_frame_equal(again, index)


def test_a_case_that_is_there_with_the_same_content_is_not_read_again(
    index: pd.DataFrame, copy: Path, knobs: ScanKnobs, scratch: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "other.mp4"
    renamed.write_bytes((copy / "c.mp4").read_bytes())
    parts = sorted((scratch / indexing.FOLDER).iterdir())
    made(copy, [*recordings(copy), HeldOut("d", "test", (renamed,), None)], knobs, scratch)
    assert sorted((scratch / indexing.FOLDER).iterdir()) == parts
    new = HeldOut("e", "test", (copy / "a.mp4",), None)
    found, _ = made(copy, [*recordings(copy), new], knobs, scratch)
    assert len(sorted((scratch / indexing.FOLDER).iterdir())) == len(parts) + 2  # it and its mark
    pd.testing.assert_frame_equal(found[found["video_id"] != "ours/e"], index)


def test_pictures_are_hashed_once_each_at_their_own_rate(
    index: pd.DataFrame, knobs: ScanKnobs, scratch: Path, tmp_path: Path
) -> None:
    from PIL import Image

    files = tuple(tmp_path / f"{number:03d}.png" for number in range(8))
    for file, frame in zip(files, pan(3, 200, every=25), strict=True):
        Image.fromarray(frame).save(file)
    held = [
        HeldOut("sequence", "test", files, 1.0),
        HeldOut("single", "val", files[:1], 1.0),
        HeldOut("text", "test", (tmp_path / "text.png",), 1.0),
    ]
    (tmp_path / "text.png").write_text("no picture")
    found, said = made(tmp_path, held, knobs, scratch)
    times = found[found["video_id"] == "ours/sequence"]["pts_s"]
    assert times.tolist() == [float(k) for k in range(8)]
    assert (found["video_id"] == "ours/single").sum() == 1
    assert set(said.unread) == {"text"}
    assert str(tmp_path) not in said.unread["text"]
    [row] = coverage({}, found, SEARCH, VOTES, [said]).to_dict("records")
    assert (row["state"], row["missing"], row["unsearchable"]) == (
        "partly checked",
        "ours/text",
        "ours/single",
    )


def test_where_nothing_can_be_read_there_is_no_index(
    copy: Path, knobs: ScanKnobs, tmp_path: Path
) -> None:
    gone = [HeldOut("x", "test", (tmp_path / "x.mp4",), None)]
    with pytest.raises(IndexingError, match=r"no validation or test case can be read \(x: "):
        made(copy, gone, knobs, tmp_path)


# ------------------------------------------------------------------ an account of what is not there


def test_an_index_that_accounts_for_all_its_cases_is_checked_and_one_that_lacks_some_is_not(
    index: pd.DataFrame, knobs: ScanKnobs
) -> None:
    whole = account(knobs)

    def state(said: Account, expected: dict[str, list[str]]) -> str:
        [row] = coverage(expected, index, SEARCH, VOTES, [said]).to_dict("records")
        return str(row["state"])

    assert state(whole, {"ours": []}) == "checked"
    assert state(whole, {"ours": ["b", "c"]}) == "checked"
    assert state(whole, {"ours": ["b", "c", "d"]}) == "partly checked"
    lacks = replace(whole, unread={"labels.csv:7": "no such video"})
    assert state(lacks, {"ours": []}) == "partly checked"
    assert state(lacks, {"ours": ["b", "c"]}) == "partly checked"
    assert state(replace(whole, rendered=True), {"ours": ["b", "c"]}) == "partly checked"


def cases(root: Path) -> list[Case]:
    """One of each kind, and a training case of each."""
    video, rate = root / "video.mp4", {"fps": 2.0}
    labels, none = np.zeros(3, np.int64), ((), 0, np.zeros(0, np.int64), 30.0, 1.0)
    (root / "folder").mkdir()
    for number in (2, 0, 1):
        (root / "folder" / f"{number}.png").touch()
    frames = (root / "1.png", root / "2.png")
    camera: dict[str, float] = {}
    found: list[Case] = []
    for part, mark in (("train", "t"), ("val", "v"), ("test", "x")):
        found += [
            VideoCase(f"{mark}-video", video, part, labels, 25.0),
            VideoCase(f"{mark}-folder", root / "folder", part, labels, **rate),
            ClipCase(f"{mark}-clip", video, part, 0, None, None, "film"),
            ClipCase(f"{mark}-cut-1", video, part, 0, 0.0, 2.0, f"{mark}-film"),
            ClipCase(f"{mark}-cut-2", video, part, 0, 5.0, 7.0, f"{mark}-film"),
            SkillCase(
                f"{mark}-trial",
                "",
                (root / f"{mark}1.avi", root / f"{mark}2.avi"),
                part,
                0,
                *none,
                "",
            ),
            PictureCase(f"{mark}-picture", root / "1.png", root / "mask.png", part, (4, 4)),
            DepthCase(f"{mark}-depth", frames, frames, part, (4, 4), camera, ""),
        ]
    return found


def test_of_every_kind_of_case_what_is_validated_or_tested_on_is_found(tmp_path: Path) -> None:
    every = cases(tmp_path)
    bench = replace(REGISTRY["ophnet"], reader=lambda root, split, findings: every)
    held, unread = held_out_of(bench, tmp_path, ["official"], 1.0)
    assert unread == {}
    names = ("video", "folder", "clip", "film", "picture", "depth")
    wanted = {f"{mark}-{name}" for mark in "vx" for name in names} | {"v1", "v2", "x1", "x2"}
    assert {one.case for one in held} == wanted
    of = {one.case: one for one in held}
    assert [file.name for file in of["x-folder"].files] == ["0.png", "1.png", "2.png"]
    rates = {name: of[f"v-{name}"].picture_fps for name in names}
    assert rates == {
        **dict.fromkeys(("video", "clip", "film"), None),
        **{"folder": 2.0, "picture": 1.0, "depth": 1.0},
    }
    assert {one.part for one in held if one.case.startswith("x")} == {"test"}


def test_what_one_split_tests_on_and_another_validates_on_is_tested_on(tmp_path: Path) -> None:
    def read(root: Path, split: Split, findings: Findings) -> list[Case]:
        part = "test" if split is REGISTRY["avos"].splits["by-video"] else "val"
        return [ClipCase("a", root / "a.mp4", part, 0, None, None, "a")]

    bench = replace(REGISTRY["avos"], reader=read)
    for splits in (["by-video", "leaky-by-clip"], ["leaky-by-clip", "by-video"]):
        [held], _ = held_out_of(bench, tmp_path, splits, 1.0)
        assert held.part == "test"


def test_what_a_copy_lacks_is_told_by_case_or_place_unless_nobody_is_tested_on_it(
    tmp_path: Path,
) -> None:
    def read(root: Path, split: Split, findings: Findings) -> list[Case]:
        findings.missing += ["video01", "video41"]
        findings.error(root, "2 of the split's cases are missing", "complete the copy")
        findings.error(root / "labels" / "b.txt", f"no row; {root}/labels/a.txt has", "mend it", 7)
        return []

    for name, wanted in (
        ("cholec80", {"video41": "missing", "labels/b.txt:7": "no row; labels/a.txt has"}),
        (
            "ophnet",
            {
                "video01": "missing",
                "video41": "missing",
                ".": "2 of the split's cases are missing",
                "labels/b.txt:7": "no row; labels/a.txt has",
            },
        ),
    ):
        bench = replace(REGISTRY[name], reader=read)
        assert held_out_of(bench, tmp_path, ["official"], 1.0) == ([], wanted)


def test_splits_that_were_left_out_are_named_and_no_check(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(root: Path, split: Split, findings: Findings) -> list[Case]:
        return [ClipCase("a", copy / "b.mp4", "test", 0, None, None, "a")]

    avos = replace(REGISTRY["avos"], reader=read)
    monkeypatch.setattr("unisurg.stages.leaks.find", lambda name, root: avos)
    params = Path(__file__).resolve().parent.parent / "params.yaml"
    monkeypatch.chdir(tmp_path)
    command = ["leaks", "index", "avos", "--root", str(copy), "--params", str(params)]
    assert main([*command, "--output", "all"]) == 0
    assert "avos: checked, 1 cases" in capsys.readouterr().out
    assert main([*command, "--output", "one", "--split", "by-video"]) == 0
    said = capsys.readouterr().out
    assert "avos: partly checked, 1 cases" in said
    assert "not read: split:leaky-by-clip: left out" in said


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_layout_of_the_embedded_theatre_is_found_whole(
    settings: Settings, tmp_path: Path
) -> None:
    sizes = {"phase_videos": 6, "small_videos": 8, "small_seconds": 8, "side_px": 64}
    layouts.write(tmp_path, settings.theatre.model_copy(update=sizes), 0)
    for name, benchmark in REGISTRY.items():
        split = settings.benchmarks[name].split
        root = tmp_path / layouts.ALIASES.get(name, name)
        held, unread = held_out_of(benchmark, root, [split], 1.0)
        assert held, name
        assert unread == {}, name
        assert all(file.is_file() for one in held for file in one.files), name


def test_an_account_is_written_with_all_of_its_fields(
    index: pd.DataFrame, knobs: ScanKnobs, tmp_path: Path
) -> None:
    from unisurg.corpus.leak_index import write_index

    said = replace(account(knobs), unread={"x": "missing"}, rendered=True)
    write_index(index, tmp_path / "ours.parquet", said)
    write_index(index.assign(benchmark="b", video_id="b/x"), tmp_path / "b.parquet")
    assert read_accounts(tmp_path) == [said]
    assert {field.name for field in fields(Account)} == {
        *("benchmark", "splits", "unread", "rendered", "knobs")
    }
