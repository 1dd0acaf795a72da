"""Parts of single videos: found again, made anew when spoilt, and proof against SIGKILL (G6)."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from killed import PATIENCE_S, count_steps, kill, points, steps_of

from unisurg.corpus import tables
from unisurg.corpus.intervals import State, paint, to_rows, whole
from unisurg.corpus.mapping import Processes, map_videos
from unisurg.corpus.parts import Parts, key, whole_file

VIDEOS = [hashlib.sha256(bytes([i])).hexdigest() for i in range(8)]
PARAMETERS = {"blur_s": 5.0, "black_dark_frac": 0.97}
TABLE = "intervals.parquet"
DOOM: list[list[int]] = []
"""Of this process, where it is a worker that kills its owner: the steps that it took."""


def parts_in(folder: Path) -> Parts:
    return Parts(folder / "parts", "clean", 1, PARAMETERS)


def make(log: Path, video: str, path: Path) -> None:
    """Write the table of one video, and tell the log that this was work."""
    with log.open("a") as file:
        file.write(video + "\n")
    rng = np.random.default_rng(int(video[:8], 16))
    spans = [(float(start), float(start + 5)) for start in rng.uniform(0, 1e4, 400)]
    intervals = paint(whole(1e4), spans, State.BLUR, "", "clean")
    tables.write(path, pd.DataFrame(to_rows(video, intervals)), "intervals")


def get(folder: Path, video: str) -> Path:
    return parts_in(folder).get(video, partial(make, folder / "log", video))


def build(folder: Path) -> None:
    """All videos one after the other, and their table."""
    tables.join(folder / TABLE, [get(folder, video) for video in VIDEOS], "intervals")


def build_side_by_side(folder: Path) -> None:
    """The same over a pool of processes."""
    made = map_videos(partial(get, folder), VIDEOS, Processes(workers=2))
    tables.join(folder / TABLE, made, "intervals")


def get_in_doomed_pool(folder: Path, step: int, video: str) -> Path:
    """`get` in a worker that kills its pool's owner, and so itself, before its given step."""
    if not DOOM:
        DOOM.append(count_steps(step, os.getppid()))
    return get(folder, video)


def build_in_doomed_pool(folder: Path, step: int) -> None:
    map_videos(partial(get_in_doomed_pool, folder, step), VIDEOS, Processes(workers=2))


