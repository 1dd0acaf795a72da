"""Raw recordings -> one clip, tables and medians of each, not yet clean; and a quarantine."""

from __future__ import annotations

import shutil
from pathlib import Path

from unisurg.corpus.known import known_overlaps, known_sources
from unisurg.corpus.mapping import runner_of
from unisurg.corpus.scan.kept import throughput_of
from unisurg.corpus.scan.stage import folder_knobs, scan_folder
from unisurg.settings import Settings
from unisurg.stages import SCRATCH, identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, raw: Path, home: Path) -> None:
    with track_stage("scan", settings) as tracked:
        output = home / "scan"
        summary = scan_folder(
            raw,
            output,
            SCRATCH,
            folder_knobs(settings.curate, settings.scan),
            known_sources(raw),
            known_overlaps(raw),
            runner_of(**dict(settings.runner)),
        )
        tracked.metrics(0, summary.numbers())
        print(f"scan: {summary}")
        tracked.artifact(output / "quarantine.csv")
        identity = identity_path("scan", output)
        tracked.write_identity(identity)
        speed = throughput_of(SCRATCH)
        shutil.copyfile(speed, identity.with_name(f"scan.{speed.name}"))
