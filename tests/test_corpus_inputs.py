"""What is found below a folder: every recording once, everything else counted."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from corpus_recordings import write_pictures

from unisurg.corpus import overlaps, sources
from unisurg.corpus.inputs import Recording, find
from unisurg.corpus.scan.origin import Origins


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name))


def found(folder: Path) -> dict[str, Recording]:
    return {recording.raw: recording for recording in find(folder).recordings}


def test_a_video_is_known_by_its_suffix_in_any_case_and_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path / "site" / "a" / "b" / "x.MP4", tmp_path / "site" / "y.mkv")
    assert sorted(found(tmp_path)) == ["site/a/b/x.MP4", "site/y.mkv"]


def test_the_source_is_the_first_folder_or_the_input_itself(tmp_path: Path) -> None:
    top = tmp_path / "hospital"
    touch(top / "x.mp4", top / "site" / "deep" / "y.mp4")
    write_pictures(top / "frames", ["1.png", "2.png"])
    assert {name: r.source for name, r in found(top).items()} == {
        "x.mp4": "hospital",
        "site/deep/y.mp4": "site",
        "frames": "frames",
    }


def test_pictures_are_in_the_order_of_their_numbers_not_of_their_names(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v", [f"frame{i}.png" for i in (8, 9, 10, 11, 100)])
    recording = found(tmp_path)["v"]
    assert [path.stem for path in recording.files] == [f"frame{i}" for i in (8, 9, 10, 11, 100)]
    assert recording.missing == 88


@pytest.mark.parametrize(
    ("numbers", "missing"), [([1, 2, 3], 0), ([1, 2, 4], 1), ([0, 25, 50, 100], 1), ([5, 6, 9], 2)]
)
def test_missing_numbers_are_counted_in_the_usual_step(
    tmp_path: Path, numbers: list[int], missing: int
) -> None:
    write_pictures(tmp_path / "v", [f"{i:06d}.png" for i in numbers])
    assert found(tmp_path)["v"].missing == missing


def test_two_series_in_a_folder_are_two_recordings(tmp_path: Path) -> None:
    names = ["left1.png", "left2.png", "right1.png", "right2.png"]
    write_pictures(tmp_path / "v", names)
    assert sorted(found(tmp_path)) == ["v/left*.png", "v/right*.png"]


def test_pictures_without_an_order_are_kept_apart_from_a_series(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v", ["000030.png", "000031.png", "000030 (1).png", "cover.png"])
    recordings = found(tmp_path)
    assert recordings["v/*.png"].kind == "pictures"
    assert recordings["v/(unordered)"].kind == "unordered"
    assert len(recordings["v/(unordered)"].files) == 2


def test_one_picture_per_modality_is_no_sequence(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v", ["color.png", "depth.png", "flow.png"])
    assert found(tmp_path)["v"].kind == "unordered"


def test_a_single_picture_and_hidden_and_other_files_are_listed_and_counted(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4", tmp_path / "a" / "._x.mp4", tmp_path / "a" / "cover.jpg")
    touch(tmp_path / "LICENSE", tmp_path / "labels.csv", tmp_path / "more.CSV")
    touch(tmp_path / ".DS_Store", tmp_path / "a" / "Thumbs.db")
    assert sorted(found(tmp_path)) == ["a/x.mp4"]
    assert [(other.raw, other.suffix) for other in find(tmp_path).others] == [
        (".DS_Store", "(hidden)"),
        ("LICENSE", "(none)"),
        ("a/._x.mp4", "(hidden)"),
        ("a/Thumbs.db", "(system)"),
        ("a/cover.jpg", ".jpg"),
        ("labels.csv", ".csv"),
        ("more.CSV", ".csv"),
    ]
    assert {other.raw_bytes for other in find(tmp_path).others if other.suffix == ".csv"} == {8, 10}
    counts = {"(hidden)": 2, "(none)": 1, "(system)": 1, ".csv": 2, ".jpg": 1}
    assert find(tmp_path).ignored == counts


def test_every_file_is_in_one_recording_or_another_file(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4", tmp_path / "b.txt", tmp_path / "c" / "lonely.png")
    write_pictures(tmp_path / "d", ["1.png", "2.png", "x.png", "y3.jpg", "z.bmp"])
    inputs = find(tmp_path)
    files = [path for recording in inputs.recordings for path in recording.files]
    assert len(files) == len(set(files))
    assert len(files) + len(inputs.others) == 8


def test_links_are_followed_within_the_input_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "x.mp4")
    (tmp_path / "site").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "again").symlink_to(tmp_path)
    (tmp_path / "y.mp4").symlink_to(tmp_path / "store" / "x.mp4")
    (tmp_path / "z.mp4").symlink_to(tmp_path / "z.mp4")
    assert sorted(found(tmp_path)) == ["site/x.mp4", "y.mp4", "z.mp4"]
    assert not find(tmp_path).unreadable


def test_a_link_that_leads_out_of_the_input_is_told_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "x.mp4", tmp_path / "input" / "a.mp4")
    top = tmp_path / "input"
    (top / "site").symlink_to(tmp_path / "elsewhere")
    (top / "b.mp4").symlink_to(tmp_path / "elsewhere" / "x.mp4")
    assert sorted(found(top)) == ["a.mp4"]
    assert [one.raw for one in find(top).unreadable] == ["b.mp4", "site"]
    assert all("leads out of the input" in one.why for one in find(top).unreadable)


def test_the_input_itself_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "site" / "x.mp4")
    (tmp_path / "input").symlink_to(tmp_path / "real")
    assert sorted(found(tmp_path / "input")) == ["site/x.mp4"]


def test_what_cannot_be_listed_or_opened_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusals are planted, since some who run tests may open everything."""
    touch(tmp_path / "a" / "x.mp4", tmp_path / "shut" / "y.mp4", tmp_path / "a" / "shut.bin")
    os.mkfifo(tmp_path / "a" / "pipe.mp4")
    scandir, opened = os.scandir, Path.open

    def scanned(place: Any) -> Any:
        if Path(place).name == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    def open_(path: Path, *how: Any) -> Any:
        if path.name == "shut.bin":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *how)

    monkeypatch.setattr(os, "scandir", scanned)
    monkeypatch.setattr(Path, "open", open_)
    assert sorted(found(tmp_path)) == ["a/x.mp4"]
    assert {(one.raw, one.why) for one in find(tmp_path).unreadable} == {
        ("shut", "folder: Permission denied"),
        ("a/shut.bin", "file: Permission denied"),
        ("a/pipe.mp4", "no file but a pipe, a socket or a device"),
    }


