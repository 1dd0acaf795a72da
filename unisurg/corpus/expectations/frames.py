"""Tables with a row per frame, of which there are millions -> a row per video.

Great Expectations looks at least and most of each column of a video, which is enough for a range,
and names the video. A column is read at a time, so that memory is that of two columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisurg.corpus import tables
from unisurg.corpus.intervals import Interval, State
from unisurg.corpus.seconds import frames_within


def by_video(path: Path, table: str) -> pd.DataFrame:
    """Columns video_id; rows; `breaks`, the rows whose k is not one more than the row's before; and
    of every column of numbers `NAME_least` and `NAME_most`, NaN left out, and of floats `NAME_nan`,
    how many those are. A video whose rows lie apart has two rows here.
    """
    starts, ids, n_rows = _runs(path)
    found: dict[str, Any] = {"video_id": ids, "rows": np.diff(np.append(starts, n_rows))}
    for name, kind in tables.TABLES[table].columns.items():
        if name == "video_id" or kind == "uint64":
            continue
        values = _column(path, name)
        if name == "k":
            steps = np.diff(values, prepend=values[:1]) != 1
            steps[starts] = values[starts] != 0
            found["breaks"] = _counted(steps, starts)
        found[f"{name}_least"] = _reduced(np.fmin, values, starts)
        found[f"{name}_most"] = _reduced(np.fmax, values, starts)
        if kind.startswith("float"):
            found[f"{name}_nan"] = _counted(np.isnan(values), starts)
    return pd.DataFrame(found)


def cuts_within(path: Path, clips: pd.DataFrame, videos: pd.DataFrame) -> list[int]:
    """Per clip, a row of the manifest, how many shot cuts lie between its first and last frame; of
    one that no video has, none.

    Args:
        path: of the table of frames.
        videos: table `videos`, for n_frames, clip_fps and duration_s.
    """
    starts, ids, _ = _runs(path)
    place = dict(zip(ids, starts.tolist(), strict=True))
    facts = videos.set_index("video_id")[["n_frames", "clip_fps", "duration_s"]].to_dict("index")
    shots = _column(path, "shot_id")
    found = []
    for clip in clips.itertuples():
        fact = facts.get(clip.video_id)
        if fact is None or clip.video_id not in place:
            found.append(0)
            continue
        piece = Interval(clip.start_s, clip.end_s, State.KEEP, "", "")
        span = frames_within(piece, fact["n_frames"], fact["clip_fps"], fact["duration_s"])
        own = shots[place[clip.video_id] + span.start : place[clip.video_id] + span.stop]
        found.append(int(own[-1] - own[0]) if len(own) else 0)
    return found


def _runs(path: Path) -> tuple[NDArray[np.int64], list[str], int]:
    """Where the rows of each video start, whose they are, and how many rows there are."""
    import pyarrow.parquet as pq

    read = pq.read_table(path, columns=["video_id"], read_dictionary=["video_id"])
    column = read.column(0).unify_dictionaries().combine_chunks()
    codes = column.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    names = column.dictionary.to_pylist()
    return starts, [names[code] for code in codes[starts]], len(codes)


def _column(path: Path, name: str) -> NDArray[Any]:
    import pyarrow.parquet as pq

    values: NDArray[Any] = pq.read_table(path, columns=[name]).column(0).to_numpy()
    return values


def _reduced(operation: Any, values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    reduced: NDArray[Any] = operation.reduceat(values, starts) if len(starts) else values[:0]
    return reduced


def _counted(flags: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(starts):
        return np.zeros(0, np.int64)
    counted: NDArray[np.int64] = np.add.reduceat(flags, starts, dtype=np.int64)
    return counted