@pytest.fixture(scope="module")
def start() -> Callable[..., Any]:
    """Start a function in a new process whose heavy imports are done already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pandas", "pyarrow.parquet", __name__])

    def started(function: Callable[..., None], *arguments: Any) -> Any:
        process = context.Process(target=function, args=arguments)
        process.start()
        return process

    return started


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("reference")
    build(folder)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the log: its name and bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "log")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def finish(started: Any) -> None:
    started.join(PATIENCE_S)
    assert started.exitcode == 0


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in parts_in(folder).folder.iterdir()}


def assert_a_rerun_gives_the_same_and_a_second_does_nothing(
    start: Callable[..., Any],
    run: Callable[[Path], None],
    folder: Path,
    reference: dict[str, bytes],
) -> None:
    finish(start(run, folder))
    parts_in(folder).remove_stale(VIDEOS)
    left = {name: data for name, data in contents(folder).items() if not name.startswith(".")}
    assert left == reference
    before, log = stamps(folder), (folder / "log").read_text()
    run(folder)
    assert (stamps(folder), (folder / "log").read_text()) == (before, log)
    assert (folder / TABLE).read_bytes() == reference[TABLE]


@pytest.mark.parametrize("number", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_points_a_rerun_gives_the_same_bytes(
    start: Callable[..., Any], number: int, reference: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "counted").mkdir()
    for step in points(steps_of(build, tmp_path / "counted"), number):
        folder = tmp_path / str(step)
        folder.mkdir()
        kill(step, build, folder)
        assert_a_rerun_gives_the_same_and_a_second_does_nothing(start, build, folder, reference)


@pytest.mark.parametrize("number", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_again_and_again_with_its_pool_the_work_still_ends_the_same(
    start: Callable[..., Any], number: int, reference: dict[str, bytes], tmp_path: Path
) -> None:
    """Five kills, then to the end."""
    rng = np.random.default_rng(0)
    for round_ in range(-(-number // 5)):
        folder = tmp_path / str(round_)
        folder.mkdir()
        ends = []
        for step in rng.integers(1, 10, min(5, number)).tolist():
            process = start(build_in_doomed_pool, folder, step)
            process.join(PATIENCE_S)
            ends.append(process.exitcode)
        assert ends[0] == -signal.SIGKILL
        assert set(ends) <= {-signal.SIGKILL, 0}, "0 where the work was done before that step"
        assert_a_rerun_gives_the_same_and_a_second_does_nothing(
            start, build_side_by_side, folder, reference
        )


def test_killed_before_any_single_step_of_the_first_part_a_rerun_gives_the_same_bytes(
    start: Callable[..., Any], reference: dict[str, bytes], tmp_path: Path
) -> None:
    for step in range(1, 16):
        folder = tmp_path / str(step)
        folder.mkdir()
        kill(step, build, folder)
        assert_a_rerun_gives_the_same_and_a_second_does_nothing(start, build, folder, reference)


def write(text: str, path: Path) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    "harm",
    [
        lambda part: part.write_bytes(part.read_bytes()[:-1]),
        lambda part: part.write_bytes(b"?" + part.read_bytes()[1:]),
        lambda part: part.unlink(),
        lambda part: part.with_suffix(".done").unlink(),
        lambda part: part.with_suffix(".done").write_bytes(b""),
        lambda part: part.with_suffix(".done").write_bytes(b"\xff\xfe"),
    ],
)
def test_a_part_that_was_damaged_is_not_found_and_is_made_anew(harm, tmp_path: Path) -> None:
    parts = parts_in(tmp_path)
    part = parts.get("v", partial(write, "frames"))
    harm(part)
    assert parts.find("v") is None
    assert parts.get("v", partial(write, "frames")) == part
    assert part.read_text() == "frames"
    assert parts.find("v") == part


def test_a_part_is_found_by_content_stage_version_and_parameters_and_by_nothing_else() -> None:
    one = key("c", "clean", 1, {"a": 1, "b": [2.5, None]})
    assert one == key("c", "clean", 1, {"b": [2.5, None], "a": 1})
    others = [
        key("d", "clean", 1, {"a": 1, "b": [2.5, None]}),
        key("c", "scan", 1, {"a": 1, "b": [2.5, None]}),
        key("c", "clean", 2, {"a": 1, "b": [2.5, None]}),
        key("c", "clean", 1, {"a": 1, "b": [2.5, 0]}),
    ]
    assert len({one, *others}) == 5
    with pytest.raises(TypeError, match="PosixPath"):
        key("c", "clean", 1, {"a": Path("x")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        key("c", "clean", 1, {"a": float("nan")})


def test_a_maker_that_fails_leaves_nothing_and_its_error_passes_through(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    parts = parts_in(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        parts.get("v", fail)
    assert list(parts.folder.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        parts.get("v", lambda path: None)
    assert parts.find("v") is None


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("old")
    with whole_file(path) as aside:
        assert aside.suffix == ".mp4"
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_stale_parts_and_leavings_of_killed_processes_are_removed_and_named(tmp_path: Path) -> None:
    old = Parts(tmp_path, "clean", 1, {"blur_s": 4.0})
    new = Parts(tmp_path, "clean", 1, {"blur_s": 5.0})
    stale = old.get("v", partial(write, "old"))
    kept = new.get("v", partial(write, "new"))
    gone = new.get("no longer there", partial(write, "gone"))
    leaving = new.folder / f".123.{kept.name}"
    leaving.write_text("ha")
    removed = new.remove_stale(["v"])
    files = [stale, stale.with_suffix(".done"), gone, gone.with_suffix(".done"), leaving]
    assert removed == sorted(path.name for path in files)
    assert new.find("v") == kept
    assert new.remove_stale(["v"]) == []


def test_many_processes_that_make_the_same_parts_at_once_end_with_sound_ones(
    start: Callable[..., Any], reference: dict[str, bytes], tmp_path: Path
) -> None:
    for started in [start(build, tmp_path) for _ in range(4)]:
        finish(started)
    assert contents(tmp_path) == reference
