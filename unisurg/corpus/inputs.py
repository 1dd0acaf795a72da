"""What there is to curate: every file below a folder is part of a recording, or is told apart."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Literal

from unisurg.corpus.archives import contents, is_archive, without_suffix
from unisurg.corpus.dicom import HEAD_BYTES, is_dicom
from unisurg.corpus.facts import Reason

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".dcm", ".dicom", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m2v",
    ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
})
# fmt: on
PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SYSTEM_FILES = frozenset({"desktop.ini", "dicomdir", "thumbs.db"})
"""What systems leave, and the list of a DICOM disc; beside all that begins with a point."""
HIDDEN, SYSTEM, ARCHIVE = "(hidden)", "(system)", "(archive)"
TOLD_BY_NAME = VIDEO_SUFFIXES | PICTURE_SUFFIXES | {HIDDEN, SYSTEM, ARCHIVE}
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
    folders: tuple[str, ...]
    """Names of the folder that was searched and of those below it that hold it, the first first; an
    archive counts as the folder that it was made of."""
    archive: Path | None = None
    """That holds the files, which then are paths below it."""

    @property
    def on_disk(self) -> tuple[Path, ...]:
        """The files whose bytes these are."""
        return self.files if self.archive is None else (self.archive,)

    def sha256(self) -> str:
        """Of the file, or of the pictures' bytes one after the other.

        Raises:
            OSError; Unusable, where nothing of a member of an archive can be read.
        """
        digest = hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self) -> Iterator[bytes]:
        if self.archive is not None:
            for blocks in contents(self.archive, self.files):
                yield from blocks
            return
        for path in self.files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    yield block


@dataclass(frozen=True)
class Other:
    """A file that is no recording."""

    raw: str
    """Path below the input folder."""
    raw_bytes: int
    suffix: str
    """In lower case; `(none)` without one, `(hidden)` and `(system)` for what systems leave."""


@dataclass(frozen=True)
class Unreadable:
    """A folder that cannot be listed, or a file that cannot or must not be opened."""

    raw: str
    """Path below the input folder."""
    raw_bytes: int
    """0 where it is not known."""
    reason: Reason
    why: str
    """In our own words or the system's, without a name."""