def test_a_name_that_is_no_text_is_written_so_that_every_table_can_hold_it(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/f\xfcr")  # noqa: PTH102 - bytes
    touch(Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcr/M\xfcller.mp4")))
    [(name, recording)] = found(tmp_path).items()
    assert name == r"f\xfcr/M\xfcller.mp4"
    assert recording.source == r"f\xfcr"
    assert recording.sha256()


def test_a_dicom_file_is_a_video_whatever_its_name_but_not_the_list_of_its_disc(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "a" / "x.dcm")
    for name in ("IM_0001", "1.2.840.1", "DICOMDIR", ".hidden", "notes.txt"):
        magic = b"text" if name == "notes.txt" else b"DICM"
        (tmp_path / "a" / name).write_bytes(bytes(128) + magic)
    assert sorted(found(tmp_path)) == ["a/1.2.840.1", "a/IM_0001", "a/x.dcm"]
    assert find(tmp_path).ignored == {"(hidden)": 1, "(system)": 1, ".txt": 1}


def test_pictures_are_the_same_content_whatever_they_are_called(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v", ["1.png", "2.png"])
    write_pictures(tmp_path / "w", ["frame_07.png", "frame_08.png"])
    recordings = found(tmp_path)
    assert recordings["v"].sha256() == recordings["w"].sha256()


def test_a_link_that_leads_nowhere_is_a_recording_without_bytes(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4")
    (tmp_path / "a" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert {name: r.raw_bytes for name, r in found(tmp_path).items()} == {
        "a/gone.mp4": 0,
        "a/x.mp4": 5,
    }


@pytest.mark.parametrize(
    ("raw", "dataset", "source"),
    [
        ("Cholec80/video41.mp4", "cholec80", "cholec80"),
        ("public/CHOLEC80/videos/video41.mp4", "cholec80", "public"),
        ("public/CholecSeg8k/video41.mp4", "cholecseg8k", "public"),
        ("ours/colonoscopy/case.mp4", "ours", "ours"),  # a word, not the theatre
    ],
)
def test_a_data_set_is_known_by_any_folder_in_any_case_and_a_provider_by_the_first_alone(
    tmp_path: Path, raw: str, dataset: str, source: str
) -> None:
    touch(tmp_path / raw)
    origin = Origins(sources.load(), overlaps.load(), False).of(found(tmp_path)[raw])
    assert (origin.dataset_d, origin.source_id) == (dataset, source)
