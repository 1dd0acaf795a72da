"""Files that are there whole or not at all, folders that one process holds, and clear errors."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK = "lock"


class CannotSave(OSError):
    """A file cannot be written; what was there before is untouched."""


class RunLocked(RuntimeError):
    """Another process is at this very run."""


@contextmanager
def held(folder: Path, at: str) -> Iterator[None]:
    """A folder, made if missing, is this process's alone until the block ends, or it dies.

    Args:
        at: what a process that holds it is at, for the message.

    Raises:
        RunLocked: another process holds it.
        CannotSave: nothing can be written there.
    """
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(f"{folder}: another process is {at}; wait for it or end it") from None
        yield


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when it is whole and on disk, or never.

    Its folder is made where it is missing.

    Raises:
        CannotSave: naming the file and the remedy.
    """
    aside = path.with_name(path.name + ".part")
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Say of a write that fails in the block what to do about it.

    torch hides a full disk behind a RuntimeError of its zip writer.

    Raises:
        CannotSave: in place of the error.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise CannotSave(
            f"{path}: cannot be written: {cause}. What was saved before is untouched: free space,"
            " or make the folder writable, and run the same command again"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Put a rename on disk; without it the new name may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
