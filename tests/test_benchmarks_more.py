"""The second half of the official layouts: each trap of a copy is told by file, line and remedy."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from unisurg import benchmarks
from unisurg.benchmarks.atlas import ATLAS
from unisurg.benchmarks.avos import AVOS, youtube_id
from unisurg.benchmarks.base import (
    IGNORED,
    PARTS,
    Benchmark,
    BenchmarkError,
    ByCase,
    Case,
    ClipCase,
    Findings,
    NamedSplit,
    Part,
    VideoCase,
)
from unisurg.benchmarks.check import check
from unisurg.benchmarks.egosurgery import EGOSURGERY
from unisurg.benchmarks.egosurgery import PHASES as EGO_PHASES
from unisurg.benchmarks.hashed import HashSplit, position
from unisurg.benchmarks.ophnet import OPHNET, read_segments
from unisurg.benchmarks.ophnet import PHASES as OPHNET_PHASES
from unisurg.benchmarks.pmlr50 import PMLR50
from unisurg.benchmarks.polypdiag import POLYPDIAG, source_video
from unisurg.benchmarks.surgicalactions160 import ACTIONS, FOLDERS, FOLDS, SURGICALACTIONS160

# --- small copies in the owners' layouts --------------------------------------------------------


def text(path: Path, *rows: str, end: str = "\n", start: str = "") -> Path:
    """A text file of rows; `start` may be a byte-order mark, `end` Windows line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((start + "".join(row + end for row in rows)).encode("utf-8"))
    return path


