"""The data of a fresh clone: the bytes that data.dvc names, from the clone itself, kept safe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def repro(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "data.dvc"],
        cwd=home,
        env=os.environ | NO_NETWORK | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """What git holds of the data, in a folder where nothing has run, and one `dvc repro`."""
    home = tmp_path_factory.mktemp("clone")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=home, check=True)
    shutil.copytree(ROOT / "theatre", home / "theatre")
    shutil.copy(ROOT / "data.dvc", home)
    done = repro(home)
    assert done.returncode == 0, done.stderr
    return home


def test_a_fresh_clone_gets_the_theatre_without_a_network(clone):
    assert files(clone / "data") == files(clone / "theatre")


def test_these_are_the_bytes_that_the_pointer_names(clone):
    assert (clone / "data.dvc").read_text() == (ROOT / "data.dvc").read_text()


def test_a_file_that_someone_put_beside_the_data_is_never_deleted(clone):
    own = clone / "data" / "my-recording.mp4"
    own.write_bytes(b"irreplaceable")
    done = repro(clone)
    assert own.read_bytes() == b"irreplaceable"
    assert done.returncode != 0
    assert "my-recording.mp4" in done.stderr
