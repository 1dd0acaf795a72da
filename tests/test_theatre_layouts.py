"""The written theatre: official layouts, raw files as bad as real ones, nothing half finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from unisurg.settings import Settings, Theatre
from unisurg.synthetic import layouts
from unisurg.synthetic.labels import CHOLEC80_TOOLS
from unisurg.synthetic.layouts import TheatreError, recordings
from unisurg.synthetic.motifs import PHASE_NAMES

SMALL = {
    "side_px": 32,
    "corpus_videos": 26,
    "corpus_seconds": 2,
    "phase_videos": 2,
    "polyp_train": 3,
    "polyp_test": 3,
}


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    return settings.theatre.model_copy(update=SMALL)


@pytest.fixture(scope="module")
def theatre(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theatre")
    layouts.write(root, small, seed=0)
    return root


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def alike(one: Path, other: Path) -> bool:
    """Equal bytes, or for videos the same pictures up to the encoder's choices.

    x264 does not promise equal bytes: on pictures of a few macroblocks, two encodings of the same
    frames differ by up to 6 grey levels. Another recording differs by 18 and more.
    """
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix == ".json":
        return False
    first, second = pictures(one), pictures(other)
    return first.shape == second.shape and float(np.abs(first - second).mean()) < 10


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.int16)


def test_cholec80_has_one_phase_row_per_frame_and_one_tool_row_per_second(theatre: Path) -> None:
    for name in ("video01", "video02"):
        with av.open(str(theatre / "cholec80" / "videos" / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == 25
            frames = sum(1 for _ in container.decode(stream))
        assert frames % 25 == 0
        folder = theatre / "cholec80"
        phases = (folder / "phase_annotations" / f"{name}-phase.txt").read_text().splitlines()
        assert phases[0] == "Frame\tPhase"
        rows = [row.split("\t") for row in phases[1:]]
        assert [int(row[0]) for row in rows] == list(range(frames))
        assert {row[1] for row in rows} <= set(PHASE_NAMES)
        tools = (folder / "tool_annotations" / f"{name}-tool.txt").read_text().splitlines()
        assert tools[0].split("\t") == ["Frame", *CHOLEC80_TOOLS]
        table = np.array([row.split("\t") for row in tools[1:]], int)
        assert table[:, 0].tolist() == list(range(0, frames, 25))
        assert set(np.unique(table[:, 1:])) == {0, 1}


def test_the_corpus_holds_every_way_of_storing_video(theatre: Path, small: Theatre) -> None:
    suffixes, rates, codecs, sound, shapes = set(), set(), set(), set(), set()
    for recording in recordings(small, seed=0):
        name = f"{recording.name}{recording.encoding.suffix}"
        with av.open(str(theatre / "corpus" / recording.source / name)) as container:
            stream = container.streams.video[0]
            frames = [frame.time for frame in container.decode(stream)]
            assert len(frames) == len(recording.times_ms())
            assert np.allclose(np.array(frames) * 1000, recording.times_ms(), atol=2)
            rates.add(recording.encoding.rate)
            suffixes.add(recording.encoding.suffix)
            codecs.add(stream.codec_context.name)
            shapes.add((stream.height, stream.width))
            sound.add(bool(container.streams.audio))
    assert suffixes == {".mp4", ".mkv", ".avi"}
    assert rates == {Fraction(5), Fraction(25), Fraction(30000, 1001)}
    assert codecs >= {"h264", "mpeg4"}
    assert sound == {True, False}
    assert shapes == {(32, 32), (32, 40)}
    assert any(recording.encoding.variable for recording in recordings(small, seed=0))


def test_every_source_has_recordings_and_labels_for_each(theatre: Path, settings: Settings) -> None:
    sources = {path.name for path in (theatre / "corpus").iterdir()}
    assert sources == set(settings.curate.specialties)
    for path in (theatre / "corpus").glob("*/case*"):
        file = theatre / "corpus_labels" / path.parent.name / f"{path.stem}.json"
        labels = json.loads(file.read_text())
        assert labels["specialty"] == settings.curate.specialties[labels["source"]]
        assert len(labels["phase_per_second"]) == SMALL["corpus_seconds"]


def test_three_planted_files_cannot_be_read(theatre: Path) -> None:
    planted = [path for path in (theatre / "corpus").glob("*/*") if "case" not in path.name]
    assert len(planted) == 3
    for path in planted:
        with pytest.raises(av.FFmpegError):
            av.open(str(path))


def test_polyps_are_pairs_with_masks_of_the_same_size(theatre: Path) -> None:
    for part in ("TrainDataset", "TestDataset/Kvasir"):
        folder = theatre / "polyps" / part
        pictures = sorted((folder / "images").iterdir())
        assert len(pictures) == 3
        for path in pictures:
            picture = Image.open(path)
            mask = np.array(Image.open(folder / "masks" / f"{path.stem}.png"))
            assert picture.mode == "RGB"
            assert mask.dtype == np.uint8
            assert mask.shape == picture.size[::-1]
            assert 0.04 < (mask > 128).mean() < 0.4
    greys = [np.array(Image.open(path)) for path in (theatre / "polyps").rglob("masks/*.png")]
    assert any(((mask > 0) & (mask < 255)).any() for mask in greys)
    assert any(not ((mask > 0) & (mask < 255)).any() for mask in greys)


def test_a_second_run_touches_nothing_and_a_missing_file_comes_back_the_same(
    theatre: Path, small: Theatre, tmp_path: Path
) -> None:
    before = contents(theatre)
    kept = theatre / "cholec80" / "videos" / "video01.mp4"
    written = kept.stat().st_mtime_ns
    lost = next((theatre / "corpus_labels" / "arthroscopy").iterdir())
    # The labels are written last, so the recording they belong to is written again with them.
    (redone,) = (theatre / "corpus" / "arthroscopy").glob(f"{lost.stem}.*")
    first = Path(shutil.copy(redone, tmp_path))
    lost.unlink()
    layouts.write(theatre, small, seed=0)
    after = contents(theatre)
    name = redone.relative_to(theatre).as_posix()
    assert after | {name: b""} == before | {name: b""}
    assert alike(redone, first)
    assert kept.stat().st_mtime_ns == written


def test_a_folder_of_another_seed_or_other_settings_is_refused(
    theatre: Path, small: Theatre
) -> None:
    with pytest.raises(TheatreError, match=r"other settings, seed or edition.*remove the folder"):
        layouts.write(theatre, small, seed=1)
    with pytest.raises(TheatreError, match=r"theatre\.json"):
        layouts.write(theatre, small.model_copy(update={"corpus_videos": 3}), seed=0)


def test_a_killed_run_leaves_no_broken_file_and_the_next_one_finishes(
    theatre: Path, tmp_path: Path
) -> None:
    root = tmp_path / "theatre"
    root.mkdir()
    (root / layouts.STAMP).write_bytes((theatre / layouts.STAMP).read_bytes())
    facts = json.loads((root / layouts.STAMP).read_text())
    program = (
        "import json, sys; from pathlib import Path; from unisurg.settings import Theatre;"
        "from unisurg.synthetic import layouts\n"
        "if __name__ == '__main__':\n"
        "    settings = Theatre(**json.loads(sys.argv[2]))\n"
        "    layouts.write_corpus(Path(sys.argv[1]), settings, 0)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(root), json.dumps(facts["settings"])]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while not list(root.glob("corpus/*/case*")) and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = list(root.glob("corpus/*/case*"))
    assert 0 < len(finished) < SMALL["corpus_videos"]
    assert all(alike(path, theatre / path.relative_to(root)) for path in finished)
    layouts.write_corpus(root, Theatre(**facts["settings"]), seed=0)
    again, whole = ({n for n in contents(r) if n.startswith("corpus")} for r in (root, theatre))
    assert again == whole
    assert [n for n in again if "case" in n and not alike(root / n, theatre / n)] == []
