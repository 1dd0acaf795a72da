"""A scanned folder -> per video what is painted and cut out, and whether it may pass.

Fail-closed: a video of which anything was not done, or whose work failed, is refused with a reason
and a remedy (`deid.decide`). The pictures are painted later, when clips are written (`cut.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisurg.corpus import tables
from unisurg.corpus.cut import frames_of
from unisurg.corpus.deid.decide import DeidRules, Examined, State, Verdict, examine, told
from unisurg.corpus.deid.outside import Detector, OutsideRules
from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.deid.pages import Span, spans_of_medians, spans_of_stills
from unisurg.corpus.deid.text import TextReader, TextRules
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.corpus.normalise import exact
from unisurg.corpus.parts import Parts, sha256
from unisurg.corpus.scan import folder
from unisurg.corpus.scan.stills import chosen
from unisurg.corpus.sources import Source
from unisurg.progress import counting
from unisurg.settings import Deid

VERSION = 4
"""Counted up whenever the same video and settings would give other findings."""
NO_SHOTS = np.zeros(0, np.int32)
CATALOGUE = "catalogue"
"""Kind of a rectangle that the source lists; others are those of `deid.text.Kind`."""
REMEDY = "run it again; if it fails again, look at the video's medians and its clip of the scan"


@dataclass(frozen=True)
class Job:
    """All that is needed to examine one video, in any process."""

    video_id: str
    clip: Path
    medians: Path
    spans_s: tuple[Span, ...]
    """Seconds in which each of the medians and stills that there should be may be seen."""
    n_frames: int
    grid_s: float
    duration_s: float
    provider: str | None
    doubt: str
    """Why the provider's word does not count for this video, or empty."""
    overlays: tuple[Rectangle, ...]
    section: Deid
    detector_digest: str
    scratch: Path


def deidentify(
    scan: Path,
    output: Path,
    scratch: Path,
    section: Deid,
    median_every_s: int,
    sources: Mapping[str, Source],
    runner: Runner,
) -> pd.DataFrame:
    """Examine every video of a scanned folder.

    Writes verdicts, rectangles, oob, outside and pages (`.parquet`). What was found in a video is
    kept in `scratch`, by the bytes that it was found in and all that decides it, and not looked for
    again.

    Args:
        median_every_s: seconds for which the scan made a median.
        sources: by id, for who de-identified a source and what it burns into its pictures.

    Returns:
        the table `verdicts`.

    Raises:
        TextError, DetectorError: reader or detector cannot be used, before any video is looked at.
    """
    output.mkdir(parents=True, exist_ok=True)
    videos = tables.of(scan, "videos")
    _reader(section)
    digest = _detector(section).digest if section.detector else ""
    shots = _shots(scan)
    jobs = [
        _job(
            row,
            scan,
            scratch,
            section,
            _spans(row, median_every_s, shots.get(row["video_id"], NO_SHOTS)),
            sources.get(row["source_id"]),
            digest,
        )
        for row in videos.to_dict("records")
    ]
    done = counting("deidentify", len(jobs))
    outcomes = map_videos(examine_video, jobs, runner, done, lambda job: job.duration_s)
    findings = {
        job.video_id: _failed(outcome.error) if isinstance(outcome, Failed) else outcome
        for job, outcome in zip(jobs, outcomes, strict=True)
    }
    for table, found in _tables(findings).items():
        tables.put(output, table, found)
    return tables.of(output, "verdicts")


def examine_video(job: Job) -> dict[str, Any]:
    """What was found in one video, as rows of the tables verdicts, rectangles, oob, outside and
    pages but for its name. A video that is refused is looked at again by the next run."""
    parts = Parts(job.scratch, "deidentify", VERSION, _deciding(job), suffix=".json")
    content = sha256(job.clip) + sha256(job.medians)
    if (part := parts.find(content)) is not None:
        found: dict[str, Any] = json.loads(part.read_text())
        return found
    examined = _examined(job)
    if examined.verdict.passed:
        parts.add(content, lambda out: out.write_text(json.dumps(_rows(examined))))
    return _rows(examined)


def _examined(job: Job) -> Examined:
    section = job.section
    return examine(
        provider=job.provider,
        doubt=job.doubt,
        overlays=job.overlays,
        medians=chain(folder.read_medians(job.medians), folder.read_stills(job.medians)),
        spans_s=job.spans_s,
        frames=(frame.to_ndarray(format="rgb24") for frame in frames_of(job.clip)),
        n_frames=job.n_frames,
        grid_s=job.grid_s,
        duration_s=job.duration_s,
        reader=_reader(section),
        detector=_detector(section) if section.detector else None,
        rules=DeidRules(section.paint, section.most_painted, OutsideRules(**dict(section.outside))),
    )


