"""The intervals of all videos of a folder: read, painted on, and written only where they conserve.

The conservation law (curation reference 4.3): per video the seconds of all states are those of the
video, also of one that was cut off. A table that breaks it is never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus import tables
from unisurg.corpus.facts import SLOWEST_BYTES_PER_S
from unisurg.corpus.intervals import (
    Interval,
    State,
    from_rows,
    of_state,
    seconds_by_state,
    to_rows,
    violation,
)

if TYPE_CHECKING:
    import pandas as pd

Painted = dict[str, tuple[Interval, ...]]
"""Video -> its intervals, by ascending time."""
LEAST_LOST_S = 1.0
"""A header that declares so little more than was decoded rounds; it tells of no lost seconds."""
ROUNDING = 1e-9
"""Share of a frame's time; less is arithmetic of floats."""


class ConservationError(RuntimeError):
    """Seconds were lost or invented; the message names the video and the place."""


def read(folder: Path, videos: pd.DataFrame) -> Painted:
    """The intervals of each of the videos, none for one that lasts 0 s.

    Raises:
        TableError: no such table.
        ConservationError: the table is of other videos.
    """
    rows = tables.of(folder, "intervals")
    found = {video: from_rows(of.to_dict("records")) for video, of in rows.groupby("video_id")}
    painted = {video: found.get(video, ()) for video in videos["video_id"]}
    check(painted | found, videos)
    return painted


def write(folder: Path, painted: Mapping[str, Iterable[Interval]], videos: pd.DataFrame) -> None:
    """Write `intervals.parquet`.

    Raises:
        ConservationError: seconds of a video were lost or invented.
    """
    import pandas as pd

    check({video: tuple(intervals) for video, intervals in painted.items()}, videos)
    rows = [row for video, intervals in painted.items() for row in to_rows(video, intervals)]
    columns = list(tables.TABLES["intervals"].columns)
    tables.put(folder, "intervals", pd.DataFrame(rows, columns=columns))


def lasts_s(videos: pd.DataFrame) -> pd.Series:
    """Seconds of each video that its intervals must cover, by the index of `videos`.

    That is what was decoded (`duration_s`), or what the header declares (`declared_s`) where that
    is longer by more than LEAST_LOST_S and no longer than its `bytes` bear out: the end of such a
    recording is lost, and must be accounted for. A table without `declared_s` knows of no losses.
    """
    decoded_s = videos["duration_s"]
    if "declared_s" not in videos:
        return decoded_s
    declared_s = videos["declared_s"]
    longer = declared_s > decoded_s + LEAST_LOST_S
    return decoded_s.mask(
        longer & (declared_s <= videos["bytes"] / SLOWEST_BYTES_PER_S), declared_s
    )


def check(painted: Painted, videos: pd.DataFrame) -> None:
    """Pass where the intervals of exactly these videos cover each of them, from 0 to its end.

    Raises:
        ConservationError: naming the first video and the place.
    """
    lasts = dict(zip(videos["video_id"], lasts_s(videos), strict=True))
    for video in sorted(lasts.keys() ^ painted.keys()):
        raise ConservationError(
            f"{video}: " + ("no intervals" if video in lasts else "intervals, but no such video")
        )
    for video, intervals in painted.items():
        if said := violation(intervals, lasts[video]):
            raise ConservationError(f"{video}: seconds are lost or invented: {said}")


def by_state(painted: Painted) -> dict[State, float]:
    """Total seconds of every state that occurs, over all videos."""
    return seconds_by_state(interval for of in painted.values() for interval in of)


def frames_within(interval: Interval, n_frames: int, fps: float, end_s: float) -> range:
    """Numbers of the frames whose time lies whole in the interval.

    A frame's time goes to the next frame, the last one's to `end_s`, the end of the video.
    """
    first = int(np.ceil(interval.start_s * fps - ROUNDING))
    behind = n_frames if interval.end_s >= end_s else int(interval.end_s * fps + ROUNDING)
    return range(min(first, n_frames), min(behind, n_frames))


def kept(frames: pd.DataFrame, painted: Painted, videos: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows,): whether a row of the table of frames is one of those that a video keeps."""
    facts = {row["video_id"]: row for row in videos.to_dict("records")}
    flags = np.zeros(len(frames), bool)
    numbers = frames["k"].to_numpy()
    for video, places in frames.groupby("video_id").indices.items():
        row = facts[video]
        for keep in of_state(painted[str(video)], State.KEEP):
            inside = frames_within(keep, row["n_frames"], row["clip_fps"], row["duration_s"])
            at = numbers[places]
            flags[places[(at >= inside.start) & (at < inside.stop)]] = True
    return flags
