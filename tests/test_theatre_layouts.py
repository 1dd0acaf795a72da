"""The written theatre: official layouts, raw files as bad as real ones, nothing half finished."""

from __future__ import annotations

import json
import os
import re
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

from unisurg.benchmarks import REGISTRY
from unisurg.cli import main
from unisurg.corpus.sources import load
from unisurg.settings import Settings, Theatre
from unisurg.synthetic import layouts
from unisurg.synthetic.labels import CHOLEC80_TOOLS
from unisurg.synthetic.layouts import LAYOUTS, TheatreError, troubles
from unisurg.synthetic.layouts.corpus import recordings
from unisurg.synthetic.layouts.jobs import FAMILIES
from unisurg.synthetic.motifs import PHASE_NAMES

SMALL = {
    "side_px": 32,
    "corpus_videos": 26,
    "corpus_seconds": 2,
    "phase_videos": 2,
    "polyp_train": 3,
    "polyp_test": 3,
    "polyp_others": 1,
}
ROOT = Path(__file__).resolve().parent.parent
OLD = ("corpus", "cholec80", "polyps")


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    return settings.theatre.model_copy(update=SMALL)


@pytest.fixture(scope="module")
def theatre(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theatre")
    layouts.write(root, small, 0, OLD)
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


def test_every_source_has_recordings_and_labels_for_each(theatre: Path) -> None:
    rendered = {name: source for name, source in load().items() if source.rendered}
    folders = {path.name for path in (theatre / "corpus").iterdir()}
    assert folders == {*rendered, troubles.UNKNOWN_SOURCE}
    for path in (theatre / "corpus").glob("*/case*"):
        file = theatre / "corpus_labels" / path.parent.name / f"{path.stem}.json"
        labels = json.loads(file.read_text())
        assert labels["specialty"] == rendered[labels["source"]].specialty
        assert len(labels["phase_per_second"]) == SMALL["corpus_seconds"]


def test_three_planted_files_cannot_be_read(theatre: Path) -> None:
    known = ("case", "trouble")
    planted = [p for p in (theatre / "corpus").glob("*/*") if not p.name.startswith(known)]
    assert len(planted) == 3
    for path in planted:
        with pytest.raises(av.FFmpegError):
            av.open(str(path))


def test_there_is_a_recording_of_every_trouble(theatre: Path, small: Theatre) -> None:
    found = {f"corpus/{p.parent.name}/{p.name}" for p in theatre.glob("corpus/*/trouble-*")}
    assert found == {one.path for one in troubles.TROUBLES}
    for path in found:
        with av.open(str(theatre / path)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == small.corpus_seconds * small.corpus_fps


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
    layouts.write(theatre, small, 0, OLD)
    after = contents(theatre)
    name = redone.relative_to(theatre).as_posix()
    assert after | {name: b""} == before | {name: b""}
    assert alike(redone, first)
    assert kept.stat().st_mtime_ns == written


def test_a_folder_of_another_seed_or_other_settings_is_refused(
    theatre: Path, small: Theatre
) -> None:
    with pytest.raises(TheatreError, match=r"other settings, seed or edition.*remove the folder"):
        layouts.write(theatre, small, 1, OLD)
    with pytest.raises(TheatreError, match=r"corpus: written with .*theatre\.json"):
        layouts.write(theatre, small.model_copy(update={"corpus_videos": 3}), 0, OLD)
    with pytest.raises(TheatreError, match="seed"):
        layouts.write(theatre, small, 1, ["avos"])


def test_a_folder_may_hold_some_layouts_and_gets_others_later(
    small: Theatre, tmp_path: Path
) -> None:
    few = small.model_copy(update={"polyp_train": 1, "polyp_test": 1})
    layouts.write(tmp_path, few, 0, ["kvasir"])
    assert {path.name for path in tmp_path.iterdir()} == {"polyps", layouts.STAMP}
    more = few.model_copy(update={"avos_videos": 1, "clip_seconds": 1, "small_side_px": 32})
    layouts.write(tmp_path, more, 0, ["avos"])
    assert {path.name for path in tmp_path.iterdir()} == {"polyps", "avos", layouts.STAMP}
    stamp = json.loads((tmp_path / layouts.STAMP).read_text())
    assert stamp["layouts"]["polyps"] == {
        "edition": 2,
        "polyp_train": 1,
        "polyp_test": 1,
        "polyp_others": 1,
    }
    assert stamp["layouts"]["avos"]["clip_seconds"] == 1


def test_a_layout_that_was_removed_may_be_written_with_other_settings(
    small: Theatre, tmp_path: Path
) -> None:
    few = small.model_copy(update={"polyp_train": 1, "polyp_test": 1})
    layouts.write(tmp_path, few, 0, ["polyps"])
    shutil.rmtree(tmp_path / "polyps")
    layouts.write(tmp_path, few.model_copy(update={"polyp_test": 2}), 0, ["polyps"])
    stamp = json.loads((tmp_path / layouts.STAMP).read_text())
    assert stamp["layouts"]["polyps"]["polyp_test"] == 2


def test_an_unknown_layout_is_named_and_nothing_is_written(
    small: Theatre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = r"no layout cholec81; there are: .*avos.*kvasir"
    with pytest.raises(TheatreError, match=known):
        layouts.write(tmp_path / "theatre", small, 0, ["avos", "cholec81"])
    assert main(["synthesize", "--output", str(tmp_path / "theatre"), "--layout", "cholec81"]) == 1
    assert re.search(known, capsys.readouterr().err)
    assert not (tmp_path / "theatre").exists()


def test_every_benchmark_of_the_settings_has_a_layout(settings: Settings) -> None:
    written = {*LAYOUTS, *layouts.ALIASES}
    assert set(settings.benchmarks) <= written
    assert written - {"corpus", "polyps"} <= set(REGISTRY)
    assert set(FAMILIES) == set(LAYOUTS)


def test_the_theatre_of_the_repository_is_the_one_of_its_settings(settings: Settings) -> None:
    stamp = json.loads((ROOT / "theatre" / layouts.STAMP).read_text())
    values = settings.theatre.model_dump(mode="json")
    wanted = {
        row.name: {"edition": row.edition} | {name: values[name] for name in row.settings}
        for row in LAYOUTS.values()
    }
    assert stamp == {"seed": settings.seed, "layouts": wanted}
    assert {name for row in LAYOUTS.values() for name in row.settings} == set(values)
    missing = [
        job.done
        for row in LAYOUTS.values()
        for job in row.jobs(ROOT / "theatre", settings.theatre, settings.seed)
        if not job.done.is_file()
    ]
    assert missing == []


def test_a_killed_run_leaves_no_broken_file_and_the_next_one_finishes(
    theatre: Path, small: Theatre, tmp_path: Path
) -> None:
    root = tmp_path / "theatre"
    root.mkdir()
    (root / layouts.STAMP).write_bytes((theatre / layouts.STAMP).read_bytes())
    program = (
        "import json, sys; from pathlib import Path; from unisurg.settings import Theatre;"
        "from unisurg.synthetic import layouts\n"
        "if __name__ == '__main__':\n"
        "    settings = Theatre(**json.loads(sys.argv[2]))\n"
        "    layouts.write(Path(sys.argv[1]), settings, 0, ['corpus'])\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(root), small.model_dump_json()]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while not list(root.glob("corpus/*/case*")) and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = list(root.glob("corpus/*/case*"))
    assert 0 < len(finished) < SMALL["corpus_videos"]
    assert all(alike(path, theatre / path.relative_to(root)) for path in finished)
    layouts.write(root, small, 0, ["corpus"])
    again, whole = ({n for n in contents(r) if n.startswith("corpus")} for r in (root, theatre))
    assert again == whole
    assert [n for n in again if "case" in n and not alike(root / n, theatre / n)] == []
