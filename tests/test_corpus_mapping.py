"""One function over many items: the same outcomes on every runner, and none without one."""

from __future__ import annotations

import builtins
import importlib.util
import os
import signal
import subprocess
import sys
import time
import unittest.mock
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from unisurg.corpus.child import ChildCrashed
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.mapping import (
    Dask,
    Failed,
    Processes,
    Ray,
    Runner,
    RunnerError,
    map_videos,
    runner_of,
)

ITEMS = list(range(12))
RUNNERS: dict[str, Callable[[], Runner]] = {
    "processes": lambda: Processes(2),
    "dask": lambda: Dask(2),
    "ray": lambda: Ray(2),
}
PACKAGES = {"dask": "distributed", "ray": "ray"}


def installed(name: str) -> Any:
    """The name as a parameter; skipped where its package is absent, and Ray takes long to start."""
    absent = name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None
    marks = [pytest.mark.skipif(absent, reason=f"{name} is not installed")]
    return pytest.param(name, marks=[*marks, pytest.mark.slow] if name == "ray" else marks)


ALL = [installed(name) for name in RUNNERS]


class Strange(Exception):
    """Pickles, but does not come back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def work(item: int) -> int:
    """Every kind of end that an item may have."""
    if item == 3:
        raise Unusable(Reason.DAMAGED, "a third is missing")
    if item == 5:
        raise Strange(1, 2)
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def square(item: int) -> int:
    return item * item


def pid_of(item: int) -> int:
    return os.getpid()


def wait(folder: Path, item: int) -> None:
    """Sleep, and leave word of who does."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def log_begin(log: Path, item: int) -> int:
    with log.open("a") as file:
        file.write(f"{item}\n")
    return item


def interrupted(kind: str, folder: str) -> None:
    """The work of a process that is to be interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs with &
    map_videos(partial(wait, Path(folder)), ITEMS, runner_of(kind, 2))


@pytest.mark.parametrize("name", ALL)
def test_every_item_has_its_outcome_in_its_place_on_every_runner(name: str) -> None:
    done: dict[int, Any] = {}
    results = map_videos(work, ITEMS, RUNNERS[name](), on_done=done.__setitem__, cost=float)
    assert done == dict(zip(ITEMS, results, strict=True))
    fine = [item for item in ITEMS if item not in (3, 5, 7)]
    assert [results[item] for item in fine] == [item * item for item in fine]
    raised, strange, died = (results[item] for item in (3, 5, 7))
    assert isinstance(raised, Failed)
    assert (type(raised.error), raised.error.args) == (
        Unusable,
        (Reason.DAMAGED, "a third is missing"),
    )
    assert "in work" in raised.error.__notes__[0]
    assert isinstance(strange, Failed)
    assert (type(strange.error), str(strange.error)) == (RunnerError, "Strange: 1 and 2")
    assert isinstance(died, Failed)
    assert died.item == 7


@pytest.mark.parametrize("name", ALL)
def test_items_that_take_their_workers_down_take_no_other_item_along(name: str) -> None:
    results = map_videos(work, [7, 1, 2, 7, 4, 6], RUNNERS[name]())
    assert [r for r in results if not isinstance(r, Failed)] == [1, 4, 16, 36]
    assert [type(results[place]) for place in (0, 3)] == [Failed, Failed]


def test_a_dead_process_says_how_it_died() -> None:
    [failed] = map_videos(work, [7], Processes(2))
    assert isinstance(failed, Failed)
    assert type(failed.error) is ChildCrashed
    assert "SIGKILL" in str(failed.error)


def test_the_dearest_items_begin_first_and_without_a_cost_the_order_is_kept(tmp_path: Path) -> None:
    items = [3, 9, 1, 9, 5]
    map_videos(partial(log_begin, tmp_path / "cost"), items, Processes(1), cost=float)
    assert (tmp_path / "cost").read_text().split() == ["9", "9", "5", "3", "1"]
    map_videos(partial(log_begin, tmp_path / "none"), items, Processes(1))
    assert (tmp_path / "none").read_text().split() == ["3", "9", "1", "9", "5"]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_nothing_but_how_many_there_are(workers: int) -> None:
    assert map_videos(square, ITEMS, Processes(workers)) == [i * i for i in ITEMS]
    pids = map_videos(pid_of, ITEMS, Processes(workers))
    assert len(set(pids)) <= workers
    assert os.getpid() not in pids


def test_nothing_to_do_starts_nothing() -> None:
    assert map_videos(square, [], Processes(2)) == []


def test_what_on_done_raises_stops_the_work_and_leaves_no_process() -> None:
    before = set(psutil.Process().children(recursive=True))

    def refuse(item: int, outcome: object) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        map_videos(square, ITEMS * 50, Processes(2), on_done=refuse)
    assert set(psutil.Process().children(recursive=True)) <= before


def alive(folder: Path) -> list[int]:
    """Those who left word and still run."""
    pids = [int(path.name) for path in folder.iterdir()]
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        *(pytest.param(*p.values, signal.SIGINT, marks=p.marks) for p in ALL),
        ("processes", signal.SIGKILL),
        ("processes", signal.SIGTERM),
    ],
)
def test_no_worker_outlives_an_interrupt(name: str, end: signal.Signals, tmp_path: Path) -> None:
    code = f"import test_corpus_mapping as t; t.interrupted({name!r}, {str(tmp_path)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        if end is signal.SIGINT:
            os.killpg(process.pid, end)  # as a terminal does
        else:
            process.send_signal(end)
        assert process.wait(120) != 0
        _, left = psutil.wait_procs(family, timeout=30)
        assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
        assert alive(tmp_path) == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", [installed("processes"), installed("dask")])
def test_a_runner_leaves_the_environment_as_it_was(name: str) -> None:
    before = dict(os.environ)
    assert map_videos(square, ITEMS, RUNNERS[name]()) == [i * i for i in ITEMS]
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", [installed("dask")])
def test_dask_may_work_on_a_cluster_that_is_already_there(name: str) -> None:
    from distributed import LocalCluster

    with (
        unittest.mock.patch.dict(os.environ),  # which Dask would change for all tests after this
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        runner = runner_of("dask", 1, cluster.scheduler_address)
        assert map_videos(square, ITEMS, runner) == [i * i for i in ITEMS]
        assert map_videos(square, [4], runner) == [16]


def test_a_function_that_cannot_be_sent_is_refused_before_anything_starts() -> None:
    with pytest.raises(RunnerError, match="cannot be sent"):
        map_videos(lambda item: item, ITEMS, Processes(1))
    code = (
        "from unisurg.corpus.mapping import *\n"
        "def here(item): return item\n"
        "map_videos(here, [1], Processes(1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "lives in __main__" in done.stderr


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_a_runner_that_is_not_installed_says_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(wanted: str, *rest: Any, **named: Any) -> Any:
        if wanted.split(".")[0] == package:
            raise ImportError(wanted)
        return real(wanted, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RunnerError, match=rf"pip install 'unisurg\[{name}\]'"):
        map_videos(square, ITEMS, RUNNERS[name]())


def test_runners_go_by_their_names() -> None:
    assert runner_of("processes", 3) == Processes(3)
    assert runner_of("dask", 3, "tcp://10.0.0.1:8786") == Dask(3, "tcp://10.0.0.1:8786")
    assert runner_of("ray", 3) == Ray(3)
    for kind, address in [("threads", None), ("processes", "tcp://10.0.0.1:8786")]:
        with pytest.raises(RunnerError, match="no runner"):
            runner_of(kind, 3, address)
