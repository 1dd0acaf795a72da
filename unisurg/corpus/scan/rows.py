"""Recordings as rows of the tables that the stage `scan` writes, under opaque ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unisurg.corpus import manifest
from unisurg.corpus.inputs import Inputs, Other, Recording, Unreadable
from unisurg.corpus.mapping import Failed
from unisurg.corpus.opaque import known_suffix, recording_id, source_of
from unisurg.corpus.overlaps import Overlaps
from unisurg.corpus.refusals import Refused, unreadable
from unisurg.corpus.scan.kept import VERSION, Kept, video_id_of
from unisurg.corpus.scan.origin import Origin


@dataclass(frozen=True)
class Work:
    """A recording that is to be read."""

    recording: Recording
    origin: Origin
    sha256: str

    @property
    def id(self) -> str:
        return recording_id(self.recording.raw, self.sha256)

    @property
    def video_id(self) -> str:
        return video_id_of(self.sha256)


@dataclass(frozen=True)
class Read:
    """A recording that was read, and what is kept of it."""

    work: Work
    kept: Kept
    reused: bool

    @property
    def video_id(self) -> str:
        return self.work.video_id


def procedures_of(
    named: Sequence[Work], videos: Collection[str], overlaps: Overlaps
) -> dict[str, str]:
    """Operation as its origin names it -> its name in tables.

    The rules of a data set that numbers its videos leave no room for a person's name. Where there
    are none, a file's name is all that tells the operation: the first of its videos stands for it.
    """
    first: dict[str, str] = {}
    for one in named:
        procedure, video = one.origin.procedure_id, one.video_id
        if procedure and video in videos:
            first[procedure] = min(first.get(procedure, video), video)
    return {
        procedure: procedure if _numbered(procedure, overlaps) else video
        for procedure, video in first.items()
    }


def _numbered(procedure: str, overlaps: Overlaps) -> bool:
    known = overlaps.datasets.get(procedure.partition("/")[0])
    return known is not None and bool(known.names)


def ids_of(inputs: Inputs, hashes: Sequence[str | Failed[Recording]]) -> dict[str, str]:
    """Raw name of all that was found -> opaque id, of the path alone where no bytes were read.

    Args:
        hashes: of the recordings' content, in their order.
    """
    of_path: list[Unreadable | Other] = [*inputs.unreadable, *inputs.others]
    return {one.raw: recording_id(one.raw) for one in of_path} | {
        one.raw: recording_id(one.raw, "" if isinstance(sha256, Failed) else sha256)
        for one, sha256 in zip(inputs.recordings, hashes, strict=True)
    }


def input_rows(inputs: Inputs, ids: Mapping[str, str], top: str) -> list[manifest.Row]:
    """Rows of `inputs.csv`.

    Args:
        top: name of the input folder.
    """
    found: list[tuple[Recording | Unreadable | Other, str, str, str]] = [
        *((one, one.kind, one.source, one.files[0].suffix) for one in inputs.recordings),
        *((one, "unreadable", source_of(one.raw, top), "") for one in inputs.unreadable),
        *((one, manifest.OTHER, source_of(one.raw, top), one.suffix) for one in inputs.others),
    ]
    return [
        {
            "recording": ids[one.raw],
            "source": source,
            "kind": kind,
            "suffix": known_suffix(suffix),
            "raw_bytes": one.raw_bytes,
        }
        for one, kind, source, suffix in found
    ]


def quarantine_rows(
    inputs: Inputs, ids: Mapping[str, str], lost: Sequence[Refused]
) -> list[manifest.Row]:
    """Rows of `quarantine.csv`: of recordings that were refused, and of what cannot be entered."""
    return [
        *(one.row(ids[one.recording.raw]) for one in lost),
        *(unreadable(one, ids[one.raw]) for one in inputs.unreadable),
    ]


def raw_name_rows(ids: Mapping[str, str], lost: Sequence[Refused]) -> list[dict[str, str]]:
    """Rows of `raw_names.csv`."""
    said = {one.recording.raw: one.said for one in lost}
    return [{"recording": id, "raw": raw, "said": said.get(raw, "")} for raw, id in ids.items()]


def name_rows(
    named: Sequence[Work], videos: Collection[str], procedures: Mapping[str, str]
) -> list[dict[str, str]]:
    """Rows of `names.csv`: all names of each video."""
    return [
        {
            "video_id": one.video_id,
            "raw": one.recording.raw,
            "dataset_d": one.origin.dataset_d,
            "dataset_video": one.origin.dataset_video,
            "procedure_id": procedures.get(one.origin.procedure_id, one.video_id),
        }
        for one in named
        if one.video_id in videos
    ]


def video_row(read: Read, procedures: Mapping[str, str]) -> dict[str, Any]:
    """Its row of the table of videos."""
    recording, origin = read.work.recording, read.work.origin
    return {
        "video_id": read.video_id,
        "content_sha256": read.work.sha256,
        "source_id": origin.source_id,
        "dataset_d": origin.dataset_d,
        "dataset_video": origin.dataset_video,
        "specialty_s": origin.specialty_s,
        "procedure_id": procedures.get(origin.procedure_id, read.video_id),
        "priority": origin.priority,
        "rendered": origin.rendered,
        "recording": read.work.id,
        "uri": recording.raw,
        "kind": recording.kind,
        "bytes": recording.raw_bytes,
        "missing_pictures": recording.missing,
        "licence": origin.licence,
        "stage_versions": {"scan": str(VERSION)},
        **read.kept.measured,
    }
