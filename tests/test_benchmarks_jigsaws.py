"""JIGSAWS: trials with both cameras, meta files as the owners typed them, gestures in rows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import benchmark_copies as copies
import numpy as np
import pytest

from unisurg.benchmarks import BenchmarkError, SkillCase
from unisurg.benchmarks.base import PARTS, Case, Findings, NamedSplit
from unisurg.benchmarks.check import check
from unisurg.benchmarks.jigsaws import JIGSAWS, SPLITS, SURGEONS, TASKS, TRIALS, surgeon

# Of every trial below: an expert's 3 + 4 + 3 + 4 + 3 + 3.
ROW = "{name}\t\tE\t20\t\t3\t4\t3\t4\t3\t3"
GESTURES = ("10 24 G1", "25 40 G5")
ROWS = 60


def trial(folder: Path, name: str, gestures: Sequence[str] = GESTURES, rows: int = ROWS) -> None:
    """The files of one trial, but for its row in the meta file."""
    copies.text(folder / f"transcriptions/{name}.txt", [line + " " for line in gestures], "\r\n")
    copies.text(folder / f"kinematics/AllGestures/{name}.txt", ["0.1 0.2"] * rows)
    for camera in (1, 2):
        copies.empty(folder / f"video/{name}_capture{camera}.avi")


def copy(root: Path, names: Sequence[str] = TRIALS) -> Path:
    """The trials of each task, and a meta file with the owners' tabs and Windows line ends."""
    for task in TASKS:
        own = [name for name in names if name.startswith(task)]
        rows = [ROW.format(name=name) for name in own]
        copies.text(root / task / f"meta_file_{task}.txt", [*rows, ""], end="\r\n")
        for name in own:
            trial(root / task, name)
    return root


def meta(root: Path, rows: Sequence[str]) -> Path:
    return copies.text(root / "Suturing/meta_file_Suturing.txt", rows, end="\r\n")


def suturing(letters: str = "BCDE") -> list[str]:
    return [name for name in TRIALS if name.startswith("Suturing") and surgeon(name) in letters]


def first(root: Path) -> SkillCase:
    cases = {case.case: case for case in JIGSAWS.audit("theatre", Findings(root, strict=False))}
    case = cases["Suturing_B001"]
    assert isinstance(case, SkillCase)
    return case


def strict_error(root: Path, split: str = "theatre") -> str:
    with pytest.raises(BenchmarkError) as caught:
        JIGSAWS.read(root, split)
    return str(caught.value)


def all_findings(root: Path) -> list[tuple[str, str, int | None, str]]:
    findings = Findings(root, strict=False)
    JIGSAWS.audit("theatre", findings)
    return [(f.severity, f.path.name, f.line, f.problem) for f in findings.found]


def by_part(cases: list[Case]) -> dict[str, list[str]]:
    return {part: [case.case for case in cases if case.split == part] for part in PARTS}


# --- cases --------------------------------------------------------------------------------------


def test_a_trial_is_one_case_with_both_cameras_its_rating_and_its_level(tmp_path: Path) -> None:
    case = first(copy(tmp_path))
    names = [video.name for video in case.videos]
    assert names == ["Suturing_B001_capture1.avi", "Suturing_B001_capture2.avi"]
    assert (case.task, case.group) == ("Suturing", "Suturing_B001")
    assert (case.rating, case.elements, case.level) == (20, (3, 4, 3, 4, 3, 3), 2)


def test_gestures_count_rows_from_1_and_belong_to_both_their_ends(tmp_path: Path) -> None:
    gestures = first(copy(tmp_path)).gestures
    assert gestures.shape == (ROWS,)
    assert np.flatnonzero(gestures == 0).tolist() == list(range(9, 24))
    assert np.flatnonzero(gestures == 4).tolist() == list(range(24, 40))
    assert (gestures == -1).sum() == 60 - 31


def test_the_release_has_39_28_and_36_trials_and_a_check_finds_them_complete(
    tmp_path: Path,
) -> None:
    assert [sum(name.startswith(task) for name in TRIALS) for task in TASKS] == [39, 28, 36]
    root = copy(tmp_path / "data")
    film = copies.film(tmp_path / "film.avi", seconds=2, fps=30)
    for video in sorted(root.glob("*/video/*.avi")):
        shutil.copy(film, video)
    facts = check(JIGSAWS, root, "louo-B").as_dict()
    assert facts["usable"], facts["findings"]
    assert facts["cases"] == {"train": 75, "val": 15, "test": 13}
    assert facts["labels"]["test"] == {"novice": 0, "intermediate": 0, "expert": 13}
    assert facts["fps"] == {"30": 206}
    assert not [found for found in facts["findings"] if found["severity"] != "note"]


