"""Archives whose members are recordings: what they hold, and the bytes of single members.

Nothing is ever written under a member's name, so that no name can lead anywhere. `listing` and
`unpack` run in a killable child: a header can ask for any amount of memory and time.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

from unisurg.corpus.dicom import HEAD_BYTES, is_dicom
from unisurg.corpus.facts import Reason, Unusable

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
MOST_TIMES, SMALL_BYTES = 100, 64 << 20
"""An archive that unpacks to more than so many times its bytes, and to more than these, is a bomb.
Video and pictures are packed already and give about 1."""
BLOCK_BYTES = 1 << 16
"""Read at a time: of a damaged member no more than this is lost before the damage."""
TAR_END = bytes(512)
DAMAGE = (
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises where an archive is not as it should be."""


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """Path below the archive."""
    raw_bytes: int
    """Unpacked."""
    dicom: bool
    """By its first bytes; looked at only where its name tells nothing."""
    refusal: Unusable | None
    """Why it is not read."""


@dataclass(frozen=True)
class Listing:
    """What an archive holds, as far as it can be read."""

    members: tuple[Member, ...]
    fault: Unusable | None
    """What is wrong with the archive as a whole; what comes before the damage can be read."""


@dataclass(frozen=True)
class _Entry:
    name: str
    raw_bytes: int
    refusal: Unusable | None
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by the suffix of its name."""
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """The name of the folder that an archive was made of; other names are theirs."""
    suffix = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)]


def listing(archive: Path, told_by_name: Callable[[PurePath], bool]) -> Listing:
    """Every member but folders, in the archive's order.

    Args:
        told_by_name: the first bytes of all other members are looked at.
    """
    members: list[Member] = []
    most = max(MOST_TIMES * archive.stat().st_size, SMALL_BYTES)
    names: set[str] = set()
    total = 0
    try:
        with _opened(archive) as entries:
            for entry in entries:
                total += entry.raw_bytes
                if total > most:
                    detail = f"it unpacks to more than {MOST_TIMES} times its bytes"
                    return Listing((), Unusable(Reason.UNSAFE, detail))
                members.append(_member(entry, names, told_by_name))
                names.add(entry.name)
    except DAMAGE as error:
        detail = f"damaged or cut off behind {len(members)} members ({type(error).__name__})"
        return Listing(tuple(members), Unusable(Reason.UNREADABLE, detail))
    return Listing(tuple(members), None)


def unpack(
    archive: Path, files: Sequence[Path], raw_bytes: int, folder: Path, suffixes: Collection[str]
) -> tuple[Path, ...]:
    """Write members into `folder` under numbers, and return their paths in the order of `files`.

    Args:
        raw_bytes: of all of them, as their headers say.
        suffixes: those that a file keeps.

    Raises:
        Unusable: as `contents`; failed, where there is too little room.
    """
    if (free := shutil.disk_usage(folder).free) < raw_bytes:
        detail = f"{raw_bytes >> 20} MiB of scratch wanted, {free >> 20} MiB are free"
        raise Unusable(Reason.FAILED, detail)
    written = []
    for number, (file, blocks) in enumerate(zip(files, contents(archive, files), strict=True)):
        suffix = file.suffix.lower()
        written.append(folder / f"{number:06d}{suffix if suffix in suffixes else ''}")
        with written[-1].open("wb") as target:
            for block in blocks:
                target.write(block)
    return tuple(written)


def contents(archive: Path, files: Sequence[Path]) -> Iterator[Iterator[bytes]]:
    """The bytes of members in the order of `files`, as blocks that must be read in their turn.

    Their paths lie below the archive's own. One pass is made where that is the archive's order. The
    blocks of a damaged member end where the damage begins.

    Raises:
        Unusable: unreadable, where nothing of a member can be read.
    """
    met: dict[str, _Entry] = {}
    with _opened(archive) as entries:
        for file in files:
            name = file.relative_to(archive).as_posix()
            while name not in met:
                entry = next(entries, None)
                if entry is None:
                    raise Unusable(Reason.UNREADABLE, "no longer in its archive")
                met.setdefault(entry.name, entry)
            yield _blocks(met[name])


def _blocks(entry: _Entry) -> Iterator[bytes]:
    read = 0
    try:
        with entry.open() as file:
            while block := file.read(BLOCK_BYTES):
                read += len(block)
                yield block
    except DAMAGE as error:
        if not read:
            detail = f"damaged in its archive ({type(error).__name__})"
            raise Unusable(Reason.UNREADABLE, detail) from None


def _member(
    entry: _Entry, names: Collection[str], told_by_name: Callable[[PurePath], bool]
) -> Member:
    refusal = entry.refusal
    if entry.name in names:
        refusal = Unusable(Reason.UNREADABLE, "the archive holds an earlier file of this name")
    elif is_archive(entry.name):
        detail = "an archive inside an archive; unpack the outer one"
        refusal = Unusable(Reason.UNREADABLE, detail)
    dicom = not refusal and not told_by_name(PurePosixPath(entry.name)) and is_dicom(_head(entry))
    return Member(entry.name, entry.raw_bytes, dicom, refusal)


def _head(entry: _Entry) -> bytes:
    try:
        with entry.open() as file:
            return file.read(HEAD_BYTES)
    except DAMAGE:
        return b""


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Entry]]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zip:
            yield _zip_entries(zip)
    else:
        with tarfile.open(archive, "r:*") as tar:
            yield _tar_entries(tar)


def _zip_entries(zip: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in zip.infolist():
        if info.is_dir():
            continue
        refusal = _astray(info.filename)
        if stat.S_ISLNK(info.external_attr >> 16):
            refusal = Unusable(Reason.UNREADABLE, "a link in an archive")
        elif info.flag_bits & 1:
            refusal = Unusable(Reason.UNREADABLE, "encrypted in its archive; unpack it")
        yield _Entry(_plain(info.filename), info.file_size, refusal, partial(zip.open, info))


def _tar_entries(tar: tarfile.TarFile) -> Iterator[_Entry]:
    for info in tar:
        if info.isdir():
            continue
        refusal = _astray(info.name)
        if not info.isreg():
            kind = "a link" if info.issym() or info.islnk() else "a pipe or a device"
            refusal = Unusable(Reason.UNREADABLE, f"{kind} in an archive")
        yield _Entry(_plain(info.name), info.size, refusal, partial(_extracted, tar, info))
    file: Any = tar.fileobj
    file.seek(tar.offset)
    if file.read(len(TAR_END)) != TAR_END:  # a damaged header reads as the end
        raise tarfile.ReadError


def _extracted(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    assert file is not None  # it is one of plain files
    return file


def _plain(name: str) -> str:
    return PurePosixPath(name).as_posix()


def _astray(name: str) -> Unusable | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        return Unusable(Reason.UNSAFE, "its name leads out of its archive")
    return None
