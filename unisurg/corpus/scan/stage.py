"""The stage `scan`: a folder of raw recordings -> clips, tables and medians, and a quarantine.

Every recording is decoded once. Nothing is lost: each ends in exactly one row of `videos.parquet`
or of `quarantine.csv`. The raw files are only read. Their names stay in this folder, in
`raw_names.csv` and the columns `tables.RAW_COLUMNS`; all else speaks of recordings by opaque ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unisurg.corpus import manifest, tables
from unisurg.corpus.child import Limits
from unisurg.corpus.containers import look_inside, plain
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import Inputs, Recording, find
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.corpus.names import write_names
from unisurg.corpus.opaque import known_suffix
from unisurg.corpus.overlaps import Overlaps
from unisurg.corpus.raw_names import write_raw_names
from unisurg.corpus.refusals import CurationError, Refused, judge, refused
from unisurg.corpus.scan import folder, rows
from unisurg.corpus.scan.hashed import hashed
from unisurg.corpus.scan.kept import FOLDER, Store, alone, place, throughput_of
from unisurg.corpus.scan.origin import Origin, Origins, is_theatre
from unisurg.corpus.scan.recording import Way, scan_recording
from unisurg.corpus.scan.rows import Read, Work
from unisurg.corpus.scan.scan import ScanKnobs
from unisurg.corpus.scan.throughput import write_throughput
from unisurg.corpus.sources import Source
from unisurg.progress import counting
from unisurg.settings import Curate, Scan


@dataclass(frozen=True)
class FolderKnobs:
    """What may be chosen of the stage."""

    scan: ScanKnobs
    """Its `fps` is how many frames a second are kept, where a source's row has no `keep_fps`."""
    short_side_px: int
    """Of the clips; nothing is enlarged."""
    quality_crf: int
    """x264's constant rate factor of the clips."""
    picture_fps: float
    """Pictures a second of time, where a source's row does not tell."""
    min_seconds: float
    """A recording of which less was decoded is refused."""
    timeout_s: float
    """For one recording, plus four times its duration."""
    memory_mib: int
    """Address space of one reading process."""
    max_quarantined: float
    """Share 0..1 of the recordings that may be refused."""


def folder_knobs(curate: Curate, scan: Scan) -> FolderKnobs:
    """The settings of the stage `scan`."""
    return FolderKnobs(
        scan=ScanKnobs(fps=curate.fps, **dict(scan)),
        short_side_px=curate.short_side_px,
        quality_crf=curate.quality_crf,
        picture_fps=curate.picture_fps,
        min_seconds=curate.min_seconds,
        timeout_s=curate.timeout_s,
        memory_mib=curate.memory_mib,
        max_quarantined=curate.max_quarantined,
    )


@dataclass(frozen=True)
class Summary:
    """What became of an input folder."""

    inputs: int
    videos: int
    frames: int
    seconds: float
    """Decoded."""
    reused: int
    """Videos that an earlier run has decoded."""
    quarantined: dict[str, int]
    """Number of recordings by reason."""
    others: dict[str, int]
    """Number of files that are no recordings, by suffix."""

    def numbers(self) -> dict[str, float]:
        """The counts as flat metrics."""
        return {
            "inputs": self.inputs,
            "videos": self.videos,
            "frames": self.frames,
            "seconds": self.seconds,
            "reused": self.reused,
            "quarantined": sum(self.quarantined.values()),
            "others": sum(self.others.values()),
            **{f"quarantined_{reason}": count for reason, count in self.quarantined.items()},
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.inputs} recordings: {self.videos} videos ({self.reused} from earlier "
                f"runs), {self.frames} frames, {self.seconds:.0f} s",
                f"quarantined: {_listed(self.quarantined)}",
                f"other files: {_listed(self.others)}",
            ]
        )


