"""AutoLaparo, M2CAI16 and PitVis: each layout's traps are recognised and named."""

from __future__ import annotations

from pathlib import Path

import benchmark_copies as copies
import pytest

from unisurg.benchmarks import BenchmarkError
from unisurg.benchmarks.autolaparo import AUTOLAPARO
from unisurg.benchmarks.base import PARTS, Benchmark, Finding, Findings, VideoCase
from unisurg.benchmarks.m2cai16 import M2CAI16, PHASES
from unisurg.benchmarks.pitvis import CLASSES, PITVIS, STEPS


def read(benchmark: Benchmark, root: Path, split: str = "official") -> dict[str, VideoCase]:
    cases = benchmark.read(root, split)
    assert all(isinstance(case, VideoCase) for case in cases)
    return {case.case: case for case in cases if isinstance(case, VideoCase)}


def found(benchmark: Benchmark, root: Path, split: str = "official") -> list[Finding]:
    findings = Findings(root, strict=False)
    benchmark.audit(split, findings)
    return findings.found


def sizes(cases: dict[str, VideoCase]) -> list[int]:
    return [sum(case.split == part for case in cases.values()) for part in PARTS]


# --- AutoLaparo -------------------------------------------------------------------------------


def test_autolaparo_is_numbered_from_1_and_split_10_4_7(tmp_path: Path) -> None:
    cases = read(AUTOLAPARO, copies.autolaparo(tmp_path))
    assert sizes(cases) == [10, 4, 7]
    assert cases["01"].labels.tolist() == list(range(7))
    assert (cases["15"].split, cases["15"].fps, cases["15"].every_s) == ("test", 25, 1.0)
    assert found(AUTOLAPARO, tmp_path) == []


def test_autolaparo_may_be_given_as_its_task1_folder(tmp_path: Path) -> None:
    copies.autolaparo(tmp_path)
    assert len(read(AUTOLAPARO, tmp_path / "task1")) == 21


def test_a_copy_of_autolaparo_numbered_from_0_is_read_alike_and_named(tmp_path: Path) -> None:
    cases = read(AUTOLAPARO, copies.autolaparo(tmp_path, base=0, first=0))
    assert cases["21"].labels.tolist() == list(range(7))
    notes = [(finding.severity, finding.problem) for finding in found(AUTOLAPARO, tmp_path)]
    assert notes == [
        ("note", "phases are numbered 0-6, not 1-7 as the owners ship them"),
        ("note", "frames are counted from 0, not from 1"),
    ]


def test_a_copy_of_autolaparo_that_mixes_both_numberings_is_refused(tmp_path: Path) -> None:
    root = copies.autolaparo(tmp_path)
    copies.frame_phases(root / "task1/labels/label_03.txt", [1, 1, 0, 2], first=1, delimiter=" ")
    with pytest.raises(BenchmarkError, match=r"label_03\.txt:4: phase 0, but .*label_01\.txt:8"):
        AUTOLAPARO.read(root, "official")


def test_a_copy_of_autolaparo_that_shows_neither_end_is_not_guessed(tmp_path: Path) -> None:
    root = copies.autolaparo(tmp_path)
    for number in range(1, 22):
        copies.frame_phases(root / f"task1/labels/label_{number:02d}.txt", [1, 2, 6], first=1)
    with pytest.raises(BenchmarkError, match="neither phase 0 nor phase 7"):
        AUTOLAPARO.read(root, "official")


def test_files_of_autolaparo_that_count_frames_differently_are_named(tmp_path: Path) -> None:
    root = copies.autolaparo(tmp_path)
    copies.frame_phases(root / "task1/labels/label_02.txt", range(1, 8), first=0)
    with pytest.raises(BenchmarkError, match=r"label_02\.txt:2: begins with frame 0"):
        AUTOLAPARO.read(root, "official")


def test_a_check_of_autolaparo_tells_every_wrong_row(tmp_path: Path) -> None:
    root = copies.autolaparo(tmp_path)
    labels = root / "task1/labels"
    copies.text(labels / "label_04.txt", ["Frame Phase", "1 1", "3 2", "4 9", "5 7"])
    copies.text(labels / "label_05.txt", ["Frame Phase", "1 1 1", "", "2 7"])
    lines = {(f.path.name, f.line) for f in found(AUTOLAPARO, root) if f.severity == "error"}
    assert lines == {
        ("label_04.txt", 3),
        ("label_04.txt", 4),
        ("label_05.txt", 2),
        ("label_05.txt", 3),
    }


# --- M2CAI16 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_m2cai16_is_27_to_train_and_14_to_test_in_two_folders_or_one(
    flat: bool, tmp_path: Path
) -> None:
    cases = read(M2CAI16, copies.m2cai16(tmp_path, flat=flat))
    assert sizes(cases) == [22, 5, 14]
    assert M2CAI16.splits["official"].refit
    assert all(name.startswith("test_") == (c.split == "test") for name, c in cases.items())


def test_the_label_of_a_second_of_m2cai16_is_its_first_row(tmp_path: Path) -> None:
    root = copies.m2cai16(tmp_path)
    phases = [PHASES[0]] * 25 + [PHASES[2]] + [PHASES[7]] * 24 + [PHASES[5]]
    copies.frame_phases(root / "train_dataset/workflow_video_01.txt", phases, first=1)
    copies.frame_phases(root / "train_dataset/workflow_video_02.txt", phases, first=0)
    cases = read(M2CAI16, root)
    assert cases["workflow_video_01"].labels.tolist() == [0, 2, 5]
    assert cases["workflow_video_02"].labels.tolist() == [0, 2, 5]


