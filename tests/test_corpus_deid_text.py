"""Burned-in text is found on medians, offline, and tissue is not taken for it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from deid_overlays import Planted, Scene, covered, plant, scene_of, theatre

from unisurg.corpus.deid.overlays import paint, pixel_rectangles
from unisurg.corpus.deid.text import (
    Kind,
    Line,
    TextError,
    TextReader,
    TextRules,
    looks_personal,
    merged,
    personal_lines,
    stroke_boxes,
)

RULES = TextRules(
    sides_px=(352, 544),
    pixel_probability=0.15,
    box_probability=0.3,
    confidence=0.5,
    characters=2,
    most_height=0.4,
    margin=0.3,
    still_spread=3.0,
    strong_edge=9.0,
)
LETTERS = (0.022, 0.07)
"""Least and most height of capitals, in shares of the picture's short side."""
WHOLE = 0.98
"""Text is found where at least this share of its strokes is painted."""


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader(RULES)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    worlds = ("laparoscopy-a", "colonoscopy", "nose")
    return [scene for world in worlds for scene in theatre(world, 1, 360, 640)]


def planted_into(scenes: Sequence[Scene], number: int, seed: int) -> Iterator[Planted]:
    rng = np.random.default_rng(seed)
    return (plant(scenes[i % len(scenes)], rng, LETTERS) for i in range(number))


def missed(reader: TextReader, planted: Iterable[Planted]) -> list[str]:
    """What is not painted whole, or is personal and not called so."""
    wrong = []
    for one in planted:
        [found] = reader.read([one.scene.median])
        height, width = one.ink.shape
        share = covered(one, pixel_rectangles([f.rectangle for f in found], width, height))
        if share < WHOLE or (one.personal and Kind.PERSONAL not in {f.kind for f in found}):
            wrong.append(f"{one.text!r} ({one.style}): {share:.2f} of it painted")
    return wrong


def false(reader: TextReader, clean: Sequence[Scene]) -> int:
    """Number of medians without text on which something is found, by reading or by strokes."""
    found = reader.read((s.median for s in clean), (s.spread for s in clean))
    return sum(map(bool, found))


def test_forty_planted_lines_are_painted_and_their_kind_is_known(
    reader: TextReader, scenes: list[Scene]
) -> None:
    assert missed(reader, planted_into(scenes, 40, seed=0)) == []


def test_tissue_and_instruments_are_no_text(reader: TextReader, scenes: list[Scene]) -> None:
    assert false(reader, scenes) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_text_is_found_on_99_of_100_medians_and_on_none_but_1_without(reader: TextReader) -> None:
    from unisurg.synthetic.worlds import WORLDS

    clean = [scene for world in WORLDS for scene in theatre(world, 6, 480, 854)]
    wrong = missed(reader, planted_into(clean, 510, seed=1))
    n_false = false(reader, clean)
    print(f"missed {len(wrong)} of 510: {wrong}; false {n_false} of {len(clean)}")
    assert len(wrong) <= 0.01 * 510
    assert n_false <= 0.01 * len(clean)


def frames_of(video: Path, every: int) -> np.ndarray:
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))[::every]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def pictures_of(folder: Path, pattern: str) -> np.ndarray:
    paths = sorted(folder.glob(pattern))
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in paths])


@pytest.fixture(scope="module")
def real_scenes(real_data: Path) -> list[Scene]:
    """Seven real recordings, none with burned-in text, each in three sizes."""
    stacks = [
        *(frames_of(path, every=10) for path in sorted(real_data.glob("*/*_2.mp4"))),
        frames_of(real_data / "rvimlab-endoscopy" / "endo.mp4", every=10),
        frames_of(real_data / "c3vd" / "c3vdv3_aligned_prev_final.mp4", every=24)[:, :, :446],
        *(pictures_of(real_data, f"cholect50-val/videos/{v}/*.png") for v in ("VID70", "VID74")),
        pictures_of(real_data, "cataractsam2-frames/*.jpg"),
    ]
    scenes = []
    for stack in stacks:
        for side_px in (256, 360, 480):
            scale = side_px / min(stack.shape[1:3])
            size = round(scale * stack.shape[2]), round(scale * stack.shape[1])
            small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in stack]
            scenes.append(scene_of(np.stack(small)))
    return scenes


@pytest.mark.realdata
def test_real_surgery_has_no_false_text(reader: TextReader, real_scenes: list[Scene]) -> None:
    assert len(real_scenes) == 21
    assert false(reader, real_scenes) == 0


@pytest.mark.realdata
def test_text_planted_into_real_surgery_is_found(
    reader: TextReader, real_scenes: list[Scene]
) -> None:
    assert missed(reader, planted_into(real_scenes, 42, seed=2)) == []


def test_reading_opens_no_connection_and_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], scenes: list[Scene]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    [planted] = planted_into(scenes[:1], 1, seed=3)
    assert TextReader(RULES).read([planted.scene.median])[0]
    assert capfd.readouterr() == ("", "")


