"""Curated corpus -> the training store: JPEG frames in tar shards, with an index."""

from __future__ import annotations

from pathlib import Path

from unisurg.pretrain.store import open_store
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage
from unisurg.video.shard_writer import write_shards
from unisurg.video.shards import FACTS, Facts


def run(settings: Settings, corpus: Path, output: Path) -> None:
    with track_stage("shards", settings) as tracked:
        store = open_store(corpus, cache_mib=0)
        facts = write_shards(store, output, settings.shards.quality, settings.shards.shard_mib)
        tracked.metrics(0, numbers(facts))
        exact = "no error" if facts.psnr_db is None else f"{facts.psnr_db:.1f} dB"
        print(
            f"shards: {facts.videos} videos, {facts.frames} frames in {len(facts.shards)} tar"
            f" files; {facts.mb_per_hour:.1f} MB per hour of video at {exact}"
        )
        tracked.artifact(output / FACTS)
        tracked.write_identity(identity_path("shards", output))


def numbers(facts: Facts) -> dict[str, float]:
    names = ("videos", "frames", "hours", "bytes", "mb_per_hour", "psnr_db")
    values = {name: getattr(facts, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