def empty(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def film(path: Path, seconds: int, fps: int = 25) -> Path:
    """A video that can be opened, of 32 x 32 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = 32
        grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8))
        for _ in range(seconds * fps):
            container.mux(stream.encode(grey))
        container.mux(stream.encode())
    return path


def egosurgery(root: Path) -> Path:
    """The 21 videos, each of two recordings of four pictures."""
    for number in (*range(1, 16), *range(17, 23)):
        for part in (1, 2):
            names = [f"{number:02d}_{part}_{i:04d}" for i in range(1, 5)]
            rows = [f"{name},{EGO_PHASES[part + i]}" for i, name in enumerate(names)]
            text(root / f"annotations/phase/{number:02d}_{part}.csv", "Frame,Phase", *rows)
            for name in names:
                empty(root / f"images/{number:02d}/{name}.jpg")
    return root


def pmlr50(root: Path, videos: int = 50, frames: int = 5) -> Path:
    for number in range(1, videos + 1):
        rows = [f"{frame}\t{frame * 5 // frames}" for frame in range(frames)]
        text(root / f"phase_annotations/{number:02d}.txt", "Frame\tPhase", *rows)
        for frame in range(frames):
            empty(root / f"frames/{number:02d}/{frame:08d}.jpg")
    return root


OPHNET_HEADER = "video_id,start,end,split,surgery_id,phase_id"
OPHNET_ROWS = (
    "case_0002,0,10,train,5,3",
    "case_0002,11.33,15.23,train,0,6",
    "case_0007,0,20.5,val,5,3",
    "case_0007,20.27,48.5,val,6,51",
    "case_0012,0,9,test,5,0",
    "case_0012,9,12,test,5,2",
)


def ophnet(root: Path, *rows: str, trimmed: bool = True) -> Path:
    rows = rows or OPHNET_ROWS
    table = "annotation/OphNet2024_loca_challenge_phase.csv"
    text(root / table, OPHNET_HEADER, *rows, end="\r\n", start="\ufeff")
    seen: dict[str, int] = {}
    for video in (row.split(",")[0] for row in rows):
        number = seen[video] = seen.get(video, -1) + 1
        if trimmed:
            empty(root / f"OphNet2024_trimmed_phase/{video}/{video}_{number}.mp4")
        else:
            empty(root / f"OphNet2024_all/{video}.mp4")
    return root


def actions160(root: Path, clips: int = 10) -> Path:
    for folder in FOLDERS:
        for clip in range(1, clips + 1):
            empty(root / folder / f"{folder[:2]}_{clip:02d}.mp4")
    return root


def youtube_ids(count: int) -> list[str]:
    """Ids with `_` at their start, in their middle and at their end, and with `-`."""
    forms = ("_{:08d}_-", "-a{:08d}_", "ab_{:07d}_")
    return [forms[i % 3].format(i).ljust(11, "x")[:11] for i in range(count)]


def avos(root: Path, videos: int = 40, clips: int = 3) -> Path:
    rows = []
    for i, name in enumerate(youtube_ids(videos)):
        for clip in range(clips):
            file = f"{name}_{clip * 16}_{clip * 16 + 16}.mp4"
            rows.append(f"{file}\t{AVOS.classes[(i + clip) % 4]}")
            empty(root / "videos" / file)
    text(root / "anno_meta.txt", *rows)
    return root


def polypdiag(root: Path, train: int = 40, test: int = 6) -> Path:
    names = {
        "train.txt": [f"indexed-train_set_normal-0_{i}-0-{4000 + i}" for i in range(train)],
        "val.txt": [f"indexed-test_set-abnormal_test-Images-{i}-0-{99 + i}" for i in range(test)],
    }
    for file, clips in names.items():
        rows = [f"{clip}.mp4,{i % 2}" for i, clip in enumerate(clips)]
        text(root / "splits" / file, *rows)
        for clip in clips:
            empty(root / "videos" / f"{clip}.mp4")
    return root


def atlas(root: Path) -> Path:
    """Ten videos of four seconds; the table has spans."""
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    rows = [
        f"case{i}.mp4,{start},{start + 2},{(i + start) % 7},{part}"
        for i, part in enumerate(parts)
        for start in (0, 2)
    ]
    text(root / "labels.csv", "video,start_s,end_s,label,split", *rows)
    for i in range(len(parts)):
        film(root / f"case{i}.mp4", seconds=4)
    return root


COPIES: dict[str, Callable[[Path], Path]] = {
    "egosurgery": egosurgery,
    "pmlr50": pmlr50,
    "ophnet": ophnet,
    "surgicalactions160": actions160,
    "avos": avos,
    "polypdiag": polypdiag,
    "atlas": atlas,
}


def by_part(cases: list[Case]) -> dict[str, list[str]]:
    return {part: [case.case for case in cases if case.split == part] for part in PARTS}


def strict_error(benchmark: Benchmark, root: Path, split: str = "official") -> str:
    with pytest.raises(BenchmarkError) as caught:
        benchmark.read(root, split)
    return str(caught.value)


def all_findings(benchmark: Benchmark, root: Path, split: str = "official") -> Findings:
    findings = Findings(root, strict=False)
    benchmark.audit(split, findings)
    return findings


# --- every one of them --------------------------------------------------------------------------

EVERY_SPLIT = [(name, split) for name in COPIES for split in benchmarks.find(name).splits]


@pytest.mark.parametrize("name", COPIES)
def test_the_benchmark_is_in_the_table_with_as_many_classes_as_published(name: str) -> None:
    row = benchmarks.find(name)
    assert row.counts is not None
    assert row.counts.classes == len(row.classes) == len(set(row.classes))
    assert row.counts.split in row.splits


@pytest.mark.parametrize(("name", "split"), EVERY_SPLIT)
def test_no_part_is_empty_and_no_group_is_in_two_unless_the_split_is_called_leaky(
    name: str, split: str, tmp_path: Path
) -> None:
    row = benchmarks.find(name)
    cases = row.read(COPIES[name](tmp_path), split)
    assert len({case.case for case in cases}) == len(cases)
    assert all(by_part(cases).values())
    parts: dict[str, set[str]] = {}
    for case in cases:
        parts.setdefault(case.group, set()).add(case.split)
    shared = [group for group, of_group in parts.items() if len(of_group) > 1]
    leaky = isinstance(row.splits[split], ByCase)
    assert leaky == split.startswith("leaky") == bool(shared)


@pytest.mark.parametrize(("name", "split"), EVERY_SPLIT)
def test_a_good_copy_has_no_error_and_a_check_reads_what_strict_reading_reads(
    name: str, split: str, tmp_path: Path
) -> None:
    row, root = benchmarks.find(name), COPIES[name](tmp_path)
    findings = Findings(root, strict=False)
    checked = row.audit(split, findings)
    assert findings.usable, findings.found
    assert by_part(checked) == by_part(row.read(root, split))


@pytest.mark.parametrize("name", COPIES)
def test_an_empty_folder_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    row = benchmarks.find(name)
    for split in row.splits:
        assert "; " in strict_error(row, tmp_path, split)
        assert not all_findings(row, tmp_path, split).usable


@pytest.mark.parametrize("name", COPIES)
def test_a_check_finds_a_good_copy_usable_and_tells_its_frame_rate(
    name: str, tmp_path: Path
) -> None:
    row, root = benchmarks.find(name), COPIES[name](tmp_path)
    one = film(tmp_path.parent / f"{name}.mp4", seconds=1)
    for video in sorted(root.rglob("*.mp4")):
        if not video.stat().st_size:
            shutil.copy(one, video)
    result = check(row, root, next(iter(row.splits)))
    assert result.usable, result.as_text()
    assert set(result.fps) == {{"egosurgery": 0.5, "pmlr50": 1.0}.get(name, 25.0)}


# --- EgoSurgery-Phase ---------------------------------------------------------------------------


def test_egosurgery_numbers_phases_by_name_at_half_a_picture_a_second(tmp_path: Path) -> None:
    first = EGOSURGERY.read(egosurgery(tmp_path), "official")[0]
    assert isinstance(first, VideoCase)
    assert (first.case, first.fps, first.every_s) == ("01", 0.5, 2.0)
    assert first.labels.tolist() == [1, 2, 3, 4, 2, 3, 4, 5]
    assert len(sorted(first.video.iterdir())) == len(first.labels)


def test_egosurgery_phase_has_13_2_5_videos_which_are_not_those_of_egosurgery_tool(
    tmp_path: Path,
) -> None:
    root = egosurgery(tmp_path)
    parts = by_part(EGOSURGERY.read(root, "official"))
    assert [len(parts[part]) for part in PARTS] == [13, 2, 5]
    assert parts["val"] == ["05", "19"]
    assert parts["test"] == ["06", "07", "10", "12", "18"]
    assert not {"04", "05"} & set(parts["test"])
    assert all_findings(EGOSURGERY, root).extra == ["22"]


def test_egosurgery_pictures_without_a_row_or_a_phase_are_seen_but_ignored(tmp_path: Path) -> None:
    root = egosurgery(tmp_path)
    empty(root / "images/01/01_3_0001.jpg")
    rows = ("Frame,Phase", "01_1_0001,", "01_1_0002,Closure", "01_1_0003,closure")
    text(root / "annotations/phase/01_1.csv", *rows, end="\r\n", start="\ufeff")
    first = EGOSURGERY.read(root, "official")[0]
    assert isinstance(first, VideoCase)
    assert first.labels.tolist() == [IGNORED, 7, 7, IGNORED, 2, 3, 4, 5, IGNORED]
    warnings = [f for f in all_findings(EGOSURGERY, root).found if f.severity == "warning"]
    assert [(f.path.name, f.line) for f in warnings] == [("01_1.csv", 2), ("01_1_0004.jpg", None)]
    assert "2 of the 9 pictures" in warnings[1].problem


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        (("Frame;Phase", "01_1_0001;closure"), 1, "the header is 'Frame;Phase'"),
        (("Frame,Phase", "01_1_0001,suturing"), 2, "unknown phase 'suturing'"),
        (("Frame,Phase", "01_1_0001,closure,1"), 2, "3 fields, expected 2"),
        (("Frame,Phase", "01_1_0001,closure", "01_1_0009,closure"), 3, "no picture '01_1_0009'"),
        (("Frame,Phase", "01_1_0001,closure", "01_1_0001,closure"), 3, "a second row"),
        (("Frame,Phase", "01_1_0002,closure", "01_1_0001,closure"), 3, "sorts before"),
    ],
)
def test_a_bad_row_of_egosurgery_is_told_by_its_line(
    rows: tuple[str, ...], line: int, problem: str, tmp_path: Path
) -> None:
    root = egosurgery(tmp_path)
    path = text(root / "annotations/phase/01_1.csv", *rows)
    error = strict_error(EGOSURGERY, root)
    assert error.startswith(f"{path}:{line}: ")
    assert problem in error


def test_egosurgery_refuses_a_picture_that_is_there_twice_or_a_folder_without_any(
    tmp_path: Path,
) -> None:
    root = egosurgery(tmp_path)
    empty(root / "images/01/01_1_0001.png")
    assert "one stem and two endings" in strict_error(EGOSURGERY, root)
    shutil.rmtree(root / "images/01")
    assert "images/01: no pictures in it" in strict_error(EGOSURGERY, root)


# --- PmLR50 -------------------------------------------------------------------------------------


def test_pmlr50_calls_val_what_its_script_calls_test_and_test_what_it_calls_infer(
    tmp_path: Path,
) -> None:
    parts = by_part(PMLR50.read(pmlr50(tmp_path), "official"))
    numbers = {part: [int(case) for case in cases] for part, cases in parts.items()}
    assert numbers == {
        "train": [*range(1, 34), 49, 50],
        "val": [34, 35, 36, 37, 48],
        "test": list(range(38, 48)),
    }


def test_pmlr50_is_read_in_the_layout_of_its_readme_as_in_that_of_its_script(
    tmp_path: Path,
) -> None:
    script, readme = pmlr50(tmp_path / "script"), pmlr50(tmp_path / "readme")
    for path in sorted((readme / "phase_annotations").glob("*.txt")):
        (path.parent / "train").mkdir(exist_ok=True)
        path.rename(path.parent / "train" / path.name)
    for path in sorted(readme.glob("frames/*/*.jpg")):
        path.rename(path.with_name(f"{path.stem[3:]}.png"))
    pairs = zip(PMLR50.read(script, "official"), PMLR50.read(readme, "official"), strict=True)
    for one, other in pairs:
        assert isinstance(one, VideoCase)
        assert isinstance(other, VideoCase)
        assert one.labels.tolist() == other.labels.tolist() == [0, 1, 2, 3, 4]
        assert one.fps == other.fps == 1


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        (("0 0", "1 0"), 1, "'0 0' is no header"),
        (("Frame Phase", "1 0"), 2, "frame '1' where 0 was expected"),
        (("Frame Phase", "0 0", "2 0"), 3, "frame '2' where 1 was expected"),
        (("Frame Phase", "0 5"), 2, "unknown phase '5'"),
        (("Frame Phase", "0 -1"), 2, "unknown phase '-1'"),
        (("Frame Phase", "0,0"), 2, "1 fields"),
        (("Frame Phase", "0 0", "", "1 0"), 3, "0 fields"),
    ],
)
def test_a_bad_row_of_pmlr50_is_told_by_its_line(
    rows: tuple[str, ...], line: int, problem: str, tmp_path: Path
) -> None:
    root = pmlr50(tmp_path)
    path = text(root / "phase_annotations/01.txt", *rows)
    error = strict_error(PMLR50, root)
    assert error.startswith(f"{path}:{line}: ")
    assert problem in error


def test_pmlr50_counts_pictures_from_0_and_as_many_as_rows(tmp_path: Path) -> None:
    root = pmlr50(tmp_path)
    last = root / "frames/01/00000004.jpg"
    last.unlink()
    assert "5 rows for 4 pictures" in strict_error(PMLR50, root)
    for number in range(4, 0, -1):
        (root / f"frames/01/{number - 1:08d}.jpg").rename(root / f"frames/01/{number:08d}.jpg")
    assert "00000001.jpg: where picture 0 was expected" in strict_error(PMLR50, root)


def test_pmlr50_tells_videos_without_labels_twice_labelled_videos_and_pickles(
    tmp_path: Path,
) -> None:
    root = pmlr50(tmp_path)
    empty(root / "frames/51/00000000.jpg")
    shutil.copytree(root / "phase_annotations", root / "phase_annotations/val")
    problems = [f.problem for f in all_findings(PMLR50, root).found if f.severity == "error"]
    assert sum("labels the same video" in problem for problem in problems) == 50
    assert "has no labels in phase_annotations" in problems
    shutil.rmtree(root / "phase_annotations")
    empty(root / "labels/train/1fpstrain.pickle")
    assert "the pickles in labels/ are not read" in strict_error(PMLR50, root)


# --- OphNet2024 ---------------------------------------------------------------------------------


def test_ophnet_numbers_the_trimmed_clips_of_a_video_by_its_rows(tmp_path: Path) -> None:
    cases = OPHNET.read(ophnet(tmp_path), "official")
    clips = [case for case in cases if isinstance(case, ClipCase)]
    assert [clip.case for clip in clips][:3] == ["case_0002_0", "case_0002_1", "case_0007_0"]
    assert [clip.label for clip in clips] == [3, 6, 3, 51, 0, 2]
    assert [clip.split for clip in clips] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert clips[1].group == "case_0002"
    assert clips[1].video == tmp_path / "OphNet2024_trimmed_phase/case_0002/case_0002_1.mp4"
    assert (clips[1].start_s, clips[1].end_s) == (None, None)
    assert OPHNET_PHASES[51] == "Others"


def test_ophnet_cuts_whole_videos_at_the_times_of_the_table(tmp_path: Path) -> None:
    clip = OPHNET.read(ophnet(tmp_path, trimmed=False), "official")[1]
    assert isinstance(clip, ClipCase)
    assert clip.video == tmp_path / "OphNet2024_all/case_0002.mp4"
    assert (clip.case, clip.start_s, clip.end_s) == ("case_0002_1", 11.33, 15.23)


def test_ophnet_counts_overlaps_and_gaps_and_keeps_every_segment(tmp_path: Path) -> None:
    findings = all_findings(OPHNET, ophnet(tmp_path))
    [note] = [f for f in findings.found if "overlap" in f.problem]
    assert note.severity == "note"
    assert note.problem == "1 segments overlap the one before, 1 leave a gap"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("case_0002,0,10,train,5,52", "phase '52' is none of 0 to 51"),
        ("case_0002,0,10,train,5,3,8", "7 fields, expected 6"),
        ("case_0002,10,10,train,5,3", "start '10' and end '10'"),
        ("case_0002,0:00,0:10,train,5,3", "start '0:00' and end '0:10'"),
        ("case_0002,0,nan,train,5,3", "start '0' and end 'nan'"),
        ("case_0002,0,10,training,5,3", "unknown split 'training'"),
    ],
)
def test_a_bad_row_of_ophnet_is_told_by_its_line(row: str, problem: str, tmp_path: Path) -> None:
    error = strict_error(OPHNET, ophnet(tmp_path, *OPHNET_ROWS, row))
    assert f"OphNet2024_loca_challenge_phase.csv:{len(OPHNET_ROWS) + 2}: {problem}" in error


def test_ophnet_refuses_rows_out_of_the_order_by_which_clips_are_numbered(tmp_path: Path) -> None:
    rows = (OPHNET_ROWS[1], OPHNET_ROWS[0], *OPHNET_ROWS[2:])
    assert ":3: starts before line 2 of the same video" in strict_error(
        OPHNET, ophnet(tmp_path, *rows)
    )


def test_ophnet_refuses_a_video_that_the_column_puts_into_two_parts(tmp_path: Path) -> None:
    rows = (*OPHNET_ROWS, "case_0012,12,13,train,5,2")
    assert "case_0012 is in test and in train" in strict_error(OPHNET, ophnet(tmp_path, *rows))


def test_ophnet_refuses_the_tables_of_its_other_tasks(tmp_path: Path) -> None:
    root = ophnet(tmp_path)
    (root / "annotation/OphNet2024_loca_challenge_phase.csv").rename(
        root / "annotation/OphNet2024_loca_all.csv"
    )
    assert "its other tables are other tasks" in strict_error(OPHNET, root)


def test_ophnet_takes_the_table_of_the_trimmed_archive_and_holds_its_paths_to_the_numbering(
    tmp_path: Path,
) -> None:
    root = ophnet(tmp_path)
    shutil.rmtree(root / "annotation")
    table = root / "OphNet2024_trimmed_phase/OphNet2024_loca_challenge_phase_trimmed.csv"
    folder = "./OphNet2024_trimmed_phase/case_0002"
    rows = [f"{row},{folder}/case_0002_{i}.mp4" for i, row in enumerate(OPHNET_ROWS[:2])]
    text(table, f"{OPHNET_HEADER},segment_path", *rows)
    assert [case.case for case in OPHNET.read(root, "official")] == ["case_0002_0", "case_0002_1"]
    text(table, f"{OPHNET_HEADER},segment_path", rows[1])
    assert f"{table}:2: segment_path" in strict_error(OPHNET, root)


def test_ophnet_tells_a_missing_whole_video_once_and_names_all_its_clips(tmp_path: Path) -> None:
    root = ophnet(tmp_path, trimmed=False)
    (root / "OphNet2024_all/case_0002.mp4").unlink()
    findings = all_findings(OPHNET, root)
    assert [f.path.name for f in findings.found if f.severity == "error"] == ["case_0002.mp4"]
    assert findings.missing == ["case_0002_0", "case_0002_1"]


@pytest.mark.realdata
def test_the_real_table_of_ophnet_is_what_its_owners_publish(real_data: Path) -> None:
    findings = Findings(real_data / "ophnet")
    path = real_data / "ophnet/OphNet2024_loca_challenge_phase.csv"
    segments = read_segments(path, findings)
    counts = OPHNET.counts
    assert counts is not None
    for part, videos in zip(PARTS, (445, 144, 154), strict=True):
        of_part = [segment for segment in segments if segment.part == part]
        assert len(of_part) == counts.cases[part]
        assert len({segment.video for segment in of_part}) == videos
    assert np.bincount([segment.phase for segment in segments]).shape == (52,)
    assert findings.found[-1].problem == ("186 segments overlap the one before, 407 leave a gap")


@pytest.mark.realdata
def test_the_real_tables_of_ophnets_other_tasks_are_refused(real_data: Path) -> None:
    for name in ("OphNet2024_loca_all.csv", "OphNet2024_loca_challenge.csv"):
        path = real_data / "ophnet" / name
        with pytest.raises(BenchmarkError, match=r":1: the header is .*operation_id"):
            read_segments(path, Findings(path.parent))


@pytest.mark.realdata
def test_the_real_table_of_ophnet_names_a_clip_for_each_of_its_rows(
    real_data: Path, tmp_path: Path
) -> None:
    name = "OphNet2024_loca_challenge_phase.csv"
    table = tmp_path / name
    shutil.copy(real_data / "ophnet" / name, table)
    (tmp_path / "OphNet2024_all").mkdir()
    for segment in read_segments(table, Findings(tmp_path)):
        (tmp_path / f"OphNet2024_all/{segment.video}.mp4").touch()
    cases = OPHNET.read(tmp_path, "official")
    assert len({case.case for case in cases}) == 14_674
    assert len({(case.group, case.split) for case in cases}) == 743
    spans = [(c.start_s, c.end_s) for c in cases if isinstance(c, ClipCase) and c.start_s]
    assert max(end or 0.0 for _, end in spans) == 3919.13


# --- SurgicalActions160 -------------------------------------------------------------------------


def test_actions_are_numbered_by_their_folders(tmp_path: Path) -> None:
    cases = SURGICALACTIONS160.read(actions160(tmp_path), "fold0")
    labels = {case.case: case.label for case in cases if isinstance(case, ClipCase)}
    assert len(labels) == 160
    assert all(label == int(case[:2]) - 1 for case, label in labels.items())
    assert (ACTIONS[0], ACTIONS[13], ACTIONS[15]) == ("abdominal_access", "sling-in", "endobag-out")


def test_the_folds_are_surgmotions_seeded_stratified_shuffle() -> None:
    generator = random.Random(42)
    for row in FOLDS:
        clips = list(range(10))
        generator.shuffle(clips)
        assert [int(row[clip]) for clip in clips] == [i % 4 for i in range(10)]


def test_every_clip_is_tested_in_exactly_one_of_the_four_folds() -> None:
    folds = [SURGICALACTIONS160.splits[f"fold{i}"] for i in range(4)]
    tested = [clip for fold in folds if isinstance(fold, NamedSplit) for clip in fold.test]
    assert len(tested) == len(set(tested)) == 160
    for fold, size in zip(folds, (48, 48, 32, 32), strict=True):
        assert isinstance(fold, NamedSplit)
        assert fold.refit
        assert len(fold.test) == size
        assert len(fold.train) + len(fold.val) == 160 - size


def test_videoeval_trains_on_4_and_tests_on_6_clips_of_every_action() -> None:
    split = SURGICALACTIONS160.splits["videoeval"]
    assert isinstance(split, NamedSplit)
    assert split.refit
    for action in range(1, 17):
        sizes = [
            sum(clip.startswith(f"{action:02d}_") for clip in clips)
            for clips in (split.train, split.val, split.test)
        ]
        assert sizes == [3, 1, 6]
    # Golden rows of VideoEval's train.txt and test.txt.
    assert {"14_02", "06_04", "13_06", "09_05"} <= {*split.train, *split.val}
    assert {"14_07", "06_03", "13_03", "01_01"} <= set(split.test)


def test_a_small_copy_is_dealt_out_so_that_every_action_trains_and_is_tested(
    tmp_path: Path,
) -> None:
    parts = by_part(SURGICALACTIONS160.read(actions160(tmp_path, clips=4), "theatre"))
    for part in PARTS:
        assert {clip[:2] for clip in parts[part]} == {f"{n:02d}" for n in range(1, 17)}


def test_clips_in_a_wrong_folder_and_folders_of_a_wrong_name_are_told(tmp_path: Path) -> None:
    root = actions160(tmp_path)
    (root / "03_cutting/03_01.mp4").rename(root / "04_blunt_dissection/03_01.mp4")
    (root / "14_sling-in").rename(root / "14_sling_in")
    findings = all_findings(SURGICALACTIONS160, root, "fold0")
    told = {f.path.name: f.severity for f in findings.found}
    assert told["03_01.mp4"] == told["14_sling-in"] == "error"
    assert told["14_sling_in"] == "warning"
    assert len(findings.missing) == 11


def test_a_clip_that_a_fold_needs_is_named_when_it_is_missing(tmp_path: Path) -> None:
    root = actions160(tmp_path)
    (root / "16_endobag-out/16_10.mp4").unlink()
    error = strict_error(SURGICALACTIONS160, root, "fold0")
    assert "1 of the split's 160 cases are missing: 16_10" in error


# --- AVOS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("_3B8K5blJes_0_16.mp4", "_3B8K5blJes"),
        ("a_b_c-d_e_f_16_32.mp4", "a_b_c-d_e_f"),
        ("___________0_16.mp4", None),
        ("____________0_16.mp4", "___________"),
        ("3B8K5blJes_0_16.mp4", None),
        ("_3B8K5blJes_16_16.mp4", None),
        ("_3B8K5blJes_0_16.avi", None),
    ],
)
def test_a_youtube_id_may_hold_underscores_and_is_parsed_from_the_right(
    clip: str, expected: str | None
) -> None:
    assert youtube_id(clip) == expected


def test_all_clips_of_a_youtube_video_share_its_part(tmp_path: Path) -> None:
    cases = AVOS.read(avos(tmp_path), "by-video")
    assert {case.group for case in cases} == set(youtube_ids(40))
    assert len({(case.group, case.split) for case in cases}) == 40


def test_a_part_depends_on_the_id_alone_and_not_on_what_else_is_there(tmp_path: Path) -> None:
    few, many = avos(tmp_path / "few", 30), avos(tmp_path / "many", 40)
    parts = {case.case: case.split for case in AVOS.read(many, "by-video")}
    for case in AVOS.read(few, "by-video"):
        assert parts[case.case] == case.split


def test_the_position_of_a_name_is_its_sha256_on_every_machine() -> None:
    # The digest of "abc" is the first example of FIPS 180-2.
    assert position("abc") == 0xBA7816BF8F01 / 16**12
    places = np.sort([position(str(i)) for i in range(2000)])
    assert np.abs(places - np.arange(2000) / 2000).max() < 0.05


def test_a_split_by_hash_keeps_its_shares_and_refuses_a_copy_too_small_for_three_parts() -> None:
    split = HashSplit("test", train=0.7, val=0.15)
    groups: dict[str, None] = dict.fromkeys(str(i) for i in range(20_000))
    parts = list(split.assign(groups, Findings(Path())).values())
    for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
        assert parts.count(part) / 20_000 == pytest.approx(share, abs=0.01)
    with pytest.raises(BenchmarkError, match="needs more groups"):
        split.assign({"a": None, "b": None}, Findings(Path()))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("_3B8K5blJes_0_16.mp4 cutting", "1 fields, expected 2 parted by a tab"),
        ("3B8K5blJes_0_16.mp4\tcutting", "clip '3B8K5blJes_0_16.mp4'"),
        ("_3B8K5blJes_0_16.mp4\tOthers", "unknown label 'Others'"),
    ],
)
def test_a_bad_row_of_avos_is_told_by_its_line(row: str, problem: str, tmp_path: Path) -> None:
    path = text(avos(tmp_path) / "anno_meta.txt", row)
    assert strict_error(AVOS, tmp_path, "by-video").startswith(f"{path}:1: {problem}")


def test_avos_tells_a_clip_listed_twice_and_a_clip_without_a_video(tmp_path: Path) -> None:
    root = avos(tmp_path)
    table = root / "anno_meta.txt"
    rows = table.read_text().splitlines()
    text(table, *rows, rows[0])
    assert f"{table}:{len(rows) + 1}: a second row" in strict_error(AVOS, root, "by-video")
    text(table, *rows)
    (root / "videos" / rows[0].split("\t")[0]).unlink()
    assert "anno_meta.txt lists" in strict_error(AVOS, root, "by-video")


# --- PolypDiag ----------------------------------------------------------------------------------


def test_polypdiag_tests_on_val_txt_and_validates_on_a_fifth_of_train_txt(tmp_path: Path) -> None:
    cases = POLYPDIAG.read(polypdiag(tmp_path, train=170, test=80), "official")
    parts = by_part(cases)
    assert all(name.startswith("indexed-test_set") for name in parts["test"])
    assert len(parts["test"]) == 80
    assert len(parts["train"]) + len(parts["val"]) == 170
    assert len(parts["val"]) / 170 == pytest.approx(0.2, abs=0.08)
    assert POLYPDIAG.splits["official"].refit
    labels = {case.case: case.label for case in cases if isinstance(case, ClipCase)}
    assert labels["indexed-train_set_normal-0_1-0-4001"] == 1


@pytest.mark.parametrize(
    ("clip", "source"),
    [
        ("indexed-train_set_abnormal-38_outp-0-108", "38_outp"),
        ("indexed-train_set_abnormal-1_33_outp-0-512", "1_33_outp"),
        ("indexed-train_set_normal-0_61-0-4020", "0_61"),
        ("indexed-test_set-normal_test-0_61-4020-4100", "0_61"),
        ("indexed-test_set-abnormal_test-Images-105-0-130", "Images-105"),
        (
            "indexed-train_set_normal-33143cb2-a5ef-4bab-b25e-148a8076e5dd-0-12006",
            "33143cb2-a5ef-4bab-b25e-148a8076e5dd",
        ),
        ("00017", "00017"),
    ],
)
def test_the_source_video_is_read_from_the_name_of_the_clip(clip: str, source: str) -> None:
    assert source_video(clip) == source


def test_two_clips_of_one_source_video_are_never_parted(tmp_path: Path) -> None:
    root = polypdiag(tmp_path)
    rows = (root / "splits/train.txt").read_text().splitlines()
    second = [row.replace("-0-4", "-9000-4") for row in rows]
    for row in second:
        empty(root / "videos" / row.split(",")[0])
    text(root / "splits/train.txt", *rows, *second)
    cases = [case for case in POLYPDIAG.read(root, "official") if case.split != "test"]
    assert len(cases) == 80
    assert len({(case.group, case.split) for case in cases}) == 40


def test_a_source_video_in_both_lists_is_refused(tmp_path: Path) -> None:
    root = polypdiag(tmp_path)
    rows = (root / "splits/val.txt").read_text().splitlines()
    text(root / "splits/val.txt", *rows, "indexed-test_set-normal_test-0_3-9000-9100.mp4,0")
    assert "0_3 is in train and in test" in strict_error(POLYPDIAG, root)
    text(root / "splits/val.txt", *rows, "indexed-train_set_normal-0_3-0-4003.mp4,0")
    assert "is in both lists" in strict_error(POLYPDIAG, root)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a-0-9.mp4 1", "'a-0-9.mp4 1' is not NAME.mp4,LABEL"),
        ("a-0-9,1", "'a-0-9,1' is not NAME.mp4,LABEL"),
        ("a-0-9.mp4,2", "unknown label '2'"),
        ("a-0-9.mp4,abnormal", "unknown label 'abnormal'"),
    ],
)
def test_a_bad_row_of_polypdiag_is_told_by_its_line(row: str, problem: str, tmp_path: Path) -> None:
    path = text(polypdiag(tmp_path) / "splits/train.txt", row, end="\r\n", start="\ufeff")
    assert strict_error(POLYPDIAG, tmp_path).startswith(f"{path}:1: {problem}")


def test_polypdiag_tells_videos_that_no_list_names(tmp_path: Path) -> None:
    root = polypdiag(tmp_path)
    empty(root / "videos/stranger.mp4")
    [warning] = [f for f in all_findings(POLYPDIAG, root).found if f.severity == "warning"]
    assert warning.problem == "1 videos are in neither list, so not read: stranger.mp4"


def test_the_validation_videos_of_the_real_list_hold_both_classes() -> None:
    abnormal = [f"1_{i}_outp" for i in range(1, 43)]
    abnormal += [f"{i}_outp" for i in (*range(2, 40), *range(41, 62), 86)]
    tested = {5, 11, 21, 32, 37, 41, 42, 50, 53}
    normal = [f"0_{i}" for i in range(1, 62) if i not in tested | {8}]
    stated: dict[str, Part | None] = dict.fromkeys(abnormal + normal, "train")
    parts = POLYPDIAG.splits["official"].assign(stated, Findings(Path()))
    for of_class in (abnormal, normal):
        share = sum(parts[name] == "val" for name in of_class) / len(of_class)
        assert 0.1 < share < 0.3


# --- Atlas-Neurosurgical ------------------------------------------------------------------------


def test_atlas_numbers_its_seven_phases_whichever_of_them_a_copy_shows_first(
    tmp_path: Path,
) -> None:
    cases = ATLAS.read(atlas(tmp_path), "column")
    assert ATLAS.classes == ("0", "1", "2", "3", "4", "5", "6")
    labels = [case.labels.tolist() for case in cases if isinstance(case, VideoCase)]
    assert labels[0] == [0, 0, 2, 2]
    assert labels[5] == [5, 5, 0, 0]
    assert [len(of_part) for of_part in by_part(cases).values()] == [6, 2, 2]


def test_atlas_refuses_a_phase_that_is_not_one_of_its_seven(tmp_path: Path) -> None:
    root = atlas(tmp_path)
    path = text(root / "labels.csv", "video,second,label,split", "case0.mp4,0,7,train")
    assert strict_error(ATLAS, root, "column").startswith(f"{path}:2: unknown label '7'")
