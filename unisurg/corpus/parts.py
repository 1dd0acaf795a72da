"""Finished work on single videos, kept as files that a crash at any point cannot spoil.

A part is what one stage made of one video. Its name is a digest of all that decides its content, so
that a rerun finds it, and a changed parameter or version does not. It is `<key><suffix>` beside
`<key>.done`, which is written last and holds the digest of the part: what was killed half-way, or
damaged later, is made anew (curation reference 4.3).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

KEY_DIGITS = 32
DONE = ".done"


def key(content_hash: str, stage: str, version: int, parameters: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that stand for the result of a stage on a content.

    Args:
        content_hash: of the bytes of the recording.
        stage: name of the stage.
        version: of its code; raised when the same input begins to give another output.
        parameters: what JSON can hold; the order of its keys does not matter.

    Raises:
        TypeError, ValueError: a parameter that JSON cannot hold.
    """
    said = json.dumps([content_hash, stage, version, parameters], sort_keys=True, allow_nan=False)
    return hashlib.sha256(said.encode()).hexdigest()[:KEY_DIGITS]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` where the block ends without an error.

    At any moment `path` is the old file, or none, or the new one, whole and on the disk. The path
    to write to ends in the same suffix, and no two writers get the same.
    """
    aside = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield aside
        _to_disk(aside)
        aside.replace(path)
        _to_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


class Parts:
    """The parts of one stage, one per video, for one version and one set of parameters.

    Any number of processes may use the same folder. Two that make the same part at once both do the
    work, and either's file is the part.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        version: int,
        parameters: Mapping[str, Any],
        suffix: str = ".parquet",
    ) -> None:
        self.folder = folder / stage
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stage, self._version, self._parameters = stage, version, dict(parameters)
        self._suffix = suffix

    def find(self, content_hash: str) -> Path | None:
        """The finished part of a video; None where it is absent, half-written or damaged."""
        part, done = self._paths(content_hash)
        with contextlib.suppress(OSError):
            if done.read_bytes() == sha256(part).encode():
                return part
        return None

    def add(self, content_hash: str, make: Callable[[Path], object]) -> Path:
        """Let `make` write the part to the path that it is given, and keep it.

        An exception of `make` passes through and leaves nothing behind.
        """
        part, done = self._paths(content_hash)
        done.unlink(missing_ok=True)
        with whole_file(part) as aside:
            make(aside)
        with whole_file(done) as aside:
            aside.write_bytes(sha256(part).encode())
        return part

    def get(self, content_hash: str, make: Callable[[Path], object]) -> Path:
        """The part of a video, made only where it is not there yet."""
        return self.find(content_hash) or self.add(content_hash, make)

    def remove_stale(self, content_hashes: Iterable[str]) -> list[str]:
        """Remove what is not a part of these videos by the present version and parameters.

        That is also what killed processes left half-written. Call it when nobody adds.

        Returns:
            Names of the files removed, sorted.
        """
        wanted = {path.name for content in content_hashes for path in self._paths(content)}
        stale = sorted(path for path in self.folder.iterdir() if path.name not in wanted)
        for path in stale:
            path.unlink()
        return [path.name for path in stale]

    def _paths(self, content_hash: str) -> tuple[Path, Path]:
        name = key(content_hash, self._stage, self._version, self._parameters)
        return self.folder / (name + self._suffix), self.folder / (name + DONE)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
