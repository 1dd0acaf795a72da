"""Held-out recordings of a benchmark -> its index: every one is hashed, once, in a killable child.

What was hashed is kept in the scratch folder by content and knobs, so that a run that was killed
goes on, and a case that is there already is not read again. None of it holds a pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from unisurg.corpus.child import Limits
from unisurg.corpus.deid.decide import told
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.leak_index import INDEX_COLUMNS, Account, index_of
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.corpus.normalise import LEAST_DECODED
from unisurg.corpus.parts import Parts, sha256
from unisurg.corpus.scan.scan import Scan, ScanKnobs, scan_pictures, scan_video
from unisurg.progress import counting

FPS = 4.0
"""A corpus samples the same footage at other instants: half a second away, half of all frames still
match (curation reference 0, fact 8)."""
FOLDER = "leak_index"
VERSION = 1
"""Counted up when the same recording and knobs begin to give other hashes."""
HASHED = [name for name in INDEX_COLUMNS if name not in ("benchmark", "part")]


class IndexingError(ValueError):
    """No index can be made; the message names the remedy."""


@dataclass(frozen=True)
class HeldOut:
    """A recording that a benchmark validates or tests on."""

    case: str
    part: str
    """val | test."""
    files: tuple[Path, ...]
    """A video file, or pictures in the order of time."""
    picture_fps: float | None
    """Pictures a second; None where it is a video file."""


@dataclass(frozen=True)
class Job:
    """All that is needed to hash one recording, in any process."""

    recording: HeldOut
    knobs: ScanKnobs
    limits: Limits
    scratch: Path


def make_index(
    benchmark: str,
    recordings: Iterable[HeldOut],
    account: Account,
    knobs: ScanKnobs,
    limits: Limits,
    scratch: Path,
    runner: Runner,
) -> tuple[pd.DataFrame, Account]:
    """Hash all recordings of a benchmark; the same recordings give the same index in any order.

    Args:
        account: of the copy; what cannot be read is added to its `unread`.
        knobs: of the scan, as of `hashing`.

    Raises:
        IndexingError: two recordings of one case, or none that can be read.
    """
    jobs = {one.case: Job(one, knobs, limits, scratch.resolve()) for one in recordings}
    outcomes = map_videos(
        hash_recording, list(jobs.values()), runner, counting("index", len(jobs)), _bytes
    )
    found = dict(zip(jobs, outcomes, strict=True))
    lost = {case: told(out.error) for case, out in found.items() if isinstance(out, Failed)}
    parts = {case: part for case, part in found.items() if isinstance(part, Path)}
    unread = {**account.unread, **lost}
    if not parts:
        said = "; ".join(f"{case}: {why}" for case, why in sorted(unread.items())[:5])
        raise IndexingError(
            f"{benchmark}: no validation or test case can be read ({said or 'there is none'}); "
            f"`unisurg benchmarks check {benchmark}` says what is wrong with the copy"
        )
    frames = pd.concat(
        [pd.read_parquet(part).assign(video_id=case) for case, part in sorted(parts.items())],
        ignore_index=True,
    )
    index = index_of(frames, benchmark, {case: jobs[case].recording.part for case in parts})
    return index, replace(account, unread=dict(sorted(unread.items())))


def hashing(knobs: ScanKnobs) -> ScanKnobs:
    """The same scan at the rate of an index, and with the least of pictures that it can make."""
    least = {"median_every_s": 3600, "median_frames": 1, "median_short_side_px": 16}
    return replace(knobs, fps=FPS, **least)


def deciding(knobs: ScanKnobs) -> dict[str, Any]:
    """What of the knobs decides the hashes."""
    return {name: asdict(knobs)[name] for name in ("fps", "box_samples", "box_std")}


def hash_recording(job: Job) -> Path:
    """The part that holds a recording's hashes, read only where it is not there yet.

    Raises:
        Unusable, ChildFailed, OSError: it cannot be read.
    """
    recording = job.recording
    said: Mapping[str, Any] = {**deciding(job.knobs), "picture_fps": recording.picture_fps}
    parts = Parts(job.scratch, FOLDER, VERSION, said)
    return parts.get(_content(recording.files), lambda aside: _write(aside, _scan(job)))


def _scan(job: Job) -> Scan:
    files, picture_fps = job.recording.files, job.recording.picture_fps
    if picture_fps is None:
        scan = scan_video(files[0], job.knobs, job.limits)
    else:
        # Rows between two pictures would only repeat them.
        knobs = replace(job.knobs, fps=min(job.knobs.fps, picture_fps))
        scan = scan_pictures(files, picture_fps, knobs, job.limits)
    facts = scan.facts
    if facts.decode_errors > (1 - LEAST_DECODED) * facts.packets:
        raise Unusable(Reason.DAMAGED, f"{facts.decode_errors} of {facts.packets} packets failed")
    return scan


def _write(path: Path, scan: Scan) -> None:
    scan.frames("")[HASHED].to_parquet(path, index=False, compression="zstd")


def _content(files: Sequence[Path]) -> str:
    """Of the file, or of all of the pictures in their order."""
    if len(files) == 1:
        return sha256(files[0])
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


def _bytes(job: Job) -> float:
    return sum(file.stat().st_size for file in job.recording.files if file.is_file())
