"""Prints of more frames than memory holds: in files that any process maps, whole videos at a time.

53 bytes a frame; the pages that are read are shared by all processes of a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from unisurg.corpus import tables
from unisurg.corpus.duplicates.search import FRAME_COLUMNS, Prints, SearchRules, prints

LAYOUT: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "video": (np.int32, ()),
    "pts_s": (np.float64, ()),
    "second": (np.int32, ()),
    "asks": (np.bool_, ()),
    "asked": (np.uint64, (2,)),
    "stored": (np.uint64, (3,)),
}
"""Of the files with a row per frame: type and shape of a row."""
COLUMNS = (*FRAME_COLUMNS, "k", "diff_prev")


def read_frames(
    path: Path, rules: SearchRules, kept: Callable[[pd.DataFrame], np.ndarray] | None = None
) -> Iterator[Prints]:
    """What a frames table on the disk says for the search, some whole videos at a time.

    Args:
        kept: bool (rows,) of a part of the table with COLUMNS, which frames take part; or all.

    Raises:
        TableError: no such file, one that is no Parquet, or one of another version.
    """
    for frames in _whole_videos(path):
        yield prints(frames if kept is None else frames[kept(frames)], rules)


def write(folder: Path, parts: Iterable[Prints]) -> None:
    """Write prints of different videos into a folder, one after the other.

    Raises:
        ValueError: a video comes twice.
    """
    videos: dict[str, int] = {}
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in LAYOUT}
        for part in parts:
            for name, file in files.items():
                values = getattr(part, name) + (len(videos) if name == "video" else 0)
                values.astype(LAYOUT[name][0]).tofile(file)
            for video, usable_s in zip(part.videos.tolist(), part.usable_s.tolist(), strict=True):
                if video in videos:
                    raise ValueError(f"{video}: two videos of this name; give one another name")
                videos[video] = usable_s
    np.save(folder / "videos.npy", np.array(list(videos), str))
    np.save(folder / "usable_s.npy", np.array(list(videos.values()), np.int64))


def read(folder: Path) -> Prints:
    """What `write` has written; of the frames nothing is in memory before it is used."""
    return Prints(
        videos=np.load(folder / "videos.npy"),
        usable_s=np.load(folder / "usable_s.npy"),
        **{name: _mapped(folder / name, *layout) for name, layout in LAYOUT.items()},
    )


def _mapped(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    if path.stat().st_size == 0:  # which cannot be mapped
        return np.zeros((0, *shape), kind)
    return np.asarray(np.memmap(path, kind, mode="r")).reshape(-1, *shape)


def _whole_videos(path: Path) -> Iterator[pd.DataFrame]:
    """The table is by video: what follows a part begins with the rest of its last video."""
    import pyarrow.parquet as pq

    tables.read(path, "frames", columns=[])  # a table that is none is refused here
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        rest: list[pd.DataFrame] = []
        for number in range(file.num_row_groups):  # `iter_batches` keeps hold of what it has read
            rest.append(file.read_row_group(number, list(COLUMNS)).to_pandas())
            frames = pd.concat(rest, ignore_index=True)
            last = frames["video_id"].isin(frames["video_id"].tail(1)).to_numpy()
            if not last.all():
                yield frames[~last]
            rest = [frames[last]]
        yield from (part for part in rest if len(part))