def scan_folder(
    input: Path,
    output: Path,
    scratch: Path,
    knobs: FolderKnobs,
    sources: Mapping[str, Source],
    overlaps: Overlaps,
    runner: Runner,
) -> Summary:
    """Decode every recording below `input` once, and write what it holds into `output`.

    `unisurg.corpus.scan.folder` names the files. All that a decode gives is kept in `scratch` and
    linked into `output`; what is there already for the same bytes and knobs is reused, so a run
    that was killed goes on where it stopped, and the tables depend on neither. Any one recording
    may fail in any way without harm to the others. Of recordings with the same bytes one stays:
    one whose name tells its operation, of the best source, the first by name. What the names of the
    others tell stands in `names.csv`, and which id is which file in `raw_names.csv`.
    How long the decoding took stands in `scratch`, since it is never the same.

    Args:
        sources: rows by the name of their folder below `input`, the best first.
        overlaps: rules by which a recording's operation is found.
        runner: where recordings are read.

    Raises:
        CurationError: nothing to scan; the scratch folder is in use; or more than
            `knobs.max_quarantined` was refused, after everything has been written.
    """
    inputs = _found(input, output, scratch, knobs, runner)
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(folder.OWNER_ONLY)
    origins = Origins(sources, overlaps, is_theatre(input))
    with alone(scratch):
        hashes = hashed(inputs.recordings, scratch / FOLDER, runner)
        ids = rows.ids_of(inputs, hashes)
        work, named, lost = _to_read(inputs.recordings, hashes, origins, knobs)
        write_raw_names(output, rows.raw_name_rows(ids, lost))
        manifest.write_inputs(output, rows.input_rows(inputs, ids, input.resolve().name))
        outcomes = _read_all(work, knobs, scratch, runner)
        read = [outcome for outcome in outcomes if isinstance(outcome, Read)]
        lost += [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        write_raw_names(output, rows.raw_name_rows(ids, lost))
        videos = {one.video_id for one in read}
        procedures = rows.procedures_of(named, videos, overlaps)
        write_names(output, rows.name_rows(named, videos, procedures))
        gone = rows.quarantine_rows(inputs, ids, lost)
        _write(output, [rows.video_row(one, procedures) for one in read], read, gone)
        write_throughput(throughput_of(scratch), (one.kept.measured for one in read))
    n_inputs = len(inputs.recordings) + len(inputs.unreadable)
    judge(gone, n_inputs, knobs.max_quarantined, output)
    return Summary(
        inputs=n_inputs,
        videos=len(read),
        frames=sum(r.kept.measured["n_frames"] for r in read),
        seconds=sum(r.kept.measured["duration_s"] for r in read),
        reused=sum(r.reused for r in read),
        quarantined=dict(sorted(Counter(row["reason"] for row in gone).items())),
        others=_by_suffix(inputs),
    )


def check_places(input: Path, *written: Path) -> None:
    """Hold that there is an input, and that nothing will be written into it.

    Raises:
        CurationError: one of them does not hold.
    """
    if not input.is_dir():
        raise CurationError(f"{input}: no such folder; set curate.input or pass --input")
    for place_of in written:
        if place_of.resolve().is_relative_to(input.resolve()):
            raise CurationError(
                f"{place_of}: lies inside the raw input {input}, which is only read"
            )


def _found(input: Path, output: Path, scratch: Path, knobs: FolderKnobs, runner: Runner) -> Inputs:
    check_places(input, output, scratch)
    limits = Limits(knobs.timeout_s, knobs.memory_mib)
    inputs = look_inside(find(input), input, limits, runner)
    if not inputs.recordings and not inputs.unreadable:
        others = _by_suffix(inputs)
        raise CurationError(
            f"{input}: no video and no numbered pictures; other files by suffix: {others}"
        )
    return inputs


def _by_suffix(inputs: Inputs) -> dict[str, int]:
    """Number of files that are no recordings."""
    suffixes = Counter(known_suffix(one.suffix) for one in inputs.others)
    return dict(sorted(suffixes.items()))


def _to_read(
    recordings: Sequence[Recording],
    hashes: Sequence[str | Failed[Recording]],
    origins: Origins,
    knobs: FolderKnobs,
) -> tuple[list[Work], list[Work], list[Refused]]:
    """What is to be read, once for all with the same bytes; the same by all of its names; and what
    need not be read."""
    lost: list[Refused] = []
    work: list[Work] = []
    for recording, sha256 in zip(recordings, hashes, strict=True):
        if isinstance(sha256, Failed):
            lost.append(refused(recording, sha256.error, knobs.memory_mib))
        elif (fault := _at_sight(recording)) is not None:
            lost.append(refused(recording, fault, knobs.memory_mib))
        else:
            work.append(Work(recording, origins.of(recording), sha256))
    standing: dict[str, Work] = {}
    for one in sorted(work, key=lambda w: (w.origin.standing, w.recording.raw)):
        first = standing.setdefault(one.sha256, one)
        if first is not one:
            detail = f"same bytes as {first.id}"
            lost.append(Refused(one.recording, Reason.DUPLICATE, detail))
    return list(standing.values()), work, lost


def _at_sight(recording: Recording) -> Unusable | None:
    """Why a recording cannot be read, where its names and size tell."""
    if recording.raw_bytes == 0:
        return Unusable(Reason.EMPTY, "no bytes")
    if recording.kind == "unordered":
        detail = f"{len(recording.files)} pictures that no number orders"
        return Unusable(Reason.NOT_A_SEQUENCE, detail)
    return None


def _read_all(
    work: Sequence[Work], knobs: FolderKnobs, scratch: Path, runner: Runner
) -> list[Read | Refused]:
    outcomes = map_videos(
        partial(read_one, knobs=knobs, scratch=scratch.resolve()),
        work,
        runner,
        counting("scan", len(work)),
        lambda one: _bytes(one.recording),
    )
    return [
        refused(o.item.recording, o.error, knobs.memory_mib) if isinstance(o, Failed) else o
        for o in outcomes
    ]


def read_one(work: Work, knobs: FolderKnobs, scratch: Path) -> Read | Refused:
    """What is kept of one recording, read only if it was not yet; in a worker of the runner.

    Never raises: whatever happens to a recording is a row of the quarantine.
    """
    recording, way = work.recording, _way(work.origin, knobs)
    limits = Limits(knobs.timeout_s, knobs.memory_mib)
    store = Store(scratch, way, recording.kind == "pictures")
    try:
        found = store.find(work.sha256)
        kept = found or store.add(
            work.sha256,
            lambda out: scan_recording(plain(recording, out.parent, limits), out, way, limits),
        )
        if kept.measured["duration_s"] < knobs.min_seconds:
            detail = f"{kept.measured['duration_s']:.2f} s, wanted {knobs.min_seconds:g} s"
            raise Unusable(Reason.TOO_SHORT, detail)
        return Read(work, kept, reused=found is not None)
    except Exception as error:
        return refused(recording, error, knobs.memory_mib)


def _way(origin: Origin, knobs: FolderKnobs) -> Way:
    """How a recording is read: what its source's row says goes before the knobs."""
    return Way(
        scan=replace(knobs.scan, fps=origin.keep_fps or knobs.scan.fps),
        short_side_px=knobs.short_side_px,
        quality_crf=knobs.quality_crf,
        picture_fps=origin.picture_fps or knobs.picture_fps,
    )


def _write(
    output: Path,
    videos: Sequence[Mapping[str, Any]],
    read: Sequence[Read],
    gone: Sequence[manifest.Row],
) -> None:
    import pandas as pd

    _place(output / folder.CLIPS, {f"{r.video_id}.mp4": r.kept.clip for r in read})
    _place(output / folder.MEDIANS, {f"{r.video_id}.npz": r.kept.medians for r in read})
    tables.join(output / folder.FRAMES, [r.kept.frames for r in read], "frames")
    tables.join(output / folder.SHOTS, [r.kept.shots for r in read], "shots")
    columns = set(tables.TABLES["videos"].columns) - set(tables.TABLES["videos"].later)
    table = pd.DataFrame(list(videos), columns=sorted(columns))
    tables.write(output / folder.VIDEOS, table, "videos")
    manifest.write_quarantine(output, gone)


def _place(place_of: Path, files: Mapping[str, Path]) -> None:
    """Make a folder, which its owner alone may enter, hold exactly these files."""
    place_of.mkdir(exist_ok=True)
    place_of.chmod(folder.OWNER_ONLY)
    for old in place_of.iterdir():
        if old.name not in files:
            old.unlink()
    for name, file in files.items():
        place(file, place_of / name)


def _bytes(recording: Recording) -> float:
    return recording.raw_bytes


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
