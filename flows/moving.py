"""Files that change their folder: whole or not at all, and never over another.

At every moment a file lies whole under its name in one of the two folders, or in both. Its copy
has a hidden name until it is whole and on the disk, and only then the original goes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

BLOCK_BYTES = 1 << 20


class NameTaken(FileExistsError):
    """A file of that name with other bytes is there."""


class Changed(RuntimeError):
    """The file has changed while it was copied; it stays where it was."""


def move(source: Path, target: Path) -> bool:
    """Whether the file has moved; False where its bytes were there already, and it just goes.

    Raises:
        NameTaken, Changed: nothing has happened.
        OSError: the disk is full, or a file may not be read or written; the source is whole.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _seal(source)
    part = target.with_name(f".{target.name}.part")
    try:
        digest = _copy(source, part)
        if _seal(source) != before:
            raise Changed(f"{source} has changed while it was copied")
        fresh = _named(part, target)
    finally:
        part.unlink(missing_ok=True)
    if not fresh and not (target.is_file() and _sha256(target) == digest):
        raise NameTaken(f"{target} is there with other bytes")
    _sync_folder(target.parent)
    _sync_folder(target.parent.parent)
    source.unlink()
    return fresh


def differs(source: Path, target: Path) -> bool:
    """Whether the target's name is taken by other bytes."""
    if not target.exists():
        return False
    return (
        not target.is_file()
        or source.stat().st_size != target.stat().st_size
        or _sha256(source) != _sha256(target)
    )


def free_name(wanted: Path) -> Path:
    """The name, or where it is taken the first of `name~2`, `name~3`, ... that is not."""
    number, free = 1, wanted
    while free.exists():
        number += 1
        free = wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}")
    return free


def _named(part: Path, target: Path) -> bool:
    """Give a copy its name, unless there is such a file: a link is made or refused at once."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    return True


def _copy(source: Path, target: Path) -> str:
    """Copy to the disk itself, not only to memory; sha256 of the bytes."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(BLOCK_BYTES):
            digest.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
