"""SHA-256 of raw recordings, taken once for as long as the file system calls their files the same.

What it says of the files of a recording (name, bytes, times of change, inode) is the recording's
seal. Seals and digests are lines of a file in the scratch folder; a line that was half-written is
none. A seal tells no name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

from unisurg.corpus.inputs import Recording
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.progress import counting

SEALS = "seals"
LINE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")
YOUNG_NS = 2_000_000_000
"""A file that changed so shortly before it was read may change again within the same tick of the
file system's clock, and nothing would show it."""


def hashed(
    recordings: Sequence[Recording], folder: Path, runner: Runner
) -> list[str | Failed[Recording]]:
    """The SHA-256 of each, 64 hexadecimal digits; only those are read that no seal vouches for.

    Args:
        folder: of the seals, which nobody else writes meanwhile.
    """
    known = _known(folder / SEALS)
    found: list[str | Failed[Recording] | None] = [known.get(_seal(one)) for one in recordings]
    unread = [number for number, digest in enumerate(found) if digest is None]
    tick = counting("hash", len(unread))
    with (folder / SEALS).open("a", encoding="ascii") as file:

        def note(_: Recording, outcome: tuple[str, str] | Failed[Recording]) -> None:
            tick()
            if not isinstance(outcome, Failed) and outcome[1]:
                file.write(f"\n{outcome[1]} {outcome[0]}\n")  # apart from a line cut short
                file.flush()

        todo = [recordings[number] for number in unread]
        outcomes = map_videos(hash_one, todo, runner, note, lambda one: one.raw_bytes)
    for number, outcome in zip(unread, outcomes, strict=True):
        found[number] = outcome if isinstance(outcome, Failed) else outcome[0]
    return [digest for digest in found if digest is not None]


def hash_one(recording: Recording) -> tuple[str, str]:
    """The SHA-256 of a recording; and its seal, empty where it was young or changed meanwhile."""
    before, young_ns = _seal(recording), time.time_ns() - YOUNG_NS
    digest = recording.sha256()
    changed_ns = max(
        max(told.st_mtime_ns, told.st_ctime_ns) for told in map(Path.stat, recording.on_disk)
    )
    return digest, before if before == _seal(recording) and changed_ns < young_ns else ""


def _seal(recording: Recording) -> str:
    """64 hexadecimal digits; none of files of which the file system tells nothing."""
    said: list[object] = [recording.raw, *(file.name for file in recording.files)]
    try:
        for told in map(Path.stat, recording.on_disk):
            said.append([told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino])
    except OSError:
        return ""
    return hashlib.sha256(json.dumps(said).encode("utf-8", "surrogateescape")).hexdigest()


def _known(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    return {found[1]: found[2] for line in lines if (found := LINE.fullmatch(line))}
