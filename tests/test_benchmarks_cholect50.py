"""CholecT50 is read from the owners' JSON: sparse seconds, absent triplets, official splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unisurg import cli
from unisurg.benchmarks import BenchmarkError, TripletCase
from unisurg.benchmarks.base import Findings, NamedSplit
from unisurg.benchmarks.check import check
from unisurg.benchmarks.cholect50 import (
    CHOLECT50,
    INSTRUMENTS,
    MAP,
    PARTS_OF,
    SPLITS,
    TARGETS,
    TRIPLETS,
    VERBS,
    cholec80_train_in_test,
)

# Seconds 2 and 4 show something, 3 was looked at and shows nothing, 5 was not looked at.
SEEN = {"2": (17,), "3": (), "4": (17, 94)}
PICTURES = range(2, 6)


def row(triplet: int) -> list[float]:
    """A row of 15 numbers as the owners write it; -1 in place of a triplet and its parts."""
    i, v, t = PARTS_OF[triplet].tolist() if triplet >= 0 else (-1, -1, -1)
    box = [0.5, 0.25, 0.125, 0.25] if triplet >= 0 else [-1.0] * 4
    return [triplet, i, 1.0, *box, v, t, 1.0, -1.0, -1.0, -1.0, -1.0, 0]


def content(number: int, seen: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    frames = {k: [row(triplet) for triplet in found or (-1,)] for k, found in seen.items()}
    kinds = {"instrument": INSTRUMENTS, "verb": VERBS, "target": TARGETS, "triplet": TRIPLETS}
    return {
        "video": number,
        "fps": 1,
        "num_frames": len(frames),
        "categories": {kind: {str(i): n for i, n in enumerate(of)} for kind, of in kinds.items()},
        "annotations": frames,
    }


def map_rows() -> list[str]:
    return ["# IVT, I, V, T, IV, IT", *(",".join(map(str, parts)) for parts in MAP.tolist())]


def copy(root: Path, numbers: range | list[int] = range(1, 7)) -> Path:
    (root / "labels").mkdir(parents=True)
    for number in numbers:
        name = f"VID{number:02d}"
        (root / f"labels/{name}.json").write_text(json.dumps(content(number, SEEN)))
        (root / f"videos/{name}").mkdir(parents=True)
        for second in PICTURES:
            (root / f"videos/{name}/{second:06d}.png").touch()
    (root / "label_mapping.txt").write_text("\n".join(map_rows()) + "\n")
    return root


def changed(root: Path, number: int = 1, **fields: Any) -> Path:
    """The label file of a video with other fields."""
    path = root / f"labels/VID{number:02d}.json"
    path.write_text(json.dumps(content(number, SEEN) | fields))
    return path


def first(root: Path) -> TripletCase:
    case = CHOLECT50.read(root, "theatre")[0]
    assert isinstance(case, TripletCase)
    return case


def strict_error(root: Path, split: str = "theatre") -> str:
    with pytest.raises(BenchmarkError) as caught:
        CHOLECT50.read(root, split)
    return str(caught.value)


def all_findings(root: Path, split: str = "theatre") -> list[tuple[str, str, str]]:
    findings = Findings(root, strict=False)
    CHOLECT50.audit(split, findings)
    return [(found.severity, found.path.name, found.problem) for found in findings.found]


# --- labels -------------------------------------------------------------------------------------


def test_a_moment_that_shows_nothing_differs_from_one_that_nobody_looked_at(
    tmp_path: Path,
) -> None:
    case = first(copy(tmp_path))
    assert (case.case, case.fps, case.every_s, case.group) == ("VID01", 1, 1.0, "VID01")
    assert case.labels.shape == (4, 100)
    assert case.labels.dtype == np.int8
    assert [np.flatnonzero(moment == 1).tolist() for moment in case.labels] == [
        [17],
        [],
        [17, 94],
        [],
    ]
    assert case.labels[:3].min() == 0
    assert set(case.labels[3]) == {-1}


def test_components_are_numbered_as_in_the_owners_map() -> None:
    assert [len(np.unique(column)) for column in MAP.T] == [100, 6, 10, 15, 26, 59]
    assert MAP[91].tolist() == [91, 5, 1, 0, 51, 75]
    assert TRIPLETS[17] == "grasper,retract,gallbladder"
    assert TRIPLETS[-6:] == tuple(f"{name},null_verb,null_target" for name in INSTRUMENTS)
    assert len(set(TRIPLETS)) == 100


def test_a_check_counts_moments_per_triplet_and_those_that_nobody_looked_at(
    tmp_path: Path,
) -> None:
    facts = check(CHOLECT50, copy(tmp_path), "theatre").as_dict()
    assert facts["usable"], facts["findings"]
    assert facts["cases"] == {"train": 3, "val": 1, "test": 2}
    assert facts["labels"]["test"][TRIPLETS[17]] == 4
    assert facts["labels"]["test"][TRIPLETS[94]] == 2
    assert facts["ignored"] == {"train": 3, "val": 1, "test": 2}
    assert facts["fps"] == {"1": 6}


# --- splits -------------------------------------------------------------------------------------


def named(split: str) -> NamedSplit:
    rule = SPLITS[split]
    assert isinstance(rule, NamedSplit)
    return rule


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ("cholect50", (35, 5, 10)),
        ("cholect50-challenge", (40, 5, 5)),
        *((f"cholect50-crossval-fold{i}", (35, 5, 10)) for i in range(1, 6)),
        *((f"cholect45-crossval-fold{i}", (31, 5, 9)) for i in range(1, 6)),
    ],
)
def test_an_official_split_has_the_sizes_that_the_owners_give(
    split: str, sizes: tuple[int, int, int]
) -> None:
    rule = named(split)
    assert (len(rule.train), len(rule.val), len(rule.test)) == sizes
    assert not rule.refit


def test_the_three_splits_of_cholect50_hold_the_same_fifty_videos() -> None:
    rules = [named(s) for s in ("cholect50", "cholect50-challenge", "cholect50-crossval-fold1")]
    first, *others = ({*rule.train, *rule.val, *rule.test} for rule in rules)
    assert len(first) == 50
    assert all(other == first for other in others)


def test_the_folds_test_every_video_once_and_validate_on_the_last_five_of_the_rest() -> None:
    for name, count in (("cholect50", 50), ("cholect45", 45)):
        folds = [named(f"{name}-crossval-fold{i}") for i in range(1, 6)]
        assert len({video for fold in folds for video in fold.test}) == count
    fold = named("cholect50-crossval-fold1")
    assert fold.val == ("VID01", "VID56", "VID04", "VID13", "VID92")
    assert fold.train[0] == "VID80"
    assert named("cholect50-crossval-fold5").val == ("VID75", "VID22", "VID49", "VID12", "VID110")
    assert named("cholect45-crossval-fold1").val == ("VID74", "VID01", "VID56", "VID04", "VID13")


@pytest.mark.parametrize(
    ("split", "seen"),
    [
        ("cholect50", ("VID06", "VID10", "VID14", "VID32")),
        ("cholect50-challenge", ()),
        ("cholect50-crossval-fold1", ("VID02", "VID06", "VID14", "VID23", "VID25")),
    ],
)
def test_a_split_tells_which_test_videos_cholec80_trains_on(
    split: str, seen: tuple[str, ...]
) -> None:
    assert cholec80_train_in_test(named(split).test) == seen
    assert f"{len(seen)} are training videos of Cholec80" in named(split).note


def test_the_folds_share_5_5_5_4_4_test_videos_with_cholec80s_training_half() -> None:
    folds = [named(f"cholect50-crossval-fold{i}") for i in range(1, 6)]
    assert [len(cholec80_train_in_test(fold.test)) for fold in folds] == [5, 5, 5, 4, 4]


# --- traps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"video": 2}, "`video` is 2"),
        ({"fps": 25}, "`fps` is 25, expected 1"),
        ({"annotations": [[0]]}, "holds no lists by frame"),
        ({"annotations": {"4": row(17)}}, "a row of no numbers, expected 15"),
        ({"annotations": {"4": [row(17)[:14]]}}, "frame 4: a row of 14 numbers"),
        ({"annotations": {"4": [[100, *row(17)[1:]]]}}, "frame 4: unknown triplet 100"),
        ({"annotations": {"000004.png": [row(17)]}}, "frame '000004.png' is no second"),
        ({"annotations": {"4": [row(17)], "04": [row(17)]}}, "frame '04' is no second of its own"),
    ],
)
def test_a_label_file_that_is_not_the_owners_is_refused(
    fields: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = changed(copy(tmp_path), **fields)
    error = strict_error(tmp_path)
    assert error.startswith(f"{path}: ")
    assert problem in error


def test_classes_that_are_numbered_otherwise_are_refused(tmp_path: Path) -> None:
    root = copy(tmp_path)
    categories = content(1, SEEN)["categories"]
    verbs = categories["verb"]
    verbs["0"], verbs["1"] = verbs["1"], verbs["0"]
    changed(root, categories=categories)
    assert "`categories.verb` names other classes" in strict_error(root)


def test_a_cut_json_is_told_by_its_line(tmp_path: Path) -> None:
    path = copy(tmp_path) / "labels/VID01.json"
    path.write_text('{"video": 1,\n"fps"')
    assert strict_error(tmp_path).startswith(f"{path}:2: no JSON")


def test_a_row_whose_parts_are_not_its_triplets_counts_as_the_triplet_with_a_warning(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    wrong = [17, 5, *row(17)[2:]]
    changed(root, annotations={"2": [wrong], "3": [[-1, 0, *row(-1)[2:]]]}, num_frames=2)
    assert np.flatnonzero(first(root).labels[0] == 1).tolist() == [17]
    assert first(root).labels[1].max() == 0
    assert all_findings(root) == [
        ("warning", "VID01.json", "frame 2: parts (5, 1, 0) are not those of triplet 17"),
        ("warning", "VID01.json", "frame 3: parts (0, -1, -1) are not those of triplet -1"),
    ]


def test_a_labelled_frame_without_a_picture_is_told_and_not_dropped_in_silence(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    (root / "videos/VID01/000002.png").unlink()
    assert "VID01.json: 1 of its 3 labelled frames have no picture: 000002" in strict_error(root)


def test_a_gap_between_pictures_is_a_warning_and_labels_stay_with_their_pictures(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    changed(root, annotations={"2": [row(0)], "5": [row(1)]}, num_frames=2)
    (root / "videos/VID01/000003.png").unlink()
    labels = first(root).labels
    assert [np.flatnonzero(moment == 1).tolist() for moment in labels] == [[0], [], [1]]
    assert all_findings(root) == [("warning", "VID01", "1 gaps between its pictures 2 and 5")]


def test_a_count_of_frames_that_is_not_that_of_the_annotations_is_a_warning(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    changed(root, num_frames=1800)
    assert all_findings(root) == [
        ("warning", "VID01.json", "`num_frames` is 1800 for 3 labelled frames")
    ]


def test_pictures_without_labels_or_without_a_second_in_their_name_are_errors(
    tmp_path: Path,
) -> None:
    root = copy(tmp_path)
    shutil.copytree(root / "videos/VID01", root / "videos/VID07")
    (root / "videos/VID02/000002.png").rename(root / "videos/VID02/frame2.png")
    shutil.rmtree(root / "videos/VID03")
    assert all_findings(root) == [
        ("error", "VID07", "has no labels in labels/"),
        ("error", "frame2.png", "not named by its second"),
        ("error", "VID03", "no pictures in it, but VID03.json labels the video"),
    ]


def test_another_map_of_triplets_is_refused_and_a_missing_one_is_told(tmp_path: Path) -> None:
    root = copy(tmp_path)
    path = root / "label_mapping.txt"
    rows = map_rows()
    path.write_text("\n".join([*rows[:18], rows[18].replace("17,0,1", "17,1,0"), *rows[19:]]))
    assert "triplet 17 is '17,1,0,0,1,0', which is not its map" in strict_error(root)
    path.write_text("\r\n".join(rows) + "\r\n")
    assert all_findings(root) == []
    path.write_text("\n".join(rows[:-1]))
    assert "99 triplets, expected 100" in strict_error(root)
    path.unlink()
    assert all_findings(root) == [("warning", "label_mapping.txt", "missing")]


def test_an_incomplete_copy_says_what_is_missing_for_the_split(tmp_path: Path) -> None:
    root = copy(tmp_path, [6, 8, 15])
    error = strict_error(root, "cholect50")
    assert "47 of the split's 50 cases are missing: VID01, VID02, VID04" in error
    shutil.rmtree(root / "labels")
    assert "no file named like VID01.json" in strict_error(root, "cholect50")


# --- the owners' own files ----------------------------------------------------------------------


@pytest.mark.realdata
def test_the_challenges_validation_files_are_read_as_they_are(real_data: Path) -> None:
    root = real_data / "cholect50-val"
    findings = Findings(root, strict=False)
    cases = {case.case: case for case in CHOLECT50.audit("challenge-validation", findings)}
    assert sorted(cases) == ["VID70", "VID74"]
    shapes = {n: case.labels.shape for n, case in cases.items() if isinstance(case, TripletCase)}
    assert shapes == {"VID70": (23, 100), "VID74": (35, 100)}
    errors = [f"{f.path.name}: {f.problem}" for f in findings.found if f.severity == "error"]
    assert len(errors) == 5
    assert errors[1].startswith("VID70.json: 141 of its 164 labelled frames have no picture")
    assert [found for found in findings.found if found.severity == "warning"] == []


@pytest.mark.realdata
def test_a_check_of_a_part_of_the_data_names_all_that_is_missing(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(real_data / "cholect50-val")
    assert cli.main(["benchmarks", "check", "cholect50", "--root", root, "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["split"], facts["usable"]) == ("cholect50", False)
    assert facts["names"] == {"train": ["VID70"], "val": [], "test": ["VID74"]}
    assert len(facts["missing"]) == 45 + 3
    assert facts["labels"]["train"]["grasper,retract,gallbladder"] == 10
