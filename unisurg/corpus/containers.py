"""Recordings inside other files: members of archives, and what DICOM files show.

Raw files are only read. A member is unpacked into a folder of the caller's for as long as it is
read, and what happens to hostile or damaged bytes happens in a killable child.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from unisurg.corpus import archives, dicom
from unisurg.corpus.archives import Listing
from unisurg.corpus.child import Child, ChildCrashed, ChildOutOfMemory, ChildTimeout, Limits
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    File,
    Inputs,
    Kind,
    Other,
    Recording,
    Unreadable,
    as_text,
    is_told_by_name,
    raw_name,
    sorted_out,
    starts_as_dicom,
)
from unisurg.corpus.mapping import Failed, Runner, map_videos

SLOWEST_BYTES_PER_S = 4 << 20
"""An archive that is read more slowly counts as hanging."""


def look_inside(inputs: Inputs, top: Path, limits: Limits, runner: Runner) -> Inputs:
    """The inputs with what is in their archives, which takes the place of the archives.

    A recording in `top/site/a.tar` has the name `site/a.tar/name`, and the source of a file in the
    archive's place. What cannot be read of an archive is unreadable, with its reason.
    """
    if not inputs.archives:
        return inputs
    listings = map_videos(partial(_listing, limits=limits), inputs.archives, runner, cost=_bytes)
    for archive, found in zip(inputs.archives, listings, strict=True):
        inputs += _inside(
            archive, _no_listing(found.error) if isinstance(found, Failed) else found, top
        )
    return replace(inputs, archives=())


def plain(recording: Recording, folder: Path, limits: Limits) -> Recording:
    """The recording as files that libav reads; what must be unpacked for it lies in `folder`.

    Raises:
        Unusable: unreadable, no_video_stream, not_a_sequence, failed: see `archives.unpack` and
            `dicom.extract`.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    files = recording.files
    if recording.archive is None and not _is_dicom(recording.kind, files):
        return recording
    with Child(limits.memory_mib) as child:
        if recording.archive is not None:
            work = {
                "archive": recording.archive,
                "files": files,
                "raw_bytes": recording.raw_bytes,
                "folder": folder,
                "suffixes": VIDEO_SUFFIXES | PICTURE_SUFFIXES,
            }
            limit_s = _allowed_s(_bytes(recording.archive) + recording.raw_bytes, limits)
            files = child.call(archives.unpack, work, limit_s)
        if _is_dicom(recording.kind, files):
            out = folder / "shown"
            limit_s = _allowed_s(recording.raw_bytes, limits)
            child.call(dicom.extract, {"raw": files[0], "out": out}, limit_s)
            files = (out,)
    return replace(recording, files=files, archive=None)


def _is_dicom(kind: Kind, files: Sequence[Path]) -> bool:
    return kind == "video" and starts_as_dicom(files[0])


def _listing(archive: Path, limits: Limits) -> Listing:
    with Child(limits.memory_mib) as child:
        work = {"archive": archive, "told_by_name": is_told_by_name}
        found: Listing = child.call(archives.listing, work, _allowed_s(_bytes(archive), limits))
    return found


def _inside(archive: Path, found: Listing, top: Path) -> Inputs:
    raw = raw_name(archive, top)
    readable = [one for one in found.members if one.refusal is None]
    files = [File(archive / one.name, one.raw_bytes, one.dicom) for one in readable]
    inputs = sorted_out(top, files, archive)
    unreadable = []
    for number, one in enumerate(found.members, start=1):
        if one.refusal is not None:  # numbered, since archives may hold a name twice
            name = f"{raw}/{as_text(one.name)} (file {number})"
            reason, why = one.refusal.reason, one.refusal.detail
            unreadable.append(Unreadable(name, one.raw_bytes, reason, why))
    if found.fault is not None:
        reason, why = found.fault.reason, found.fault.detail
        unreadable.append(Unreadable(raw, _bytes(archive), reason, why))
    elif not found.members:
        inputs += Inputs(others=(Other(raw, _bytes(archive), archive.suffix.lower()),))
    return inputs + Inputs(unreadable=tuple(unreadable))


def _no_listing(error: Exception) -> Listing:
    """That of an archive that took its reader down."""
    reasons: dict[type[Exception], Reason] = {
        ChildTimeout: Reason.TIMEOUT,
        ChildOutOfMemory: Reason.OUT_OF_MEMORY,
        ChildCrashed: Reason.CRASHED,
    }
    reason = reasons.get(type(error), Reason.FAILED)
    return Listing((), Unusable(reason, f"its list cannot be read ({type(error).__name__})"))


def _allowed_s(raw_bytes: float, limits: Limits) -> float:
    return limits.timeout_s + raw_bytes / SLOWEST_BYTES_PER_S


def _bytes(archive: Path) -> int:
    return archive.stat().st_size
