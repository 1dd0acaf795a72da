"""Seconds that are kept -> kept once."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.dedup import dedup_folder
from unisurg.corpus.intervals import State
from unisurg.corpus.mapping import runner_of
from unisurg.corpus.seconds import by_state
from unisurg.settings import Settings
from unisurg.stages import SCRATCH, identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, home: Path) -> None:
    with track_stage("dedup", settings) as tracked:
        output, short_s = home / "dedup", settings.clean.short_s
        painted = dedup_folder(
            home / "scan",
            home / "clean",
            output,
            SCRATCH,
            settings.duplicates,
            short_s,
            runner_of(**dict(settings.runner)),
        )
        copied_s = by_state(painted).get(State.DUPLICATE, 0.0)
        tracked.metrics(0, {"seconds.duplicate": copied_s})
        print(f"dedup: {copied_s:.0f} s are kept from another video")
        for name in ("dup_pairs", "clusters"):
            tracked.artifact(output / f"{name}.parquet")
        tracked.write_identity(identity_path("dedup", output))