@dataclass(frozen=True)
class Inputs:
    """All that lies below a folder, by name. Every file is in exactly one place."""

    recordings: tuple[Recording, ...] = ()
    others: tuple[Other, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    archives: tuple[Path, ...] = ()
    """That nobody has looked into, see `unisurg.corpus.containers`."""

    @property
    def ignored(self) -> dict[str, int]:
        """Number of other files by suffix."""
        return dict(sorted(Counter(other.suffix for other in self.others).items()))

    def __add__(self, more: Inputs) -> Inputs:
        return Inputs(
            tuple(sorted(self.recordings + more.recordings, key=lambda r: (r.source, r.raw))),
            tuple(sorted(self.others + more.others, key=lambda other: other.raw)),
            tuple(sorted(self.unreadable + more.unreadable, key=lambda one: one.raw)),
            tuple(sorted(self.archives + more.archives)),
        )


@dataclass(frozen=True)
class File:
    """A file that can be opened, before it is told what it is part of."""

    path: Path
    raw_bytes: int
    dicom: bool
    """By its first bytes; looked at only where its name tells nothing."""


def find(folder: Path) -> Inputs:
    """All that lies below `folder`.

    A video is a file with a suffix of VIDEO_SUFFIXES, or a DICOM file of any name. Pictures that
    share a folder and a name but for its last number are one sequence in the order of that number.
    The source is the first folder below `folder`, or `folder` itself for what lies directly in it.

    A link is followed within `folder`; of several ways to a folder the first by name is gone, so
    loops end. A link that leads out of it is unreadable: nobody has given what lies there.
    """
    met = list(_walk(folder))
    unreadable = tuple(one for one in met if isinstance(one, Unreadable))
    files = [one for one in met if isinstance(one, File)]
    archives = tuple(file.path for file in files if _label(file.path) == ARCHIVE)
    plain = [file for file in files if _label(file.path) != ARCHIVE]
    return sorted_out(folder, plain) + Inputs(unreadable=unreadable, archives=archives)


def sorted_out(top: Path, files: Iterable[File], archive: Path | None = None) -> Inputs:
    """The recordings that files below `top` make, and the files that make none.

    Args:
        archive: that holds them all; their paths are below its own.
    """
    places: defaultdict[Path, list[File]] = defaultdict(list)
    for file in files:
        places[file.path.parent].append(file)
    recordings: list[Recording] = []
    others: list[Other] = []
    for place, members in places.items():
        members.sort(key=lambda file: file.path.name)
        videos = [file for file in members if _is_video(file)]
        pictures = [f for f in members if _label(f.path) in PICTURE_SUFFIXES]
        if len(pictures) < LEAST_PICTURES:
            pictures = []
        recordings += [_recording(top, archive, v.path, "video", [v]) for v in videos]
        recordings += _sequences(top, archive, place, pictures)
        rest = set(members) - set(videos) - set(pictures)
        others += [Other(raw_name(f.path, top), f.raw_bytes, _label(f.path)) for f in rest]
    return Inputs(tuple(recordings), tuple(others))


def raw_name(path: Path, top: Path) -> str:
    """The path below `top`."""
    return as_text(path.relative_to(top).as_posix())


def as_text(name: str) -> str:
    """A name that every file can hold: bytes that are no text are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _label(path: PurePath) -> str:
    """Suffix of a file, or what it is otherwise known by."""
    if path.name.startswith("."):
        return HIDDEN
    if path.name.lower() in SYSTEM_FILES:
        return SYSTEM
    if is_archive(path.name):
        return ARCHIVE
    return path.suffix.lower() or "(none)"


def is_told_by_name(path: PurePath) -> bool:
    """Whether the name of a file tells what it is."""
    return _label(path) in TOLD_BY_NAME


def _is_video(file: File) -> bool:
    return file.dicom or _label(file.path) in VIDEO_SUFFIXES


def _walk(top: Path) -> Iterator[File | Unreadable]:
    """Files and what cannot be read; a folder that links make reachable twice is entered once."""
    real_top = Path(os.path.realpath(top))
    faults: list[OSError] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(top, onerror=faults.append, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        inside = [name for name in folders if _is_inside(Path(place, name), real_top)]
        for name in set(folders) - set(inside):
            yield _astray(Path(place, name), top)
        folders[:] = sorted(inside)
        for name in sorted(names):
            path = Path(place, name)
            yield _file(path, top) if _is_inside(path, real_top) else _astray(path, top)
    for fault in faults:
        why = f"folder: {fault.strerror}"
        yield Unreadable(raw_name(Path(fault.filename), top), 0, Reason.NO_ACCESS, why)


def _is_inside(path: Path, real_top: Path) -> bool:
    return not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(real_top)


def _astray(link: Path, top: Path) -> Unreadable:
    why = "a link that leads out of the input; put what it names into the input itself"
    return Unreadable(raw_name(link, top), 0, Reason.NO_ACCESS, why)


def _file(path: Path, top: Path) -> File | Unreadable:
    try:
        facts = path.stat()
    except OSError as error:
        if path.is_symlink():  # to nowhere: reading it will find better words
            return File(path, 0, dicom=False)
        why = f"file: {error.strerror}"
        return Unreadable(raw_name(path, top), 0, Reason.NO_ACCESS, why)
    if not stat.S_ISREG(facts.st_mode):
        why = "no file but a pipe, a socket or a device"
        return Unreadable(raw_name(path, top), 0, Reason.UNREADABLE, why)
    try:
        return File(path, facts.st_size, not is_told_by_name(path) and starts_as_dicom(path))
    except OSError as error:
        why = f"file: {error.strerror}"
        return Unreadable(raw_name(path, top), facts.st_size, Reason.NO_ACCESS, why)


def starts_as_dicom(path: Path) -> bool:
    """Whether a file is one of DICOM, by its first bytes."""
    with path.open("rb") as file:
        return is_dicom(file.read(HEAD_BYTES))


def _sequences(
    top: Path, archive: Path | None, place: Path, pictures: list[File]
) -> list[Recording]:
    series: dict[tuple[str, str], list[tuple[int, File]]] = {}
    unordered: list[File] = []
    for picture in pictures:
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", picture.path.stem)
        if parts is None:
            unordered.append(picture)
            continue
        pattern = parts[1], parts[3] + picture.path.suffix
        series.setdefault(pattern, []).append((int(parts[2]), picture))
    alone = [pattern for pattern, members in series.items() if len(members) < LEAST_PICTURES]
    unordered += [series.pop(pattern)[0][1] for pattern in alone]
    recordings = []
    for (prefix, suffix), members in series.items():
        members.sort(key=lambda member: (member[0], member[1].path))
        name = place if len(series) == 1 and not unordered else place / f"{prefix}*{suffix}"
        missing = _missing([number for number, _ in members])
        files = [picture for _, picture in members]
        recordings.append(_recording(top, archive, name, "pictures", files, missing))
    if unordered:
        unordered.sort(key=lambda picture: picture.path)
        name = place / "(unordered)" if series else place
        recordings.append(_recording(top, archive, name, "unordered", unordered))
    return recordings


def _missing(numbers: list[int]) -> int:
    """How many numbers of a regular series are absent, whatever its step."""
    steps = [after - before for before, after in pairwise(numbers)]
    usual = max(1, Counter(steps).most_common(1)[0][0])
    return sum(max(0, round(step / usual) - 1) for step in steps)


def _recording(
    top: Path,
    archive: Path | None,
    name: Path,
    kind: Kind,
    files: list[File],
    missing: int = 0,
) -> Recording:
    parts = _parts(name, top)
    below = parts if kind != "video" else parts[:-1]
    # Whoever packed an archive vouches for nothing: its source is that of a file in its place.
    outside = below if archive is None else _parts(archive.parent, top)
    return Recording(
        raw="/".join(parts) or ".",
        source=outside[0] if outside else top.resolve().name,
        folders=(top.resolve().name, *map(without_suffix, below)),
        kind=kind,
        files=tuple(file.path for file in files),
        missing=missing,
        raw_bytes=sum(file.raw_bytes for file in files),
        archive=archive,
    )


def _parts(path: Path, top: Path) -> tuple[str, ...]:
    return tuple(raw_name(path, top).split("/")) if path != top else ()