def test_a_video_that_ends_before_its_gestures_is_an_error_and_one_that_goes_on_is_not(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path, suturing("BCDEF"))
    for video in sorted(root.glob("Suturing/video/*.avi")):
        copies.film(video, seconds=10, fps=30)
    cut = root / "Suturing/video/Suturing_C001_capture2.avi"
    trial(root / "Suturing", "Suturing_C001", ["1 200 G1"], rows=200)
    copies.film(root / "Suturing/video/Suturing_C001_capture1.avi", seconds=10, fps=30)
    copies.film(cut, seconds=1, fps=30)
    told = [f for f in check(JIGSAWS, root, "theatre").findings.found if f.path.suffix == ".avi"]
    assert [(f.severity, f.path, f.problem) for f in told] == [
        ("error", cut, "lasts 1 s but has labels for 7 s")
    ]


# --- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", SURGEONS)
def test_leaving_a_user_out_leaves_all_trials_of_that_surgeon_out(letter: str) -> None:
    rule = SPLITS[f"louo-{letter}"]
    assert isinstance(rule, NamedSplit)
    assert {surgeon(name) for name in rule.test} == {letter}
    assert not {surgeon(name) for name in rule.test} & {surgeon(n) for n in rule.train + rule.val}
    assert sorted(rule.train + rule.val + rule.test) == sorted(TRIALS)


@pytest.mark.parametrize("number", range(1, 6))
def test_leaving_a_super_trial_out_leaves_that_trial_of_every_surgeon_out(number: int) -> None:
    rule = SPLITS[f"loso-{number}"]
    assert isinstance(rule, NamedSplit)
    assert {name[-3:] for name in rule.test} == {f"00{number}"}
    assert f"00{number}" not in {name[-3:] for name in rule.train + rule.val}
    assert sorted(rule.train + rule.val + rule.test) == sorted(TRIALS)


def test_every_trial_is_tested_once_in_each_official_scheme() -> None:
    for scheme in ("louo-", "loso-"):
        rules = [rule for name, rule in SPLITS.items() if name.startswith(scheme)]
        tested = [name for rule in rules if isinstance(rule, NamedSplit) for name in rule.test]
        assert sorted(tested) == sorted(TRIALS)


def test_the_theatres_split_is_by_surgeon_over_all_tasks(tmp_path: Path) -> None:
    parts = by_part(JIGSAWS.read(copy(tmp_path), "theatre"))
    surgeons = {part: {surgeon(name) for name in names} for part, names in parts.items()}
    assert surgeons == {"train": set("BCDE"), "val": {"F"}, "test": set("GHI")}
    assert sum(map(len, parts.values())) == len(TRIALS)


def test_an_official_split_asks_for_every_trial_of_the_release(tmp_path: Path) -> None:
    root = copy(tmp_path, TRIALS[1:])
    error = strict_error(root, "louo-B")
    assert "1 of the split's 103 cases are missing: Suturing_B001" in error


# --- traps --------------------------------------------------------------------------------------


def test_a_trial_that_the_owners_do_not_rate_is_left_out_with_a_note(tmp_path: Path) -> None:
    root = copy(tmp_path, suturing("BCDEH"))
    trial(root / "Suturing", "Suturing_H002")
    told = all_findings(root)
    assert ("note", "video", None, "Suturing_H002 has no ratings") in told
    names = [case.case for case in JIGSAWS.audit("theatre", Findings(root, strict=False))]
    assert "Suturing_H002" not in names
    assert "Suturing_H003" in names


def test_a_trial_of_the_release_without_a_row_or_without_a_camera_is_an_error(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    rows = [ROW.format(name=name) for name in TRIALS if name.startswith("Suturing")]
    meta(root, rows[1:])
    assert "Suturing_B001 has no row in the meta file" in strict_error(root)
    meta(root, rows)
    (root / "Suturing/video/Suturing_C002_capture2.avi").unlink()
    assert "no Suturing_C002_capture2.avi; restore the videos" in strict_error(root)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (ROW.format(name="Knot_Tying_B001"), "'Knot_Tying_B001' is no trial of Suturing"),
        (ROW.format(name="Suturing_J001"), "'Suturing_J001' is no trial"),
        ("Suturing_C001\t\tE\t20\t\t3\t4\t3\t4\t3", "8 columns, expected 9"),
        ("Suturing_C001\t\tX\t20\t\t3\t4\t3\t4\t3\t3", "unknown level 'X'"),
        ("Suturing_C001\t\tE\t31\t\t3\t4\t3\t4\t3\t3", "a rating of 31"),
        ("Suturing_C001\t\tE\t20\t\t3\t4\t3\t4\t3\t6", "elements 3, 4, 3, 4, 3, 6"),
        (ROW.format(name="Suturing_B001"), "a second row of Suturing_B001"),
    ],
)
def test_a_bad_row_of_a_meta_file_is_told_by_its_line(
    row: str, problem: str, tmp_path: Path
) -> None:
    root = copy(tmp_path)
    path = meta(root, [ROW.format(name="Suturing_B001"), "", row])
    error = strict_error(root)
    assert error.startswith(f"{path}:3: ")
    assert problem in error


