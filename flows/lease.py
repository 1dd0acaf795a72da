"""A repository is one flow's at a time; and what that flow runs on other machines ends with it.

The file `.scratch/flow.lease` is locked while a flow holds it, and the system frees it with the
process. Its first line names the holder, its second changes every BEAT_S seconds: who runs work for
the flow elsewhere, on the same file system, sees by it that the flow lives (`flows.guard`).
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from unisurg.processes import identity_of

BEAT_S = 5.0


class RepositoryBusy(RuntimeError):
    """Another flow holds the repository; the message says which, and what to do."""


def path_of(root: Path) -> Path:
    """Where the lease of a repository lies."""
    return root / ".scratch" / "flow.lease"


@contextmanager
def held(root: Path, flow: str) -> Iterator[Path]:
    """Hold the repository until the block ends; gives the lease's path.

    Args:
        flow: its name, for whoever is refused meanwhile.

    Raises:
        RepositoryBusy: another flow holds it.
    """
    path = path_of(root)
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor, path)
        over = threading.Event()
        holder = json.dumps({"flow": flow, "process": identity_of(psutil.Process())})
        os.ftruncate(descriptor, 0)  # of a flow that was killed
        _write(descriptor, holder, 0)
        beats = threading.Thread(target=_beat, args=(descriptor, holder, over), daemon=True)
        beats.start()
        try:
            yield path
        finally:
            over.set()
            beats.join()
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RepositoryBusy(f"{_holder(path)}: wait for its end, or end that process") from None


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
        host, process, _ = told["process"].rsplit("/", 2)
        who = f"the flow {told['flow']!r}, process {process} on {host},"
    except (ValueError, KeyError):  # it has just come, or is just going
        who = "another flow"
    return f"{who} holds this repository ({path})"


def _beat(descriptor: int, holder: str, over: threading.Event) -> None:
    number = 0
    while not over.wait(BEAT_S):
        number += 1
        _write(descriptor, holder, number)


def _write(descriptor: int, holder: str, beat: int) -> None:
    """In one call, and never shorter than before: a reader sees the old or the new."""
    os.pwrite(descriptor, f"{holder}\n{beat}\n".encode(), 0)
