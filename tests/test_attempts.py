"""A stage that failed, or was killed, is known to have; one that has a result is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unisurg.attempts import IDENTITIES, KILLED, attempt, failures
from unisurg.settings import SettingsError

HANG = "import time; from unisurg.attempts import attempt\nwith attempt('probe@x'): time.sleep(99)"


def test_a_stage_that_ends_well_leaves_no_note(tmp_path: Path) -> None:
    with attempt("probe@x", tmp_path):
        assert failures(tmp_path)["probe@x"].error == KILLED
    assert failures(tmp_path) == {}


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
    while not failures(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
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
    identity = tmp_path / IDENTITIES / "probe-x.run.json"
    identity.parent.mkdir(parents=True)
    identity.write_text("{}")
    assert failures(tmp_path) == {}
