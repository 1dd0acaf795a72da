"""A stage that failed, or was killed, is known to have; one that has a result is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from unisurg.attempts import ATTEMPTS, IDENTITIES, KILLED, attempt, failures
from unisurg.processes import has_died, identity_of
from unisurg.settings import SettingsError
from unisurg.stages import identity_path

HANG = "import time; from unisurg.attempts import attempt\nwith attempt('probe@x'): time.sleep(99)"


def test_a_stage_that_runs_has_a_note_and_has_not_failed_and_one_that_ends_well_has_none(
    tmp_path: Path,
) -> None:
    notes = tmp_path / ATTEMPTS
    with attempt("probe@x", tmp_path):
        assert [note.name for note in notes.iterdir()] == ["probe-x.json"]
        assert failures(tmp_path) == {}
    assert list(notes.iterdir()) == []


def test_a_note_that_somebody_has_removed_costs_no_result(tmp_path: Path) -> None:
    with attempt("probe@x", tmp_path):
        (tmp_path / ATTEMPTS / "probe-x.json").unlink()
    assert failures(tmp_path) == {}


def test_a_process_is_told_from_a_later_one_of_the_same_number() -> None:
    identity = identity_of(psutil.Process())
    host, pid, started = identity.rsplit("/", 2)
    assert not has_died(identity)
    assert has_died(f"{host}/{pid}/{int(started) - 60}")
    assert not has_died(f"elsewhere/{pid}/{int(started) - 60}")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsError("probe.lr: none"), "probe.lr: none"),
        (MemoryError("of 9 GB"), "MemoryError: of 9 GB"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_failure_keeps_its_words_and_passes_on(
    error: BaseException, said: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), attempt("probe@x", tmp_path):
        raise error
    assert failures(tmp_path)["probe@x"].error == said


def test_a_killed_process_has_failed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANG], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f"{ATTEMPTS}/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert failures(tmp_path) == {}
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert failures(tmp_path)["probe@x"].error == KILLED


def test_the_next_success_ends_a_failure(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), attempt("probe@x", tmp_path):
        raise MemoryError
    with attempt("probe@x", tmp_path):
        pass
    assert failures(tmp_path) == {}


def test_a_result_that_was_brought_back_from_a_cache_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), attempt("probe@x", tmp_path):
        raise MemoryError
    identity = tmp_path / identity_path("probe@x", Path("artifacts/probe/x"))
    assert identity == tmp_path / IDENTITIES / "probe-x.run.json"
    identity.parent.mkdir(parents=True)
    identity.write_text("{}")
    assert failures(tmp_path) == {}