def _rows(found: Examined) -> dict[str, Any]:
    kinds = {one.rectangle: str(one.kind) for one in found.found}
    verdict = found.verdict
    seen = [] if np.isnan(found.oob_p).any() else found.oob_p.tolist()
    return {
        "verdicts": [[str(verdict.state), verdict.reason, verdict.remedy]],
        "rectangles": [[*one, kinds.get(one, CATALOGUE)] for one in sorted(set(found.rectangles))],
        "oob": list(enumerate(seen)),
        "outside": [list(span) for span in found.outside],
        "pages": [list(span) for span in found.pages],
    }


def _failed(error: Exception) -> dict[str, Any]:
    verdict = Verdict(State.REFUSED, f"failed: {told(error)}", REMEDY)
    return _rows(Examined(verdict, (), (), np.zeros(0, np.float32), ()))


def _job(
    row: Mapping[str, Any],
    scan: Path,
    scratch: Path,
    section: Deid,
    spans_s: tuple[Span, ...],
    source: Source | None,
    detector_digest: str,
) -> Job:
    video_id, n_frames, fps = row["video_id"], int(row["n_frames"]), float(row["clip_fps"])
    return Job(
        video_id=video_id,
        clip=folder.clip(scan, video_id),
        medians=folder.medians(scan, video_id),
        spans_s=spans_s,
        n_frames=n_frames,
        grid_s=1 / fps,
        duration_s=float(row["duration_s"]),
        provider=_provider(source, bool(row["rendered"])),
        doubt=_doubt(source, row),
        overlays=tuple(Rectangle(*one) for one in source.overlays) if source else (),
        section=section,
        detector_digest=detector_digest,
        scratch=scratch,
    )


def _shots(scan: Path) -> dict[str, NDArray[np.int32]]:
    """Video -> the shot of each of its frames."""
    frames = tables.read(scan / folder.FRAMES, "frames", ["video_id", "k", "shot_id"])
    return {video: of["shot_id"].to_numpy() for video, of in frames.groupby("video_id")}


def _spans(
    row: Mapping[str, Any], median_every_s: int, shot_ids: NDArray[np.int32]
) -> tuple[Span, ...]:
    """Of the medians, then of the stills that the video should have."""
    fps, duration_s = float(row["clip_fps"]), float(row["duration_s"])
    per_median = max(1, round(median_every_s * fps))
    n_medians = math.ceil(int(row["n_frames"]) / per_median)
    stills = chosen(shot_ids, exact(fps))
    return (
        *spans_of_medians(n_medians, per_median / fps, duration_s),
        *spans_of_stills(stills, shot_ids, 1 / fps, duration_s),
    )


def _provider(source: Source | None, rendered: bool) -> str | None:
    """Who de-identified the source; a renderer's word counts for what was rendered alone."""
    if source is None or (source.rendered and not rendered):
        return None
    return source.deid_by_provider


def _doubt(source: Source | None, row: Mapping[str, Any]) -> str:
    """Why the source's word does not count for a recording: a folder's name alone vouches for
    nothing where it is known how the source's recordings are named."""
    path = PurePosixPath(row["uri"])
    name = path.stem if row["kind"] == "video" else path.name
    if "*" in name:  # one of several series of pictures, which are named by their folder
        name = path.parent.name
    if source is None or not source.deid_by_provider or source.is_named(name):
        return ""
    return f"it is not named as recordings of {source.id} are"


def _deciding(job: Job) -> dict[str, Any]:
    """All that decides what is found, but for the pictures."""
    return {
        "section": job.section.model_dump(
            mode="json", exclude={"detector", "detector_sha256", "batch"}
        ),
        "detector": job.detector_digest,
        "provider": job.provider,
        "doubt": job.doubt,
        "overlays": job.overlays,
        "spans": job.spans_s,
        "frames": job.n_frames,
        "seconds": [job.grid_s, job.duration_s],
    }


@cache
def _reader(section: Deid) -> TextReader:
    """Once in a process: the networks take a second to load."""
    return TextReader(TextRules(**dict(section.text)))


@cache
def _detector(section: Deid) -> Detector:
    assert section.detector is not None
    return Detector(section.detector, section.batch)


def _tables(findings: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
    return {
        name: pd.DataFrame(
            [[video, *row] for video, found in findings.items() for row in found[name]],
            columns=list(tables.TABLES[name].columns),
        )
        for name in ("verdicts", "rectangles", "oob", "outside", "pages")
    }
