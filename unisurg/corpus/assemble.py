"""What is kept of a folder of recordings -> the corpus: a clean clip and a row for every piece."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.cut import Pieces, clip_id, cut
from unisurg.corpus.deid.decide import State as Deidentified
from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.facts import Reason
from unisurg.corpus.intervals import Interval, State, of_state, paint
from unisurg.corpus.leakage import COVERAGE, PROCEDURES
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.corpus.refusals import CurationError, judge
from unisurg.corpus.samples.take import take_samples
from unisurg.corpus.scan import folder
from unisurg.corpus.scan.kept import place
from unisurg.corpus.seconds import Painted
from unisurg.progress import counting
from unisurg.settings import Curate

STAGE = "corpus"
CLIPS = "clips"


@dataclass(frozen=True)
class Summary:
    """What became of a folder of recordings."""

    inputs: int
    videos: int
    """Recordings of which something is kept."""
    clips: int
    frames: int
    seconds: dict[str, float]
    """Of all readable recordings by state; they sum to what came in."""
    quarantined: dict[str, int]
    """Number of recordings by reason."""

    def numbers(self) -> dict[str, float]:
        """The counts as flat metrics."""
        return {
            "inputs": self.inputs,
            "videos": self.videos,
            "clips": self.clips,
            "frames": self.frames,
            "quarantined": sum(self.quarantined.values()),
            **{f"seconds.{state}": told for state, told in self.seconds.items()},
            **{f"quarantined.{reason}": count for reason, count in self.quarantined.items()},
        }

    def __str__(self) -> str:
        told = ", ".join(f"{state} {s:.0f} s" for state, s in self.seconds.items())
        reasons = ", ".join(f"{reason} {n}" for reason, n in self.quarantined.items()) or "none"
        return (
            f"{self.inputs} recordings: {self.clips} clips of {self.videos}, {self.frames} frames\n"
            f"seconds: {told}\nquarantined: {reasons}"
        )


def assemble(
    scan: Path,
    deid: Path,
    dedup: Path,
    leak: Path,
    output: Path,
    scratch: Path,
    curate: Curate,
    runner: Runner,
) -> Summary:
    """Write the corpus: manifest.parquet, clips/, quarantine.csv, intervals.parquet,
    recordings.parquet and inputs.csv; and, as evidence for who validates it, the
    stage dedup's dup_pairs.parquet, the stage leak's leak_hits.parquet, procedures.csv
    and coverage.csv, and samples/ to look at.

    A row of the manifest is one piece of a video that is kept, and its clip holds exactly the
    frames of that piece. Clips are made in `scratch` and linked into `output`. A video whose clips
    cannot be written clean goes into quarantine whole.

    Args:
        curate: quality of clips, and the share of refused recordings that is borne.

    Raises:
        CurationError: nothing is kept, or more than `curate.max_quarantined` of the recordings were
            refused; after everything has been written.
        ConservationError: recordings or seconds were lost or invented.
    """
    (output / CLIPS).mkdir(parents=True, exist_ok=True)
    videos, inputs = tables.of(scan, "videos"), manifest.read_inputs(scan)
    verdicts = tables.of(deid, "verdicts").set_index("video_id")
    videos["deid_state"] = videos["video_id"].map(verdicts["deid_state"])
    painted = {
        row["video_id"]: _whole_frames(of, row)
        for row, of in _with(videos, seconds.read(leak, videos))
    }
    made, failed = _clips(scan, deid, scratch, videos, painted, curate, runner)
    painted |= {
        video: paint(painted[video], _all(painted[video]), State.REFUSED, str(error), STAGE)
        for video, error in failed.items()
    }
    rows = _manifest_rows(videos, painted, made)
    _place(made, output / CLIPS)
    table = manifest.write_manifest(output, rows)
    refused = [
        *manifest.read_quarantine(scan).to_dict("records"),
        *_refused(videos, verdicts, failed),
    ]
    quarantine = manifest.write_quarantine(output, refused)
    manifest.write_inputs(output, inputs.to_dict("records"))
    told = videos.drop(columns=list(tables.RAW_COLUMNS))
    tables.write(output / manifest.RECORDINGS, told, "recordings")
    seconds.write(output, painted, videos)
    tables.put(output, "dup_pairs", tables.of(dedup, "dup_pairs"))
    tables.put(output, "leak_hits", tables.of(leak, "leak_hits"))
    for name in (PROCEDURES, COVERAGE):
        shutil.copyfile(leak / name, output / name)
    check_accounts(inputs, quarantine, videos, painted)
    take_samples(scan, deid, output)
    n_recordings = int((inputs["kind"] != manifest.OTHER).sum())
    judge(refused, n_recordings, curate.max_quarantined, output)
    summary = _summary(inputs, table, quarantine, painted)
    if not len(table):
        raise CurationError(f"nothing is kept; {output / 'intervals.parquet'} says why\n{summary}")
    return summary


def _with(videos: pd.DataFrame, painted: Painted) -> list[tuple[dict[str, Any], Any]]:
    return [(row, painted[row["video_id"]]) for row in videos.to_dict("records")]


def _span(keep: Interval, row: Mapping[str, Any]) -> range:
    return seconds.frames_within(keep, row["n_frames"], row["clip_fps"], row["duration_s"])


def _whole_frames(intervals: tuple[Interval, ...], row: Mapping[str, Any]) -> tuple[Interval, ...]:
    """Pieces of `keep` in which no frame lies whole give no clip, and are not kept."""
    empty = [(i.start_s, i.end_s) for i in of_state(intervals, State.KEEP) if not _span(i, row)]
    return paint(intervals, empty, State.SHORT, "no whole frame", STAGE)


def _all(intervals: tuple[Interval, ...]) -> list[tuple[float, float]]:
    return [(0.0, intervals[-1].end_s)] if intervals else []


def _clips(
    scan: Path,
    deid: Path,
    scratch: Path,
    videos: pd.DataFrame,
    painted: Painted,
    curate: Curate,
    runner: Runner,
) -> tuple[dict[str, list[Path]], dict[str, Exception]]:
    """Video -> the clips of its pieces; and -> why there are none where they cannot be written."""
    rectangles = tables.of(deid, "rectangles").groupby("video_id")
    jobs = {}
    for row, intervals in _with(videos, painted):
        video, spans = row["video_id"], [_span(i, row) for i in of_state(intervals, State.KEEP)]
        black = rectangles.get_group(video) if video in rectangles.groups else None
        if spans:
            jobs[video] = Pieces(
                clip=folder.clip(scan, video),
                n_frames=int(row["n_frames"]),
                fps=float(row["clip_fps"]),
                crf=curate.quality_crf,
                rectangles=()
                if black is None
                else tuple(Rectangle(*r) for r in black[list("xywh")].to_numpy().tolist()),
                spans=tuple((span.start, span.stop) for span in spans),
                scratch=scratch,
            )
    done = counting("clips", len(jobs))
    outcomes = map_videos(cut, list(jobs.values()), runner, done, lambda job: float(job.n_frames))
    found = dict(zip(jobs, outcomes, strict=True))
    failed = {video: out.error for video, out in found.items() if isinstance(out, Failed)}
    made = {video: out for video, out in found.items() if not isinstance(out, Failed)}
    return made, failed


def _place(made: Mapping[str, list[Path]], clips: Path) -> None:
    """Make the folder hold exactly the clips of this run."""
    named = {
        f"{clip_id(video, number)}.mp4": file
        for video, files in made.items()
        for number, file in enumerate(files)
    }
    for old in clips.iterdir():
        if old.name not in named:
            old.unlink()
    for name, file in named.items():
        place(file, clips / name)


def _manifest_rows(
    videos: pd.DataFrame, painted: Painted, made: Mapping[str, list[Path]]
) -> list[dict[str, Any]]:
    return [
        _manifest_row(row, number, keep)
        for row, intervals in _with(videos, painted)
        for number, keep in enumerate(of_state(intervals, State.KEEP))
        if row["video_id"] in made
    ]


def _manifest_row(row: Mapping[str, Any], number: int, keep: Interval) -> dict[str, Any]:
    name, n_frames = clip_id(row["video_id"], number), len(_span(keep, row))
    return {
        "clip_id": name,
        "video_id": row["video_id"],
        "source": row["source_id"],
        "specialty": row["specialty_s"],
        "clip": f"{CLIPS}/{name}.mp4",
        "recording": row["recording"],
        "raw_bytes": row["bytes"],
        "codec": row["vcodec"],
        "raw_width_px": row["coded_width_px"],
        "raw_height_px": row["coded_height_px"],
        "raw_fps": row["fps_avg"],
        "raw_duration_s": row["duration_s"],
        "has_audio": row["has_audio"],
        "start_s": keep.start_s,
        "end_s": keep.end_s,
        "width_px": row["clip_width_px"],
        "height_px": row["clip_height_px"],
        "fps": row["clip_fps"],
        "n_frames": n_frames,
        "duration_s": n_frames / row["clip_fps"],
        "variable_rate": row["vfr"],
        "decode_errors": row["n_packet_err"],
        "clock_jumps": row["clock_jumps"],
        "missing_pictures": row["missing_pictures"],
    }


def _refused(
    videos: pd.DataFrame, verdicts: pd.DataFrame, failed: Mapping[str, Exception]
) -> list[dict[str, Any]]:
    """Rows of the quarantine: videos that were not de-identified, or not written."""
    rows = []
    for row in videos.to_dict("records"):
        video = row["video_id"]
        base = {"recording": row["recording"], "raw_bytes": row["bytes"]}
        if row["deid_state"] == Deidentified.REFUSED:
            said = "; ".join(filter(None, verdicts.loc[video, ["reason", "remedy"]]))
            told = {"stage": "deidentify", "reason": str(Reason.NOT_DEIDENTIFIED), "detail": said}
        elif video in failed:
            said = f"{type(failed[video]).__name__}: {failed[video]}"
            told = {"stage": STAGE, "reason": str(Reason.UNWRITABLE), "detail": said}
        else:
            continue
        rows.append(base | told)
    return rows


def check_accounts(
    inputs: pd.DataFrame, quarantine: pd.DataFrame, videos: pd.DataFrame, painted: Painted
) -> None:
    """Every recording is a video with intervals or was refused by the scan; a video that keeps
    nothing and was refused later is in quarantine as well. Files that are no recordings stand in
    the inputs alone, and no id stands for two of them."""
    readable, gone = set(videos["recording"]), set(quarantine["recording"])
    found = set(inputs.loc[inputs["kind"] != manifest.OTHER, "recording"])
    refused = {
        row["recording"] for row, of in _with(videos, painted) if of_state(of, State.REFUSED)
    }
    twice = set(inputs.loc[inputs["recording"].duplicated(), "recording"])
    if odd := twice or found ^ (readable | gone) or refused ^ (gone & readable):
        raise seconds.ConservationError(
            f"recordings are lost or invented: {', '.join(sorted(odd)[:5])}; curate them again"
        )


def _summary(
    inputs: pd.DataFrame,
    table: pd.DataFrame,
    quarantine: pd.DataFrame,
    painted: Painted,
) -> Summary:
    return Summary(
        inputs=int((inputs["kind"] != manifest.OTHER).sum()),
        videos=table["video_id"].nunique(),
        clips=len(table),
        frames=int(table["n_frames"].sum()),
        seconds={str(state): told for state, told in seconds.by_state(painted).items()},
        quarantined=quarantine["reason"].value_counts().sort_index().to_dict(),
    )
