"""The frames to train on: a shard store, or a curated corpus as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unisurg.corpus.manifest import MANIFEST, read_manifest
from unisurg.video.clips import ClipStore
from unisurg.video.shards import FACTS, VIDEOS, ShardStore
from unisurg.video.store import CachedStore, FrameStore, Video


class EmptyCorpus(ValueError):
    """A store without a clip."""


class NoStore(ValueError):
    """A folder that holds neither shards nor a curated corpus."""


def open_store(folder: Path, cache_mib: float) -> FrameStore:
    """The store in a folder; with `cache_mib` above 0 so much of decoded frames is kept.

    Raises:
        NoStore: neither `unisurg shards` nor `unisurg curate` wrote the folder.
        ShardError: shards that are torn.
        ManifestError, EmptyCorpus: a corpus of another version, or one without a clip.
    """
    store: FrameStore
    if any((folder / name).exists() for name in (FACTS, VIDEOS)) or any(folder.glob("shard-*")):
        store = ShardStore(folder)
    elif (folder / MANIFEST).exists():
        store = _corpus(folder)
    else:
        raise NoStore(
            f"{folder}: neither a store of shards ({FACTS}) nor a curated corpus ({MANIFEST});"
            " run `unisurg curate` and `unisurg shards` to write them"
        )
    return CachedStore(store, cache_mib) if cache_mib else store


def _corpus(folder: Path) -> ClipStore:
    manifest = read_manifest(folder)
    if manifest.empty:
        raise EmptyCorpus(f"{folder / MANIFEST}: no clips; see quarantine.csv for the reasons")
    rows = manifest.to_dict("records")
    videos = [
        Video(
            video_id=row["clip_id"],
            source=row["source"],
            specialty=row["specialty"],
            n_frames=int(row["n_frames"]),
            fps=float(row["fps"]),
            width_px=int(row["width_px"]),
            height_px=int(row["height_px"]),
        )
        for row in rows
    ]
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return ClipStore(videos, [folder / row["clip"] for row in rows], digest)
