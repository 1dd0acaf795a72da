"""The encoder and the head that a probe chose -> the packaged model, in one folder."""

from __future__ import annotations

from pathlib import Path

from unisurg import package
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage

HEADS = Path(".scratch/probe")
"""Where the stage `probe` keeps the heads that it has chosen."""


def run(settings: Settings, output: Path) -> None:
    benchmark = settings.package.benchmark
    with track_stage("package", settings) as tracked:
        facts = package.write(
            settings,
            features=Path("artifacts/features") / benchmark,
            encoder=Path("artifacts/pretrain_long/encoder"),
            predictions=Path("artifacts/probe") / benchmark / "predictions.npz",
            output=output,
            scratch=HEADS,
        )
        tracked.metrics(0, {"validation": facts.validation})
        tracked.artifact(output / package.FACTS)
        tracked.write_identity(identity_path("package", output))
        print(f"package: {facts.kind} head of {benchmark}, seed {facts.seed}: {output}")
