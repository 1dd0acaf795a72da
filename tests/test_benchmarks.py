"""Cholec80 and Kvasir are read strictly: every trap is an error that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unisurg import benchmarks
from unisurg.benchmarks import BenchmarkError
from unisurg.benchmarks.base import PARTS, Benchmark, Findings, natural
from unisurg.benchmarks.cholec80 import CHOLEC80, PHASES, read_phases
from unisurg.benchmarks.polyps import KVASIR


def phase_file(path: Path, phases: list[str], end: str = "\n", start: str = "") -> Path:
    rows = ["Frame\tPhase", *(f"{frame}\t{phase}" for frame, phase in enumerate(phases))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((start + end.join(rows) + end).encode("utf-8"))
    return path


def phases_of(path: Path) -> list[int]:
    labels = read_phases(path, Findings(path.parent))
    assert labels is not None
    return labels.tolist()


def cholec80(root: Path, videos: int, frames: int = 60) -> Path:
    for number in range(1, videos + 1):
        phases = [PHASES[frame * len(PHASES) // frames] for frame in range(frames)]
        phase_file(root / f"phase_annotations/video{number:02d}-phase.txt", phases)
        video = root / f"videos/video{number:02d}.mp4"
        video.parent.mkdir(exist_ok=True)
        video.touch()
    return root


def picture(path: Path, size: tuple[int, int] = (8, 6), value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def polyps(root: Path, train: int = 10, test: int = 3) -> Path:
    for folder, count in (("TrainDataset", train), ("TestDataset/Kvasir", test)):
        for i in range(count):
            picture(root / folder / "images" / f"{i}.jpg")
            picture(root / folder / "masks" / f"{i}.png", value=129)
    return root


# --- every benchmark --------------------------------------------------------------------------


@pytest.mark.parametrize("name", benchmarks.REGISTRY)
def test_a_row_is_named_by_its_key_and_says_all(name: str) -> None:
    row = benchmarks.REGISTRY[name]
    assert row.name == name
    assert all([row.title, row.classes, row.main, row.licence, row.access])
    assert all(split.note for split in row.splits.values())


@pytest.mark.parametrize(
    ("benchmark", "split"),
    [(CHOLEC80, name) for name in CHOLEC80.splits] + [(KVASIR, name) for name in KVASIR.splits],
)
def test_the_parts_of_a_split_are_disjoint_and_none_is_empty(
    benchmark: Benchmark, split: str, tmp_path: Path
) -> None:
    root = cholec80(tmp_path, 80, 25) if benchmark is CHOLEC80 else polyps(tmp_path)
    cases = benchmark.read(root, split)
    names = [case.case for case in cases]
    assert len(set(names)) == len(names)
    assert {case.split for case in cases} == set(PARTS)
    assert names == sorted(names, key=natural)


def test_the_configured_splits_exist(settings) -> None:
    for name, wanted in settings.benchmarks.items():
        assert wanted.split in benchmarks.find(name, wanted.root).splits


def test_an_unknown_benchmark_or_split_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"there are: cholec80, .*kvasir"):
        benchmarks.find("cholec81")
    with pytest.raises(BenchmarkError, match="choose one of: official, 32-8-40, 40-8-32, theatre"):
        CHOLEC80.read(tmp_path, "random")


def test_a_missing_root_says_how_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="CAMMA"):
        CHOLEC80.read(tmp_path / "nowhere", "official")


# --- Cholec80 ---------------------------------------------------------------------------------


def test_the_label_of_second_i_is_row_25_i(tmp_path: Path) -> None:
    phases = [PHASES[0]] * 25 + [PHASES[3]] * 25 + [PHASES[6]]
    root = cholec80(tmp_path, 6)
    phase_file(root / "phase_annotations/video01-phase.txt", phases)
    first = CHOLEC80.read(root, "theatre")[0]
    assert first.case == "video01"
    assert first.labels.tolist() == [0, 3, 6]


def test_phases_are_mapped_by_name_in_the_order_of_the_literature(tmp_path: Path) -> None:
    path = phase_file(tmp_path / "a-phase.txt", ["CleaningCoagulation", "GallbladderPackaging"])
    assert phases_of(path) == [5, 4]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = phase_file(tmp_path / "a.txt", list(PHASES))
    windows = phase_file(tmp_path / "b.txt", list(PHASES), end="\r\n", start="\ufeff")
    assert phases_of(plain) == phases_of(windows)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("Frame Phase\n0\tPreparation\n", 1, "the header is 'Frame Phase'"),
        ("", 1, "an empty file"),
        ("Frame\tPhase\n0\tPreparation\n1\tPreperation\n", 3, "unknown phase 'Preperation'"),
        ("Frame\tPhase\n1\tPreparation\n", 2, "frame '1' where 0 was expected"),
        ("Frame\tPhase\n0\tPreparation\n2\tPreparation\n", 3, "frame '2' where 1 was expected"),
        ("Frame\tPhase\n0 Preparation\n", 2, "1 fields"),
        ("Frame\tPhase\n\n0\tPreparation\n", 2, "an empty row"),
    ],
)
def test_a_bad_annotation_is_named_by_file_and_line(
    text: str, line: int, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "video01-phase.txt"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=problem) as caught:
        read_phases(path, Findings(tmp_path))
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_video_without_labels_and_labels_without_a_video_are_errors(tmp_path: Path) -> None:
    root = cholec80(tmp_path, 6)
    (root / "videos/video07.mp4").touch()
    with pytest.raises(BenchmarkError, match=r"video07\.mp4: has no labels in .*phase_annotations"):
        CHOLEC80.read(root, "theatre")
    (root / "videos/video07.mp4").unlink()
    (root / "videos/video02.mp4").unlink()
    with pytest.raises(BenchmarkError, match=r"video02-phase\.txt: has no video in .*videos"):
        CHOLEC80.read(root, "theatre")


def test_phases_by_number_are_refused_because_a_mirror_swaps_4_and_6(tmp_path: Path) -> None:
    root = cholec80(tmp_path, 6)
    phase_file(root / "phase_annotations/video02-phase.txt", ["0"] * 30 + ["6"] * 30)
    with pytest.raises(BenchmarkError, match=r"video02-phase\.txt:2: phases by number.*swaps 4"):
        CHOLEC80.read(root, "theatre")


def test_a_file_of_every_25th_frame_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "video01-phase.txt"
    path.write_text("Frame\tPhase\n" + "".join(f"{25 * i}\tPreparation\n" for i in range(9)))
    findings = Findings(tmp_path, strict=False)
    assert read_phases(path, findings) is None
    assert [(found.line, found.problem) for found in findings.found] == [
        (3, "frame '25' where 1 was expected")
    ]


def test_the_official_split_trains_on_40_in_the_end_and_tests_on_the_other_40(
    tmp_path: Path,
) -> None:
    split = CHOLEC80.splits["official"]
    cases = CHOLEC80.read(cholec80(tmp_path, 80, 25), "official")
    assert split.refit
    by_part = {part: [int(c.case[5:]) for c in cases if c.split == part] for part in PARTS}
    assert by_part["train"] + by_part["val"] == list(range(1, 41))
    assert by_part["test"] == list(range(41, 81))


def test_an_incomplete_copy_names_what_the_split_misses(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="77 of the split's 80 cases are missing: video04"):
        CHOLEC80.read(cholec80(tmp_path, 3), "official")


# --- Kvasir -----------------------------------------------------------------------------------


def test_validation_is_the_last_fifth_of_train_in_natural_order(tmp_path: Path) -> None:
    cases = KVASIR.read(polyps(tmp_path, train=10, test=3), "pranet")
    parts = {case.case: case.split for case in cases}
    assert [c for c, part in parts.items() if part == "val"] == ["train-8", "train-9"]
    assert [c for c, part in parts.items() if part == "test"] == ["test-0", "test-1", "test-2"]


def test_a_test_picture_never_moves_a_training_picture(tmp_path: Path) -> None:
    def parts(test: int) -> dict[str, str]:
        cases = KVASIR.read(polyps(tmp_path, test=test), "pranet")
        return {case.case: case.split for case in cases if case.split != "test"}

    assert parts(2) == parts(5)


def test_folders_may_be_singular_and_extensions_may_differ(tmp_path: Path) -> None:
    root = polyps(tmp_path)
    train = root / "TrainDataset"
    (train / "images").rename(train / "image")
    (train / "masks").rename(train / "mask")
    assert len(KVASIR.read(root, "pranet")) == 13


def test_a_picture_and_a_mask_of_other_size_are_both_named(tmp_path: Path) -> None:
    root = polyps(tmp_path)
    mask = picture(root / "TrainDataset/masks/4.png", size=(6, 8))
    with pytest.raises(BenchmarkError, match=r"images/4\.jpg: is 8x6.*masks/4\.png is 6x8"):
        KVASIR.read(root, "pranet")
    assert mask.exists()


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_picture_or_a_mask_that_stands_alone_is_an_error(kind: str, tmp_path: Path) -> None:
    root = polyps(tmp_path)
    picture(root / "TestDataset/Kvasir" / kind / "extra.png")
    with pytest.raises(BenchmarkError, match=r"extra\.png: has no"):
        KVASIR.read(root, "pranet")


def test_two_files_of_one_stem_and_an_unreadable_file_are_errors(tmp_path: Path) -> None:
    root = polyps(tmp_path)
    extra = picture(root / "TrainDataset/images/3.png")
    with pytest.raises(BenchmarkError, match="same stem"):
        KVASIR.read(root, "pranet")
    extra.unlink()
    (root / "TrainDataset/images/3.jpg").write_bytes(b"not a picture")
    with pytest.raises(BenchmarkError, match=r"3\.jpg: cannot be read"):
        KVASIR.read(root, "pranet")
