"""Scan and de-identification of a folder -> what became of every second of every video."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus import seconds, tables
from unisurg.corpus.clean import CleanRules, clean
from unisurg.corpus.deid.decide import State as Deidentified
from unisurg.corpus.intervals import Span, State, paint, whole
from unisurg.corpus.seconds import Painted
from unisurg.settings import Clean

STAGE = "deidentify"
"""Whose refusals are painted here."""


def clean_folder(scan: Path, deid: Path, output: Path, section: Clean) -> Painted:
    """Paint the seconds of all videos, a refused video wholly, and write `intervals.parquet`.

    Raises:
        CleanError: a table of frames cannot be judged.
        ConservationError: seconds were lost or invented.
    """
    output.mkdir(parents=True, exist_ok=True)
    videos, frames = tables.of(scan, "videos"), tables.of(scan, "frames")
    verdicts = tables.of(deid, "verdicts").set_index("video_id")
    outside, pages = (_by_video(deid, table) for table in ("outside", "pages"))
    rows_of = frames.groupby("video_id").indices
    painted: Painted = {}
    for video, lasts_s in zip(videos.itertuples(), seconds.lasts_s(videos), strict=True):
        verdict, span = verdicts.loc[video.video_id], (0.0, lasts_s)
        if verdict["deid_state"] == Deidentified.REFUSED:
            everything = whole(lasts_s)
            painted[video.video_id] = paint(
                everything, [span], State.REFUSED, verdict["reason"], STAGE
            )
            continue
        own = frames.iloc[rows_of.get(video.video_id, [])]
        painted[video.video_id] = clean(
            own,
            video.duration_s,
            CleanRules(grid_s=1 / video.clip_fps, **dict(section)),
            outside.get(video.video_id, []),
            pages.get(video.video_id, []),
            lasts_s,
        )
    seconds.write(output, painted, videos)
    return painted


def _by_video(deid: Path, table: str) -> dict[str, list[Span]]:
    spans = tables.of(deid, table)
    return {
        video: list(zip(of["start_s"], of["end_s"], strict=True))
        for video, of in spans.groupby("video_id")
    }
