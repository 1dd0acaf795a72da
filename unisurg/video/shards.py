"""The training store: JPEG frames in tar files, with an index that finds any of them.

    shard-*.tar     WebDataset's layout: a sample is up to 64 consecutive frames of a video,
                    `<video>-<first frame>.json`, then `<video>-<first frame>.0000.jpg` and on
    frames.npy      offset, size and CRC-32 of every frame; mapped into memory, never read whole
    videos.parquet  one row per video: `Video`, its shard, its first row in frames.npy
    facts.json      sizes and quality; written last, so a folder without it is no store

JPEG and not video because a clip starts anywhere: random access into H.264 decodes all that lies
between key frames, at a hundred times the cost (docs/data_path.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.video.jpeg import decode
from unisurg.video.store import Video, check_frames

FORMAT = "unisurg-shards-1"
FACTS, VIDEOS, FRAMES = "facts.json", "videos.parquet", "frames.npy"
SAMPLE_FRAMES = 64
INDEX_ROW = np.dtype([("offset", "<u8"), ("size", "<u4"), ("crc32", "<u4")])


class ShardError(ValueError):
    """A shard store is torn or damaged; the message names the file and the remedy."""


@dataclass(frozen=True)
class Facts:
    """What a store holds: `bytes` of tar files, and how far JPEG is from the frames it was given.

    `psnr_db` is of the pooled error of each sample's first frame; None where there was no error.
    """

    format: str
    quality: int
    videos: int
    frames: int
    hours: float
    bytes: int
    mb_per_hour: float
    psnr_db: float | None
    shards: dict[str, int]  # size in bytes of each tar file

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Place:
    """Where a video lies: its tar file, and its first row in the index of frames."""

    shard: str
    first: int


class ShardStore:
    """`FrameStore` over a folder written by `write_shards`; a window of frames is one read.

    Raises:
        ShardError: the folder is torn, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = _facts(folder)
        for shard, size in self.facts.shards.items():
            _check_size(folder / shard, size)
        self.videos, self._places = _videos(folder)
        frames = sum(video.n_frames for video in self.videos)
        if not frames == self.facts.frames == len(self._index):
            raise _torn(folder / FRAMES, f"{len(self._index)} frames for {frames} of the videos")
        self.digest = _digest(folder)

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        video, place = self.videos[row], self._places[row]
        wanted = check_frames(video, frames)
        low, high = int(wanted.min()), int(wanted.max())
        index = self._index[place.first + low : place.first + high + 1]
        begin, last = int(index[0]["offset"]), index[-1]
        data = self._bytes(place.shard, begin, int(last["offset"]) + int(last["size"]))
        clip = np.empty((len(wanted), video.height_px, video.width_px, 3), np.uint8)
        for frame in np.unique(wanted).tolist():
            # Copied at once, while it lies in the cache and before the next one is decoded.
            clip[wanted == frame] = self._picture(row, frame, index[frame - low], data, begin)
        return clip

    def _bytes(self, shard: str, begin: int, end: int) -> bytes:
        path = self.folder / shard
        try:
            with path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), end - begin, begin)
        except FileNotFoundError:
            raise _torn(path, "no such file") from None
        if len(data) < end - begin:
            raise _torn(path, f"ends before byte {end}")
        return data

    def _picture(
        self, row: int, frame: int, where: np.void, data: bytes, begin: int
    ) -> NDArray[np.uint8]:
        """A frame out of `data`, which starts at byte `begin` of the shard."""
        video = self.videos[row]
        start = int(where["offset"]) - begin
        jpeg = memoryview(data)[start : start + int(where["size"])]
        intact = zlib.crc32(jpeg) == int(where["crc32"])
        picture = decode(np.frombuffer(jpeg, np.uint8)) if intact else None
        if picture is None or picture.shape != (video.height_px, video.width_px, 3):
            raise _torn(
                self.folder / self._places[row].shard,
                f"frame {frame} of video {video.video_id} is damaged",
            )
        return picture

    @cached_property
    def _index(self) -> NDArray[np.void]:
        path = self.folder / FRAMES
        try:
            index: NDArray[np.void] = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise _torn(path, str(error)) from None
        if index.dtype != INDEX_ROW:
            raise _torn(path, f"rows of {index.dtype}")
        return index

    def __getstate__(self) -> dict[str, Any]:
        """Without the mapped index, which would travel as all of its rows."""
        return {name: value for name, value in self.__dict__.items() if name != "_index"}


def _facts(folder: Path) -> Facts:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise _torn(path, f"format {facts['format']}, this version reads {FORMAT}")
        return Facts(**facts)
    except FileNotFoundError:
        raise _torn(path, "no such file, so the folder was not written to its end") from None
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise _torn(path, f"{type(error).__name__} {error}") from None


def _videos(folder: Path) -> tuple[Sequence[Video], Sequence[Place]]:
    import pyarrow
    from pyarrow import parquet

    path = folder / VIDEOS
    try:
        rows = parquet.read_table(path).to_pylist()
        videos = [Video(**{field.name: row[field.name] for field in fields(Video)}) for row in rows]
        return videos, [Place(row["shard"], row["first_frame"]) for row in rows]
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        raise _torn(path, str(error)) from None


def _digest(folder: Path) -> str:
    """Over the index, whose checksums stand for the frames, the table and the facts."""
    total = hashlib.sha256()
    for name in (VIDEOS, FRAMES, FACTS):
        with (folder / name).open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise _torn(path, f"{size} bytes expected, found {found or 'none'}")


def _torn(path: Path, what: str) -> ShardError:
    return ShardError(f"{path}: {what}; delete the folder and run `unisurg shards` again")
