"""Footage that is kept from several videos of a folder -> kept from the best of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from unisurg.corpus import seconds, tables
from unisurg.corpus.clean import short_refused
from unisurg.corpus.duplicates.clusters import clusters, duplicate_intervals
from unisurg.corpus.duplicates.comparison import comparing
from unisurg.corpus.duplicates.mapped import read_frames
from unisurg.corpus.duplicates.search import Prints, SearchRules
from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.intervals import State, paint
from unisurg.corpus.mapping import Runner
from unisurg.corpus.scan.folder import FRAMES
from unisurg.corpus.seconds import Painted
from unisurg.settings import Duplicates

STAGE = "dedup"


def dedup_folder(
    scan: Path,
    cleaned: Path,
    output: Path,
    scratch: Path,
    section: Duplicates,
    short_s: float,
    runner: Runner,
) -> Painted:
    """Look for footage in common among the seconds that are kept, and paint the copies.

    A video is held against others with its kept seconds alone, so that no copy goes for one that is
    not fit for use. Writes dup_pairs, clusters and intervals (`.parquet`).

    Args:
        scratch: keeps what videos were compared with, so that no run does it again.
        short_s: pieces that are left and shorter than this are refused too.

    Raises:
        ConservationError: seconds were lost or invented.
        ComparisonError: some videos could not be compared, or another run is at it.
    """
    output.mkdir(parents=True, exist_ok=True)
    videos = tables.of(scan, "videos")
    painted = seconds.read(cleaned, videos)
    search, votes = SearchRules(**dict(section.search)), VoteRules(**dict(section.votes))
    spoken = _spoken(scan, painted, videos, search)
    with comparing(scratch / STAGE, spoken, search, votes, runner) as compared:
        pairs = compared.within()
        fit = videos[videos["video_id"].isin(compared.videos())]
    for copy in duplicate_intervals(pairs, fit, section.bridge_s).itertuples():
        span = [(copy.start_s, copy.end_s)]
        painted[copy.video_id] = paint(
            painted[copy.video_id], span, State.DUPLICATE, copy.reason, STAGE
        )
    painted = {video: short_refused(of, short_s, STAGE) for video, of in painted.items()}
    tables.put(output, "dup_pairs", pairs)
    tables.put(output, "clusters", clusters(pairs, fit))
    seconds.write(output, painted, videos)
    return painted


def _spoken(
    scan: Path, painted: Painted, videos: pd.DataFrame, search: SearchRules
) -> Iterator[Prints]:
    """What the kept frames say."""

    def kept(frames: pd.DataFrame) -> np.ndarray:
        own = videos[videos["video_id"].isin(frames["video_id"].unique())]
        return seconds.kept(frames, painted, own)

    return read_frames(scan / FRAMES, search, kept)
