"""Raw recordings -> normalised clips, manifest, quarantine."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.curate import Summary, curate
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage

SCRATCH = Path(".scratch/curate")


def run(settings: Settings, raw: Path, output: Path) -> None:
    with track_stage("curate", settings) as tracked:
        summary = curate(settings.curate, raw, output, SCRATCH)
        tracked.metrics(0, numbers(summary))
        print(
            f"curate: {summary.inputs} recordings -> {summary.clips} clips,"
            f" {summary.frames} frames; {sum(summary.quarantined.values())} in quarantine"
            f" {summary.quarantined or ''}"
        )
        tracked.artifact(output / "manifest.parquet")
        tracked.artifact(output / "quarantine.csv")
        tracked.write_identity(identity_path("curate", output))


def numbers(summary: Summary) -> dict[str, float]:
    counts = {f"quarantined.{reason}": n for reason, n in summary.quarantined.items()}
    names = ("inputs", "clips", "frames", "seconds", "reused")
    return {name: getattr(summary, name) for name in names} | counts