def test_a_process_that_may_open_no_socket_reads_from_the_first_import_on(tmp_path: Path) -> None:
    [planted] = planted_into([Scene(np.zeros((256, 456, 3), np.uint8), np.zeros((256, 456)))], 1, 4)
    np.save(tmp_path / "median.npy", planted.scene.median)
    script = (
        "import sys, numpy as np\n"
        "def hook(event, _):\n"
        "    if event.startswith('socket.'): raise RuntimeError(event)\n"
        "sys.addaudithook(hook)\n"
        "from unisurg.corpus.deid.text import TextReader, TextRules\n"
        f"reader = TextReader({RULES!r})\n"
        f"print(len(reader.read([np.load({str(tmp_path / 'median.npy')!r})])[0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 1


def test_the_same_median_gives_the_same_rectangles(reader: TextReader, scenes: list[Scene]) -> None:
    [planted] = planted_into(scenes[:1], 1, seed=5)
    once, again = reader.read([planted.scene.median, planted.scene.median])
    assert once == again != []


def test_nothing_is_left_to_read_where_it_was_painted(
    reader: TextReader, scenes: list[Scene]
) -> None:
    medians = [planted.scene.median for planted in planted_into(scenes, 3, seed=9)]
    painted = [
        paint(median, [one.rectangle for one in found])
        for median, found in zip(medians, reader.read(medians), strict=True)
    ]
    assert reader.read(painted) == [[], [], []]


def test_strokes_that_stand_still_are_found_without_reading(scenes: list[Scene]) -> None:
    planted = [p for p in planted_into(scenes, 60, seed=6) if p.style != "faint"]
    shares = []
    for one in planted:
        boxes = stroke_boxes(one.scene.median, one.scene.spread, RULES)
        shares.append(covered(one, np.array(boxes, int).reshape(-1, 4)))
    assert np.mean(np.array(shares) >= 0.5) >= 0.85


def test_where_nothing_moves_strokes_tell_nothing(scenes: list[Scene]) -> None:
    [planted] = planted_into(scenes[:1], 1, seed=7)
    assert stroke_boxes(planted.scene.median, np.zeros_like(planted.scene.spread), RULES) == []


@pytest.mark.parametrize(
    "text",
    [
        "Patient: Anna Schmidt", "PATIENT:MUELLER", "O'Brien, Sean", "23/08/200202:48",
        "1962-05-08", "3 Mar 1950", "8.10.19", "MRN: 18830858", "20 41 53 77", "St. Mary Hospital",
        "Universitätsklinikum Bonn", "CHU Hôpital Nord", "Dr.Anna", "geb. Huber", "Name", "病院",
    ],
)  # fmt: skip
def test_personal_data_is_known_by_its_looks(text: str) -> None:
    assert looks_personal(text)


@pytest.mark.parametrize(
    "text",
    ["White balance", "Zoom x1.5", "KARL STORZ", "Gain +2", "REC", "40 mmHg", "30 deg", "00:12:31"],
)
def test_the_words_of_a_device_are_not_personal(text: str) -> None:
    assert not looks_personal(text)


def test_what_stands_beside_or_below_a_label_is_personal() -> None:
    label = Line((10, 10, 60, 20), "Name", 0.9)
    beside, below = Line((70, 11, 150, 20), "Huber", 0.9), Line((10, 23, 80, 33), "Huber", 0.9)
    far = Line((300, 200, 380, 210), "Zoom", 0.9)
    assert personal_lines([label, beside, below, far]) == [True, True, True, False]


def test_two_readings_of_one_place_are_one_box_with_the_surer_text() -> None:
    small, large = Line((10, 10, 60, 20), "REC", 0.9), Line((8, 9, 62, 21), "RFC", 0.6)
    assert merged([large, small]) == [Line((8, 9, 62, 21), "REC", 0.9)]


def test_what_a_found_text_says_is_not_printed(reader: TextReader, scenes: list[Scene]) -> None:
    [planted] = planted_into(scenes[:1], 1, seed=8)
    [found] = reader.read([planted.scene.median])
    assert found
    assert not any(one.text in repr(one) for one in found)


def test_a_reader_that_does_not_read_a_known_line_is_refused() -> None:
    with pytest.raises(TextError, match="does not read a plain line"):
        TextReader(replace(RULES, sides_px=(40,)))


def test_networks_that_are_not_in_the_package_are_not_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import rapidocr

    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(TextError, match=r"0 networks .* wanted one: install rapidocr"):
        TextReader(RULES)


@pytest.mark.parametrize(
    "median", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4))]
)
def test_a_picture_that_is_none_is_an_error(reader: TextReader, median: np.ndarray) -> None:
    with pytest.raises(TextError, match="wanted a median"):
        reader.read([median])


def test_a_spread_is_wanted_for_every_median_or_for_none(
    reader: TextReader, scenes: list[Scene]
) -> None:
    with pytest.raises(ValueError, match="zip"):
        reader.read([scene.median for scene in scenes], [scenes[0].spread])


def test_a_failing_network_is_an_error_and_never_no_text(
    reader: TextReader, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(reader, "_engine", fail)
    with pytest.raises(TextError, match="RapidOCR failed: MemoryError"):
        reader.read([scenes[0].median])


def test_an_outline_that_fills_the_picture_is_no_line_of_text(
    monkeypatch: pytest.MonkeyPatch, reader: TextReader
) -> None:
    """A round view is read as "AC"; a line that is written upwards is high, and thin."""
    read = [
        Line((0, 0, 300, 170), "AC", 0.9),
        Line((10, 5, 40, 195), "UPWARDS", 0.9),
        Line((5, 100, 200, 120), "ACROSS", 0.9),
    ]
    monkeypatch.setattr(TextReader, "_lines", lambda self, picture, side_px: read)
    [found] = reader.read([np.zeros((200, 300, 3), np.uint8)])
    assert [one.text for one in found] == ["UPWARDS", "ACROSS"]
