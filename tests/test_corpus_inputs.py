"""What is found below a folder: every recording once, everything else counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_recordings import write_pictures

from unisurg.corpus.inputs import Recording, find


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


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


def test_a_single_picture_and_hidden_and_other_files_are_counted_as_ignored(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4", tmp_path / "a" / "._x.mp4", tmp_path / "a" / "cover.jpg")
    touch(tmp_path / "LICENSE", tmp_path / "labels.csv", tmp_path / "more.CSV")
    assert sorted(found(tmp_path)) == ["a/x.mp4"]
    assert find(tmp_path).ignored == {"(hidden)": 1, "(none)": 1, ".csv": 2, ".jpg": 1}


def test_every_file_is_in_one_recording_or_ignored(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4", tmp_path / "b.txt", tmp_path / "c" / "lonely.png")
    write_pictures(tmp_path / "d", ["1.png", "2.png", "x.png", "y3.jpg", "z.bmp"])
    inputs = find(tmp_path)
    files = [path for recording in inputs.recordings for path in recording.files]
    assert len(files) == len(set(files))
    assert len(files) + sum(inputs.ignored.values()) == 8


def test_linked_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "x.mp4")
    top = tmp_path / "input"
    top.mkdir()
    (top / "site").symlink_to(tmp_path / "store")
    (top / "again").symlink_to(top)
    assert sorted(found(top)) == ["site/x.mp4"]


def test_pictures_are_the_same_content_whatever_they_are_called(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v", ["1.png", "2.png"])
    write_pictures(tmp_path / "w", ["frame_07.png", "frame_08.png"])
    recordings = found(tmp_path)
    assert recordings["v"].sha256() == recordings["w"].sha256()
