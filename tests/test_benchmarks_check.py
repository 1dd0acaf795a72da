"""`benchmarks check` tells everything that is wrong with a copy, not the first thing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import benchmark_copies as copies
import pytest
from PIL import Image

from unisurg import benchmarks, cli
from unisurg.benchmarks.base import ClipCase, Counts, Finding
from unisurg.benchmarks.check import Check, check
from unisurg.benchmarks.cholec80 import CHOLEC80, PHASES
from unisurg.benchmarks.findings import MOST
from unisurg.benchmarks.media import pictures
from unisurg.benchmarks.polyps import KVASIR

COMMAND = ["benchmarks", "check"]


def problems(result: Check, severity: str) -> list[Finding]:
    return [found for found in result.findings.found if found.severity == severity]


def test_a_sound_copy_is_counted(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    result = check(CHOLEC80, root, "theatre")
    assert result.usable
    facts = result.as_dict()
    assert facts["cases"] == {"train": 3, "val": 1, "test": 2}
    assert facts["names"]["test"] == ["video05", "video06"]
    assert facts["labels"]["test"]["Preparation"] == 2
    assert sum(facts["labels"]["test"].values()) == 4
    assert facts["fps"] == {"25": 6}
    assert facts["published"]["cases"] == {"train": 40, "test": 40}


def test_every_fault_is_told_by_file_and_line(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    labels = root / "phase_annotations"
    copies.frame_phases(labels / "video01-phase.txt", ["Preparation", "Dissection", PHASES[1]])
    copies.text(labels / "video02-phase.txt", ["Frame\tPhase", "0\tPreparation", "2\tPreparation"])
    copies.film(root / "videos/video03.mp4", fps=20)
    (root / "videos/video04.mp4").write_bytes(b"")
    copies.film(root / "videos/video05.mp4", seconds=9)
    (labels / "video06-phase.txt").unlink()
    result = check(CHOLEC80, root, "theatre")
    assert not result.usable
    told = {(f.severity, f.path.name, f.line) for f in result.findings.found if f.path != root}
    assert told == {
        ("error", "video01-phase.txt", 3),
        ("error", "video02-phase.txt", 3),
        ("warning", "video03.mp4", None),
        ("error", "video04.mp4", None),
        ("error", "video05.mp4", None),
        ("error", "video06.mp4", None),
    }
    assert all(found.problem and found.remedy for found in result.findings.found)


def test_a_file_of_another_kind_is_not_told_row_by_row_without_end(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    path = root / "phase_annotations/video01-phase.txt"
    copies.text(path, ["Frame\tPhase", *(f"{i} Preparation" for i in range(MOST + 50))])
    told = [f for f in check(CHOLEC80, root, "theatre").findings.summary if f.path == path]
    assert len(told) == MOST + 1
    assert told[-1].problem == "50 more like these"


def test_a_copy_is_held_against_what_is_published(tmp_path: Path) -> None:
    result = check(CHOLEC80, copies.cholec80(tmp_path, 81, frames=25, filmed=True), "official")
    assert result.usable
    assert result.as_dict()["extra"] == ["video81"]
    assert [found.problem for found in problems(result, "warning")] == [
        "40 labelled moments in train, published are 86304",
        "40 labelled moments in test, published are 98194",
    ]


def test_an_incomplete_copy_names_what_is_missing_and_counts_the_rest(tmp_path: Path) -> None:
    result = check(CHOLEC80, copies.cholec80(tmp_path, 79, frames=25, filmed=True), "official")
    assert not result.usable
    assert result.as_dict()["missing"] == ["video80"]
    assert result.as_dict()["cases"] == {"train": 32, "val": 8, "test": 39}
    assert "39 cases in test, published are 40" in {
        found.problem for found in problems(result, "warning")
    }


def test_published_labels_may_be_rounded_once_per_case(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    counts = Counts("theatre", {"train": 4, "test": 2}, 7, "here", labels={"train": 12, "test": 7})
    row = benchmarks.Benchmark(**{**vars(CHOLEC80), "counts": counts})
    warned = [found.problem for found in problems(check(row, root, "theatre"), "warning")]
    assert warned == ["4 labelled moments in test, published are 7"]


def test_a_class_that_a_part_never_shows_is_noted(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    for number in (5, 6):
        copies.frame_phases(root / f"phase_annotations/video0{number}-phase.txt", [PHASES[0]] * 50)
    notes = [found.problem for found in problems(check(CHOLEC80, root, "theatre"), "note")]
    assert any("6 of the classes do not occur in test: CalotTriangle" in note for note in notes)


def test_a_group_in_two_parts_is_an_error(tmp_path: Path) -> None:
    film = copies.film(tmp_path / "a.mp4")
    cases = [
        ClipCase(f"a{i}", film, p, 0, None, None, "a") for i, p in enumerate(("train", "test"))
    ]
    row = benchmarks.Benchmark(**{**vars(CHOLEC80), "reader": lambda *_: cases, "unit": "clip"})
    errors = [found.problem for found in problems(check(row, tmp_path, "theatre"), "error")]
    assert "1 groups are in more than one part: a" in errors


def test_a_clip_that_ends_after_its_video_is_an_error(tmp_path: Path) -> None:
    film = copies.film(tmp_path / "a.mp4")
    case = ClipCase("a", film, "test", 0, 0.0, 30.0, "a")
    row = benchmarks.Benchmark(**{**vars(CHOLEC80), "reader": lambda *_: [case], "unit": "clip"})
    errors = [found.problem for found in problems(check(row, tmp_path, "theatre"), "error")]
    assert "lasts 1 s, but clip a ends at 30 s" in errors


def test_pixels_above_128_are_foreground(tmp_path: Path) -> None:
    for folder, count in (("TrainDataset", 5), ("TestDataset/Kvasir", 2)):
        for kind, value in (("images", 0), ("masks", 129)):
            for i in range(count):
                path = tmp_path / folder / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 6), value).save(path)
    Image.new("L", (8, 6), 128).save(tmp_path / "TestDataset/Kvasir/masks/0.png")
    facts = check(KVASIR, tmp_path, "pranet").as_dict()
    assert facts["cases"] == {"train": 4, "val": 1, "test": 2}
    assert facts["labels"]["test"] == {"background": 48, "polyp": 48}


def test_pictures_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("00000002.jpg", "00000001.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in pictures(tmp_path)] == ["00000001.JPG", "00000002.jpg"]


# --- the command ------------------------------------------------------------------------------


def test_the_command_exits_with_1_and_tells_all_if_a_copy_cannot_be_used(tmp_path: Path) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50)
    command = [sys.executable, "-m", "unisurg", *COMMAND, "cholec80", "--root", str(root)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    assert (facts["split"], facts["usable"], len(facts["missing"])) == ("official", False, 74)
    # The split's missing cases, six empty videos, and neither val nor test has a case.
    assert sum(finding["severity"] == "error" for finding in facts["findings"]) == 1 + 6 + 2
    assert "9 errors, see above" in done.stderr


def test_the_command_prints_the_same_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copies.cholec80(tmp_path, 6, frames=50, filmed=True)
    asked = [*COMMAND, "cholec80", "--root", str(root), "--split", "theatre"]
    assert cli.main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "usable"
    assert any(line.split() == ["cases", "3", "1", "2"] for line in lines)
    assert "labels are labelled moments; fps 25 (6)" in lines


def test_your_own_data_is_checked_by_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ("train", "val", "test")
    root = copies.own(tmp_path, [f"{p}.mp4,0,4,open,{p}" for p in parts])
    assert cli.main([*COMMAND, "mine", "--root", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == {p: {"open": 4} for p in parts}


def test_without_a_root_the_block_of_the_settings_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copies.cholec80(tmp_path / "copy", 6, frames=50, filmed=True)
    text = Path("params.yaml").read_text().replace("root: data/cholec80", f"root: {root}")
    text = re.sub(r"\n  jigsaws:.*", "", text)
    (tmp_path / "params.yaml").write_text(text)
    asked = [*COMMAND, "cholec80", "--params", str(tmp_path / "params.yaml"), "--json"]
    assert cli.main(asked) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "theatre"
    assert cli.main([*asked[:2], "jigsaws", *asked[3:]]) == 1
    assert "no block benchmarks.jigsaws" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["mine", "--root", "."], "no benchmark 'mine'; there are: cholec80"),
        (["cholec80", "--root", ".", "--split", "x"], "no split 'x'; choose one of: official"),
    ],
)
def test_a_wrong_name_is_told_what_there_is(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*COMMAND, *asked]) == 1
    assert told in capsys.readouterr().err


def test_the_list_has_a_row_per_benchmark_with_what_decides_a_choice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["benchmarks", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(benchmarks.REGISTRY)
    assert rows["autolaparo"]["cases"] == {"train": 10, "val": 4, "test": 7}
    assert rows["cholec80"]["published"][0]["value"] == pytest.approx(0.9105)
    assert all(row["classes"] and row["licence"] and row["metric"] for row in rows.values())
    assert cli.main(["benchmarks", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)


@pytest.mark.realdata
def test_the_phases_of_a_real_cholect50_file_are_those_of_cholec80_in_their_order(
    real_data: Path,
) -> None:
    label = json.loads((real_data / "cholect50-val/labels/VID70.json").read_text())
    named = {int(number): name for number, name in label["categories"]["phase"].items()}
    ours = [
        phase.lower().replace("gallbladderretraction", "gallbladderextraction") for phase in PHASES
    ]
    theirs = [
        named[i].replace("carlot", "calot").replace("-and", "").replace("-", "")
        for i in range(len(PHASES))
    ]
    assert theirs == ours
    seen = {row[14] for rows in label["annotations"].values() for row in rows}
    assert seen <= set(range(len(PHASES)))
