"""Small DVC repositories, and flows on them in processes of their own that can really be killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 90.0
T = TypeVar("T")

SLOW = (
    "echo ran >> ran.log; echo half > slow.txt;"
    " while [ ! -e go ]; do sleep 0.1; done; echo whole >> slow.txt"
)
"""The command of a stage that stands half-way until there is a file `go`."""


def repository(root: Path, stages: dict[str, dict[str, object]]) -> Path:
    """A DVC repository with these stages and our params.yaml."""
    root.mkdir(exist_ok=True)
    dvc(root, "init", "--quiet", "--no-scm")
    shutil.copy(ROOT / "params.yaml", root)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return root


def dvc(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def start(root: Path, api: str) -> subprocess.Popen[str]:
    """`python -m flows.pipeline` there, with what it prints."""
    variables = {
        "PREFECT_API_URL": api,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=root,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All that a process has started, and what that has started."""
    return psutil.Process(process.pid).children(recursive=True)


def soon(answer: Callable[[], T]) -> T:
    """The answer as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := answer()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return value


def have_ended(processes: list[psutil.Process]) -> bool:
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)