def test_a_rating_that_is_not_the_sum_of_its_elements_is_taken_with_a_warning(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path, suturing())
    rows = [ROW.format(name=name) for name in suturing()]
    meta(root, [rows[0].replace("\t20\t", "\t21\t"), *rows[1:]])
    told = ("warning", "meta_file_Suturing.txt", 1, "the rating is 21, its elements sum to 20")
    assert told in all_findings(root)
    assert first(root).rating == 21


def test_a_gesture_that_ends_behind_the_last_row_is_cut_to_it(tmp_path: Path) -> None:
    root = copy(tmp_path, suturing())
    trial(root / "Suturing", "Suturing_B001", gestures=["10 24 G1", "25 64 G5"])
    assert first(root).gestures.shape == (ROWS,)
    assert first(root).gestures[24:].tolist() == [4] * 36
    told = (
        "note",
        "Suturing_B001.txt",
        None,
        "a gesture ends 4 rows after the 60 of the kinematics",
    )
    assert told in all_findings(root)


def test_a_gesture_that_ends_far_behind_the_last_row_is_of_another_trial(tmp_path: Path) -> None:
    root = copy(tmp_path)
    trial(root / "Suturing", "Suturing_B001", gestures=["10 400 G1"])
    assert "a gesture ends at row 400, but the kinematics have 60 rows" in strict_error(root)


@pytest.mark.parametrize(
    ("gestures", "line", "problem"),
    [
        (["10 24 G1", "25 40"], 2, "is not START END GESTURE"),
        (["10 24 G16"], 1, "unknown gesture 'G16'"),
        (["10 24 G1", "24 40 G5"], 2, "rows 24 to 40 do not follow"),
        (["0 24 G1"], 1, "rows 0 to 24 do not follow"),
        (["24 10 G1"], 1, "rows 24 to 10 do not follow"),
    ],
)
def test_a_bad_row_of_a_transcription_is_told_by_its_line(
    gestures: list[str], line: int, problem: str, tmp_path: Path
) -> None:
    root = copy(tmp_path)
    trial(root / "Suturing", "Suturing_B001", gestures=gestures)
    error = strict_error(root)
    assert error.startswith(f"{root / 'Suturing/transcriptions/Suturing_B001.txt'}:{line}: ")
    assert problem in error


def test_a_trial_that_nobody_transcribed_is_rated_all_the_same(tmp_path: Path) -> None:
    root = copy(tmp_path, suturing())
    (root / "Suturing/transcriptions/Suturing_B001.txt").unlink()
    assert first(root).gestures.shape == (0,)
    assert first(root).rating == 20
    assert ("warning", "Suturing_B001.txt", None, "missing") in all_findings(root)


def test_without_kinematics_gestures_end_with_the_last_one(tmp_path: Path) -> None:
    root = copy(tmp_path)
    shutil.rmtree(root / "Suturing/kinematics")
    assert first(root).gestures.shape == (40,)


def test_a_task_that_was_unpacked_into_a_folder_of_its_name_is_found(tmp_path: Path) -> None:
    plain, nested = copy(tmp_path / "plain"), copy(tmp_path / "nested")
    for task in TASKS:
        (nested / task).rename(nested / "moving")
        (nested / task).mkdir()
        (nested / "moving").rename(nested / task / task)
    assert by_part(JIGSAWS.read(nested, "loso-1")) == by_part(JIGSAWS.read(plain, "loso-1"))


def test_every_missing_task_is_told(tmp_path: Path) -> None:
    root = copy(tmp_path)
    shutil.rmtree(root / "Knot_Tying")
    told = "no meta_file_Knot_Tying.txt in it; unpack the archive of Knot_Tying"
    assert told in strict_error(root)
    assert [name for _, name, _, _ in all_findings(root / "Suturing")][:3] == list(TASKS)
