"""What there is to curate: every recording below a folder, and a count of everything else."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m2v", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on
PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
LEAST_PICTURES = 2
"""A picture alone in its folder is a logo or a cover, not a recording."""

Kind = Literal["video", "pictures", "unordered"]


@dataclass(frozen=True)
class Recording:
    """One thing that becomes one clip or one row of the quarantine.

    `raw` names it below the input folder: a file, a folder of pictures, or `folder/prefix*suffix`
    where a folder holds several series. `unordered` pictures are those that no number orders.
    """

    raw: str
    source: str
    kind: Kind
    files: tuple[Path, ...]
    missing: int
    """Numbers that a sequence of pictures skips."""
    raw_bytes: int

    def sha256(self) -> str:
        """Of the file, or of the pictures' bytes one after the other."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


@dataclass(frozen=True)
class Inputs:
    recordings: tuple[Recording, ...]
    ignored: dict[str, int]
    """Number of other files by suffix."""


def find(folder: Path) -> Inputs:
    """Every recording below `folder`, by name, with links followed.

    A video is a file with a suffix of VIDEO_SUFFIXES. Pictures that share a folder and a name but
    for its last number are one sequence in the order of that number. The source is the first
    folder below `folder`, or `folder` itself for what lies directly in it.
    """
    recordings: list[Recording] = []
    ignored: Counter[str] = Counter()
    for place, names in _walk(folder):
        files = [place / name for name in sorted(names)]
        hidden = [f for f in files if f.name.startswith(".")]
        videos = [f for f in files if f.suffix.lower() in VIDEO_SUFFIXES and f not in hidden]
        pictures = [f for f in files if f.suffix.lower() in PICTURE_SUFFIXES and f not in hidden]
        if len(pictures) < LEAST_PICTURES:
            pictures = []
        recordings += [_recording(folder, video, "video", [video]) for video in videos]
        recordings += _sequences(folder, place, pictures)
        others = set(files) - set(videos) - set(pictures)
        ignored.update("(hidden)" if f in hidden else f.suffix.lower() or "(none)" for f in others)
    return Inputs(
        tuple(sorted(recordings, key=lambda r: (r.source, r.raw))), dict(sorted(ignored.items()))
    )


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their files; a folder that links make reachable twice is entered once."""
    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield Path(place), names


def _sequences(top: Path, place: Path, pictures: list[Path]) -> list[Recording]:
    series: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    unordered: list[Path] = []
    for picture in pictures:
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", picture.stem)
        if parts is None:
            unordered.append(picture)
            continue
        pattern = parts[1], parts[3] + picture.suffix
        series.setdefault(pattern, []).append((int(parts[2]), picture))
    alone = [pattern for pattern, members in series.items() if len(members) < LEAST_PICTURES]
    unordered += [series.pop(pattern)[0][1] for pattern in alone]
    recordings = []
    for (prefix, suffix), members in series.items():
        members.sort()
        name = place if len(series) == 1 and not unordered else place / f"{prefix}*{suffix}"
        missing = _missing([number for number, _ in members])
        files = [path for _, path in members]
        recordings.append(_recording(top, name, "pictures", files, missing))
    if unordered:
        name = place / "(unordered)" if series else place
        recordings.append(_recording(top, name, "unordered", sorted(unordered)))
    return recordings


def _missing(numbers: list[int]) -> int:
    """How many numbers of a regular series are absent, whatever its step."""
    steps = [after - before for before, after in pairwise(numbers)]
    usual = max(1, Counter(steps).most_common(1)[0][0])
    return sum(max(0, round(step / usual) - 1) for step in steps)


def _recording(top: Path, name: Path, kind: Kind, files: list[Path], missing: int = 0) -> Recording:
    parts = name.relative_to(top).parts
    below = parts if kind != "video" else parts[:-1]
    return Recording(
        raw="/".join(parts) or ".",
        source=below[0] if below and name != top else top.resolve().name,
        kind=kind,
        files=tuple(files),
        missing=missing,
        raw_bytes=sum(file.stat().st_size for file in files),
    )
