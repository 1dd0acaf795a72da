"""A user's own videos and labels.csv are a benchmark without a line of code."""

from __future__ import annotations

from pathlib import Path

import benchmark_copies as copies
import pytest

from unisurg import benchmarks
from unisurg.benchmarks import BenchmarkError, VideoCase
from unisurg.benchmarks.base import Finding, Findings
from unisurg.benchmarks.check import check
from unisurg.benchmarks.own import own

SPANS = [
    "videos/a.mp4,0,2,open,train",
    "videos/a.mp4,2,4,close,train",
    "videos/b.mp4,1,3.5,close,val",
    "c.mp4,0,4,look,test",
]
SECONDS = "video,second,label,split"


def read(root: Path, split: str = "column") -> dict[str, VideoCase]:
    cases = benchmarks.find("mine", root).read(root, split)
    assert all(isinstance(case, VideoCase) for case in cases)
    return {case.case: case for case in cases if isinstance(case, VideoCase)}


def found(root: Path) -> list[Finding]:
    findings = Findings(root, strict=False)
    own("mine", root).audit("column", findings)
    return findings.found


def test_spans_become_labels_per_second_and_gaps_are_ignored_and_counted(tmp_path: Path) -> None:
    cases = read(copies.own(tmp_path, SPANS))
    assert {name: case.labels.tolist() for name, case in cases.items()} == {
        "videos-a": [0, 0, 1, 1],
        "videos-b": [-1, 1, 1, 1],
        "c": [2, 2, 2, 2],
    }
    assert [case.split for case in cases.values()] == ["test", "train", "val"]
    assert (cases["c"].video, cases["c"].fps) == (tmp_path / "c.mp4", 5)
    (note,) = found(tmp_path)
    assert (note.severity, note.problem) == (
        "note",
        "1 of the 4 seconds of videos/b.mp4 have no label",
    )


def test_rows_per_second_are_the_same_as_spans(tmp_path: Path) -> None:
    spans = copies.own(tmp_path / "spans", SPANS)
    rows = [f"videos/a.mp4,{i},{'open' if i < 2 else 'close'},train" for i in range(4)]
    rows += [f"videos/b.mp4,{i},close,val" for i in (1, 2, 3)]
    rows += [f"c.mp4,{i},look,test" for i in range(4)]
    seconds = copies.own(tmp_path / "seconds", rows, SECONDS)
    assert {n: c.labels.tolist() for n, c in read(spans).items()} == {
        n: c.labels.tolist() for n, c in read(seconds).items()
    }


