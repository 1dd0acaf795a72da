"""DICOM files: moving pictures come out at their times, and nothing about the patient does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import corpus_dicoms as dicoms
import numpy as np
import pytest
from corpus_recordings import HEIGHT, WIDTH, constant, number_of, numbered

from unisurg.corpus.dicom import extract, is_dicom
from unisurg.corpus.facts import ClipFacts, RawFacts, Reason, Unusable
from unisurg.corpus.normalise import read_video
from unisurg.corpus.probe import probe
from unisurg.video.decode import open_clip

SHOWN = [numbered(number) for number in range(60)]
GREY = [picture[..., 0] for picture in SHOWN]


def read(raw: Path) -> tuple[list[int], RawFacts, ClipFacts]:
    """Numbers that the frames of its clip show, one a second."""
    shown, clip = raw.with_name("shown"), raw.with_name("clip.mp4")
    extract(raw, shown)
    facts = read_video(shown, clip, 1.0, 64, 20, declared_s=0.0)
    with open_clip(clip) as reader:
        numbers = [number_of(frame) for frame in reader.read(range(len(reader)))]
    return numbers, probe(shown), facts


@pytest.mark.parametrize(
    ("name", "codec", "syntax", "fragments"),
    [
        ("a.mp4", "libx264", dicoms.H264, 1),
        ("a.ts", "libx264", dicoms.H264 + ".1", 3),
        ("a.h264", "libx264", dicoms.H264, 3),
        ("a.m2v", "mpeg2video", dicoms.MPEG2, 1),
        ("a.hevc", "libx265", dicoms.HEVC, 1),
    ],
)
def test_encapsulated_video_leaves_as_it_is_whole_or_in_fragments(
    tmp_path: Path, name: str, codec: str, syntax: str, fragments: int
) -> None:
    video = constant(tmp_path / name, 25, 75, codec=codec)
    raw = dicoms.write_video(tmp_path / "IM_0001", video, syntax, fragments)
    numbers, facts, clip = read(raw)
    whole = (tmp_path / "shown").read_bytes()
    assert whole.rstrip(b"\0") == video.read_bytes().rstrip(b"\0")
    assert numbers == [0, 25, 50]
    assert (facts.fps, clip.decoded_frames, clip.decode_errors) == (25, 75, 0)


@pytest.mark.parametrize(
    ("times", "expected", "variable"),
    [
        ({"FrameTime": "40"}, [0, 25, 50], False),
        ({"FrameTime": "33.3667"}, [0, 30], False),
        ({"CineRate": "10"}, [0, 10, 20, 30, 40, 50], False),
        ({"RecommendedDisplayFrameRate": "20"}, [0, 20, 40], False),
        ({"FrameTimeVector": ["0"] + ["50"] * 20 + ["100"] * 39}, [0, 20, 30, 40, 50], True),
        ({"FrameTimeVector": ["0", "50"], "CineRate": "10"}, [0, 20, 40], False),
    ],
)
def test_pictures_are_shown_at_the_times_that_the_file_tells(
    tmp_path: Path, times: dict[str, Any], expected: list[int], variable: bool
) -> None:
    numbers, _, clip = read(dicoms.write_jpegs(tmp_path / "a.dcm", SHOWN, **times))
    assert numbers == expected
    assert (clip.decoded_frames, clip.decode_errors) == (60, 0)
    assert clip.variable_rate == variable


@pytest.mark.parametrize(("fragments", "table"), [(1, False), (3, True), (3, False)])
def test_a_picture_may_lie_in_several_fragments_with_a_table_of_offsets_or_without(
    tmp_path: Path, fragments: int, table: bool
) -> None:
    raw = dicoms.write_jpegs(tmp_path / "a.dcm", SHOWN, fragments, table, FrameTime="50")
    assert read(raw)[0] == [0, 20, 40]


@pytest.mark.parametrize(
    ("pictures", "how", "pixel_format"),
    [
        (GREY, {}, "gray"),
        (SHOWN, {}, "rgb24"),
        (SHOWN, {"PlanarConfiguration": 1}, "rgb24"),
        (SHOWN, {"implicit": True}, "rgb24"),
    ],
    ids=["grey", "colour", "planes", "implicit"],
)
def test_uncompressed_pictures_are_read(
    tmp_path: Path, pictures: list[np.ndarray], how: dict[str, Any], pixel_format: str
) -> None:
    raw = dicoms.write_pictures(tmp_path / "a.dcm", pictures, CineRate="20", **how)
    numbers, facts, _ = read(raw)
    assert numbers == [0, 20, 40]
    assert facts.pixel_format == pixel_format
    assert (facts.width_px, facts.height_px, facts.fps) == (WIDTH, HEIGHT, 20)


def test_colours_survive_in_planes_and_without(tmp_path: Path) -> None:
    import av

    red = [np.full((32, 48, 3), (200, 60, 40), np.uint8)] * 2
    for planes in (0, 1):
        how = {"PlanarConfiguration": planes, "CineRate": "1"}
        extract(dicoms.write_pictures(tmp_path / "a.dcm", red, **how), tmp_path / "shown")
        with av.open(str(tmp_path / "shown")) as container:
            for frame in container.decode(video=0):
                assert (frame.to_ndarray(format="rgb24") == (200, 60, 40)).all()


def cut_header(path: Path) -> None:
    data = dicoms.write_jpegs(path, SHOWN, FrameTime="40").read_bytes()
    path.write_bytes(data[:300])


def garbled_header(path: Path) -> None:
    data = dicoms.write_jpegs(path, SHOWN, FrameTime="40").read_bytes()
    path.write_bytes(data.replace(b"\x28\x00\x10\x00US\x02", b"\x28\x00\x10\x00US\x03"))


@pytest.mark.parametrize(
    ("make", "reason", "detail"),
    [
        (lambda p: dicoms.write_jpegs(p, SHOWN[:1], FrameTime="40"), "no_video_stream", "single"),
        (lambda p: dicoms.write_pictures(p, GREY[:1], CineRate="1"), "no_video_stream", "single"),
        (lambda p: dicoms.write(p, dicoms.H264, None), "no_video_stream", "no pixels"),
        (lambda p: dicoms.write_jpegs(p, SHOWN), "not_a_sequence", "without times"),
        (
            lambda p: dicoms.write(p, "1.2.840.10008.1.2.5", dicoms.encapsulate([b"rle."])),
            "unreadable",
            "transfer syntax 1.2.840.10008.1.2.5",
        ),
        (
            lambda p: dicoms.write_pictures(p, GREY, CineRate="1", BitsAllocated=16),
            "unreadable",
            "MONOCHROME2, 1 samples of 16 bits",
        ),
        (
            lambda p: dicoms.write_jpegs(p, SHOWN, FrameTime="-40", Rows=0),
            "unreadable",
            "what it says of its pixels",
        ),
        (cut_header, "no_video_stream", "cut off before"),
        (garbled_header, "unreadable", "the header cannot be read"),
    ],
)
def test_what_is_not_read_is_refused_with_its_form_and_without_the_patient(
    tmp_path: Path, make: Any, reason: str, detail: str
) -> None:
    make(tmp_path / "a.dcm")
    with pytest.raises(Unusable) as refusal:
        extract(tmp_path / "a.dcm", tmp_path / "shown")
    assert refusal.value.reason == Reason(reason)
    assert detail in refusal.value.detail
    assert "Mueller" not in refusal.value.detail


@pytest.mark.parametrize("kind", ["video", "jpegs", "pictures"])
def test_of_a_file_that_was_cut_off_there_is_what_it_still_holds(tmp_path: Path, kind: str) -> None:
    raw = tmp_path / "a.dcm"
    if kind == "video":
        dicoms.write_video(raw, constant(tmp_path / "a.ts", 25, 60, options={"g": "5", "bf": "0"}))
    elif kind == "jpegs":
        dicoms.write_jpegs(raw, SHOWN, FrameTime="40")
    else:
        dicoms.write_pictures(raw, GREY, FrameTime="40")
    data = raw.read_bytes()
    raw.write_bytes(data[: int(0.8 * len(data))])
    numbers, _, clip = read(raw)
    assert numbers[:2] == [0, 25]
    assert 40 <= clip.decoded_frames <= 50


@pytest.mark.parametrize("kind", ["video", "jpegs", "pictures"])
def test_nothing_about_the_patient_comes_out(tmp_path: Path, kind: str) -> None:
    raw = tmp_path / "a.dcm"
    match kind:
        case "video":
            dicoms.write_video(raw, constant(tmp_path / "a.mp4", 25, 30))
        case "jpegs":
            dicoms.write_jpegs(raw, SHOWN, FrameTime="40")
        case "pictures":
            dicoms.write_pictures(raw, GREY, FrameTime="40")
    extract(raw, tmp_path / "shown")
    assert b"Mueller" in raw.read_bytes()
    assert b"Mueller" not in (tmp_path / "shown").read_bytes()


def test_a_dicom_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    raw = dicoms.write_jpegs(tmp_path / "a", SHOWN[:2], FrameTime="40")
    assert is_dicom(raw.read_bytes()[:132])
    assert not is_dicom(b"DICM")
    assert not is_dicom(bytes(132))