def test_side_files_of_m2cai16_are_named_and_not_read(tmp_path: Path) -> None:
    root = copies.m2cai16(tmp_path)
    for name in ("workflow_video_01_timestamp.txt", "workflow_video_02_pred.txt"):
        copies.text(root / "train_dataset" / name, ["0 00:00:00.000"])
    (note,) = found(M2CAI16, root)
    assert note.severity == "note"
    assert "workflow_video_01_timestamp.txt, workflow_video_02_pred.txt" in note.problem


@pytest.mark.parametrize(("first", "line"), [(2, 2), (-1, 2)])
def test_frames_of_m2cai16_begin_with_0_or_1(first: int, line: int, tmp_path: Path) -> None:
    root = copies.m2cai16(tmp_path)
    path = copies.frame_phases(root / "test_dataset/test_workflow_video_03.txt", PHASES, first)
    with pytest.raises(BenchmarkError, match=rf"{path.name}:{line}: frame '{first}'"):
        M2CAI16.read(root, "official")


def test_a_misspelt_phase_of_m2cai16_is_named(tmp_path: Path) -> None:
    root = copies.m2cai16(tmp_path)
    path = root / "train_dataset/workflow_video_01.txt"
    copies.frame_phases(path, [PHASES[0], "Trocar Placement"])
    with pytest.raises(BenchmarkError, match=r"01\.txt:3: unknown phase 'Trocar Placement'"):
        M2CAI16.read(root, "official")


# --- PitVis -----------------------------------------------------------------------------------


def test_pitvis_ignores_steps_11_and_13_and_the_time_before_and_after(tmp_path: Path) -> None:
    cases = read(PITVIS, copies.pitvis(tmp_path))
    labels = cases["01"].labels.tolist()
    assert labels == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 10, -1, 11, -1]
    assert [CLASSES[label] for label in labels if label >= 0] == [
        name for step, name in STEPS.items() if step not in (11, 13)
    ]
    assert sizes(cases) == [16, 4, 5]
    assert found(PITVIS, tmp_path) == []


@pytest.mark.parametrize(
    ("split", "test"), [("official", [1, 12, 21, 24, 25]), ("surgmotion", [2, 6, 12, 13, 24])]
)
def test_the_two_test_lists_of_pitvis_are_kept_apart(
    split: str, test: list[int], tmp_path: Path
) -> None:
    cases = read(PITVIS, copies.pitvis(tmp_path), split)
    assert [int(name) for name, case in cases.items() if case.split == "test"] == test


def test_pitvis_can_be_read_without_the_labels_that_its_deposit_lacks(tmp_path: Path) -> None:
    root = copies.pitvis(tmp_path)
    (root / "annotations_19.csv").unlink()
    assert len(read(PITVIS, root)) == 24
    assert {f.severity for f in found(PITVIS, root)} == {"warning"}
    (root / "annotations_20.csv").unlink()
    with pytest.raises(BenchmarkError, match=r"video_20\.mp4: has no labels"):
        PITVIS.read(root, "official")


def test_video_24_of_pitvis_has_another_rate(tmp_path: Path) -> None:
    cases = read(PITVIS, copies.pitvis(tmp_path))
    assert {case.fps for name, case in cases.items() if name != "24"} == {24}
    assert cases["24"].fps == 25


@pytest.mark.parametrize(
    ("row", "line", "problem"),
    [
        ("7,1,1,16,-2", 3, "int_video is '7', the file's name says 3"),
        ("3,2,1,16,-2", 3, "int_time is '2' where 1 was expected"),
        ("3,1,15,16,-2", 3, "unknown int_step '15'"),
        ("3,1,0,16,-2", 3, "unknown int_step '0'"),
        ("3,1,nan,16,-2", 3, "unknown int_step 'nan'"),
        ("3,1,1,16", 3, "4 fields, expected 5"),
    ],
)
def test_a_bad_row_of_pitvis_is_named(row: str, line: int, problem: str, tmp_path: Path) -> None:
    root = copies.pitvis(tmp_path)
    path = root / "annotations_03.csv"
    header = path.read_text().splitlines()[0]
    copies.text(path, [header, "3,0,-1,-1,-2", row])
    with pytest.raises(BenchmarkError, match=problem) as caught:
        PITVIS.read(root, "official")
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_gap_in_pitvis_is_told_once_not_for_every_row_after_it(tmp_path: Path) -> None:
    root = copies.pitvis(tmp_path)
    path = root / "annotations_03.csv"
    lines = path.read_text().splitlines()
    copies.text(path, lines[:4] + lines[5:])
    assert [(f.line, f.problem) for f in found(PITVIS, root)] == [
        (5, "int_time is '4' where 3 was expected")
    ]


def test_pitvis_numbered_otherwise_is_refused_by_its_own_table(tmp_path: Path) -> None:
    root = copies.pitvis(tmp_path)
    table = (root / "map_steps.csv").read_text().replace("5,sellotomy", "5,durotomy")
    (root / "map_steps.csv").write_text(table)
    with pytest.raises(BenchmarkError, match=r"map_steps\.csv:9: step 5 is 'durotomy'"):
        PITVIS.read(root, "official")