def test_classes_come_in_order_of_appearance_unless_they_are_given(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    assert own("mine", root).classes == ("open", "close", "look")
    copies.text(root / "classes.txt", ["look", "close", "open", "pause"], end="\r\n")
    assert own("mine", root).classes == ("look", "close", "open", "pause")
    assert read(root)["c"].labels.tolist() == [0, 0, 0, 0]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    plain = read(root)["videos-a"].labels.tolist()
    header = "video,start_s,end_s,label,split"
    copies.text(root / "labels.csv", [header, *SPANS], end="\r\n", start="\ufeff")
    assert read(root)["videos-a"].labels.tolist() == plain


def test_videos_of_one_group_must_be_in_one_part(tmp_path: Path) -> None:
    header = "video,start_s,end_s,label,split,group"
    rows = ["a.mp4,0,4,x,train,p1", "b.mp4,0,4,x,train,p1", "c.mp4,0,4,x,val,p2"]
    root = copies.own(tmp_path, [*rows, "d.mp4,0,4,x,test,p3"], header)
    assert {case.group for case in read(root).values()} == {"p1", "p2", "p3"}
    copies.own(root, [*rows, "d.mp4,0,4,x,test,p1"], header)
    with pytest.raises(BenchmarkError, match="p1 is in train and in test"):
        read(root)


def test_a_part_without_a_video_is_an_error_that_is_told_once(tmp_path: Path) -> None:
    root = copies.own(tmp_path, ["a.mp4,0,4,x,train", "b.mp4,0,4,x,test"])
    with pytest.raises(BenchmarkError, match="no case is in val"):
        read(root)
    told = [f.problem for f in check(own("mine", root), root, "column").findings.found]
    assert told.count("no case is in val") == 1


def test_a_video_without_a_part_is_left_out_and_told(tmp_path: Path) -> None:
    root = copies.own(tmp_path, [*SPANS, "d.mp4,0,4,open,"])
    assert "d" not in read(root)
    assert check(own("mine", root), root, "column").as_dict()["extra"] == ["d"]


def test_validation_can_come_from_train_and_the_column_can_be_left_unread(tmp_path: Path) -> None:
    rows = [f"v{i}.mp4,0,4,x,{'train' if i < 5 else 'test'}" for i in range(10)]
    root = copies.own(tmp_path, rows)
    parts = {name: case.split for name, case in read(root, "column-train-test").items()}
    assert list(parts.values()) == ["train"] * 4 + ["val"] + ["test"] * 5
    shares = [case.split for case in read(root, "shares").values()]
    assert shares == ["train"] * 6 + ["val"] * 2 + ["test"] * 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("c.mp4,3,5,open,test", "c.mp4 from 3 to 5 s overlaps line 5 (0 to 4 s)"),
        ("c.mp4,4,40,open,test", "c.mp4 is labelled up to 40 s, but lasts 4.0 s"),
        ("c.mp4,5,4,open,test", "from '5' to '4'"),
        ("c.mp4,-1,0,open,test", "from '-1' to '0'"),
        ("c.mp4,nan,4,open,test", "from 'nan' to '4'"),
        ("c.mp4,0:01,4,open,test", "from '0:01' to '4'"),
        ("c.mp4,4,4.5,,test", "an empty label"),
        ("c.mp4,4,4.5,open,dev", "split is 'dev'"),
        ("c.mp4,4,4.5,open,train", "c.mp4 is in train, group c, but line 5 has"),
        ("videos/a.avi,0,4,open,train", "videos/a.avi is in train, group videos-a, but line 2"),
        ("gone.mp4,0,4,open,test", "no video 'gone.mp4' in the folder"),
        ("../a.mp4,0,4,open,test", "video '../a.mp4' lies outside the folder"),
        ("c.mp4,4,open,test", "4 fields, expected 5"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row: str, problem: str, tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    with (root / "labels.csv").open("a") as table:
        table.write(row + "\n")
    lines = [f.line for f in found(root) if f.severity == "error" and problem in f.problem]
    assert lines == [6]
    with pytest.raises(BenchmarkError, match=r"labels\.csv:6: "):
        read(root)


def test_a_second_that_is_labelled_twice_is_an_error(tmp_path: Path) -> None:
    rows = ["a.mp4,0,x,train", "a.mp4,1,x,train", "a.mp4,1,y,train", "a.mp4,2.5,x,train"]
    problems = {f.line: f.problem for f in found(copies.own(tmp_path, rows, SECONDS))}
    assert problems[4] == "a.mp4 from 1 to 2 s overlaps line 3 (1 to 2 s)"
    assert problems[5] == "second is '2.5'"


def test_a_span_between_two_seconds_labels_nothing_and_is_told(tmp_path: Path) -> None:
    root = copies.own(tmp_path, ["a.mp4,0,1,x,train", "a.mp4,2.2,2.8,y,train"])
    warnings = [f for f in found(root) if f.severity == "warning"]
    assert [(f.line, f.problem) for f in warnings] == [
        (3, "a.mp4 from 2.2 to 2.8 s holds no whole second")
    ]


def test_a_label_that_is_not_among_the_given_classes_is_told_once(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    copies.text(root / "classes.txt", ["open", "look"])
    errors = [f for f in found(root) if f.severity == "error"]
    assert [(f.line, f.problem) for f in errors] == [(3, "unknown label 'close'")]


def test_given_classes_are_each_named_once(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    copies.text(root / "classes.txt", ["open", "close", "", "look", "open"])
    errors = {f.line: f.problem for f in found(root) if f.severity == "error"}
    assert errors == {3: "an empty line", 5: "class 'open' twice"}


def test_a_damaged_video_is_named(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS)
    (root / "c.mp4").write_bytes(b"no video")
    with pytest.raises(BenchmarkError, match=r"c\.mp4: cannot be read"):
        read(root)


def test_another_header_is_told_what_it_must_be(tmp_path: Path) -> None:
    root = copies.own(tmp_path, SPANS, header="file,start,end,label,split")
    with pytest.raises(BenchmarkError, match=r"video,start_s,end_s,label,split"):
        own("mine", root)


def test_a_name_that_is_neither_a_benchmark_nor_a_folder_of_labels_is_an_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(KeyError, match="no benchmark 'mine'"):
        benchmarks.find("mine", tmp_path)


@pytest.mark.realdata
def test_real_recordings_are_labelled_by_a_table_alone(real_data: Path, tmp_path: Path) -> None:
    names = [
        "autolaparo-web/Up-1_2.mp4",
        "autolaparo-web/Zoomin_2.mp4",
        "rvimlab-endoscopy/endo.mp4",
    ]
    for name in names:
        (tmp_path / Path(name).name).symlink_to(real_data / name)
    parts = ("train", "val", "test")
    rows = [f"{Path(n).name},0,10,seen,{part}" for n, part in zip(names, parts, strict=True)]
    copies.text(tmp_path / "labels.csv", ["video,start_s,end_s,label,split", *rows])
    result = check(own("mine", tmp_path), tmp_path, "column")
    assert result.findings.found == []
    assert dict(result.fps) == {25.0: 3}
    assert all(result.labels[part] == {"seen": 10} for part in parts)
