"""Any store of frames -> tar shards of JPEG: the same frames give the same bytes."""

from __future__ import annotations

import json
import math
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unisurg.progress import track
from unisurg.video.jpeg import decode, encode
from unisurg.video.shards import (
    FACTS,
    FORMAT,
    FRAMES,
    INDEX_ROW,
    SAMPLE_FRAMES,
    VIDEOS,
    Facts,
)
from unisurg.video.store import MIB, FrameStore, Video

NAME = re.compile(r"[\w-]{1,64}")


def write_shards(store: FrameStore, folder: Path, quality: int, shard_mib: int) -> Facts:
    """Write every frame of `store` to a shard store in `folder`, in place of one that is there.

    Args:
        quality: of the JPEG, 1..100.
        shard_mib: a tar file is closed after the video that makes it larger.

    Raises:
        ValueError: no video, or a `video_id` that cannot name a member of a tar file.
    """
    _check_names(store)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).unlink(missing_ok=True)
    for old in [*folder.glob("*.tar"), *folder.glob("*.part")]:
        old.unlink()
    frames = sum(video.n_frames for video in store.videos)
    with _settled(folder / FRAMES) as part:
        index = np.lib.format.open_memmap(part, "w+", INDEX_ROW, (frames,))
        writer = _Writer(store, folder, quality, shard_mib * MIB, index)
        rows = [writer.write(row) for row in track(range(len(store.videos)), "shards")]
        writer.close()
        index.flush()
    _write_table(folder / VIDEOS, rows)
    facts = writer.facts()
    with _settled(folder / FACTS) as part:
        facts.write(part)
    return facts


class _Writer:
    """The tar file being filled, and what was counted on the way."""

    def __init__(
        self,
        store: FrameStore,
        folder: Path,
        quality: int,
        shard_bytes: int,
        index: NDArray[np.void],
    ) -> None:
        self._store, self._folder, self._quality = store, folder, quality
        self._shard_bytes, self._index = shard_bytes, index
        self._tar: IO[bytes] | None = None
        self._shards: dict[str, int] = {}
        self._done = 0
        self._error, self._compared = 0.0, 0

    def write(self, row: int) -> dict[str, Any]:
        """Append a video, and return its row of the table."""
        video = self._store.videos[row]
        tar, first = self._open(), self._done
        for start in range(0, video.n_frames, SAMPLE_FRAMES):
            numbers = np.arange(start, min(start + SAMPLE_FRAMES, video.n_frames))
            self._write_sample(tar, video, start, self._store.read(row, numbers))
        shard = f"shard-{len(self._shards):05d}.tar"
        if tar.tell() > self._shard_bytes:
            self.close()
        return asdict(video) | {"shard": shard, "first_frame": first}

    def _write_sample(
        self, tar: IO[bytes], video: Video, start: int, pictures: NDArray[np.uint8]
    ) -> None:
        key = f"{video.video_id}-{start:07d}"
        told = asdict(video) | {"first_frame": start, "frames": len(pictures)}
        _add(tar, f"{key}.json", json.dumps(told, sort_keys=True).encode())
        for number, picture in enumerate(pictures):
            jpeg = encode(picture, self._quality)
            offset = _add(tar, f"{key}.{number:04d}.jpg", jpeg)
            self._index[self._done] = (offset, len(jpeg), zlib.crc32(jpeg))
            self._done += 1
            if number == 0:
                self._compare(picture, jpeg)

    def _compare(self, picture: NDArray[np.uint8], jpeg: bytes) -> None:
        shown = decode(np.frombuffer(jpeg, np.uint8))
        assert shown is not None
        self._error += float(np.square(picture.astype(np.float32) - shown).sum(dtype=np.float64))
        self._compared += picture.size

    def _open(self) -> IO[bytes]:
        if self._tar is None:
            name = f"shard-{len(self._shards):05d}.tar.part"
            self._tar = (self._folder / name).open("wb")
        return self._tar

    def close(self) -> None:
        """Put the tar file that is open, if one is, in its place."""
        if self._tar is None:
            return
        self._tar.write(bytes(2 * tarfile.BLOCKSIZE))  # the end of an archive
        self._tar.close()
        part = Path(self._tar.name)
        path = part.with_suffix("")
        _settle(part, path)
        self._shards[path.name] = path.stat().st_size
        self._tar = None

    def facts(self) -> Facts:
        videos = self._store.videos
        hours = sum(video.n_frames / video.fps for video in videos) / 3600
        size = sum(self._shards.values())
        mean = self._error / self._compared
        return Facts(
            format=FORMAT,
            quality=self._quality,
            videos=len(videos),
            frames=self._done,
            hours=round(hours, 4),
            bytes=size,
            mb_per_hour=round(size / 1e6 / hours, 2),
            psnr_db=round(10 * math.log10(255**2 / mean), 2) if mean else None,
            shards=self._shards,
        )


def _add(tar: IO[bytes], name: str, data: bytes) -> int:
    """Append a member without date and owner; returns where its data starts."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.write(member.tobuf(tarfile.USTAR_FORMAT))
    begin = tar.tell()
    tar.write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
    return begin


def _check_names(store: FrameStore) -> None:
    if not store.videos:
        raise ValueError("a store without a video cannot be written as shards")
    for video in store.videos:
        if not NAME.fullmatch(video.video_id):
            raise ValueError(
                f"video_id {video.video_id!r}: 1 to 64 letters, digits, _ and - can name a sample;"
                " run `unisurg curate` to have it written anew"
            )


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    with _settled(path) as part:
        parquet.write_table(pyarrow.Table.from_pylist(rows), part, compression="zstd")


@contextmanager
def _settled(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` when the block ends well."""
    part = path.with_name(path.name + ".part")
    yield part
    _settle(part, path)


def _settle(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
