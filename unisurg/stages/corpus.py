"""What is kept of the scanned videos -> the corpus: clean clips and their manifest."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.assemble import Summary, assemble
from unisurg.corpus.mapping import runner_of
from unisurg.settings import Settings
from unisurg.stages import SCRATCH, identity_path
from unisurg.tracking import Run, track_stage


def run(settings: Settings, home: Path) -> None:
    with track_stage("corpus", settings) as tracked:
        output = home / "corpus"
        summary = assemble(
            home / "scan",
            home / "deid",
            home / "dedup",
            home / "leak",
            output,
            SCRATCH,
            settings.curate,
            runner_of(**dict(settings.runner)),
        )
        leave("corpus", settings, output, summary, tracked)


def leave(stage: str, settings: Settings, output: Path, summary: Summary, tracked: Run) -> None:
    """Tell what became of the recordings, on the screen and to MLflow."""
    tracked.metrics(0, summary.numbers())
    print(f"{stage}: {summary}")
    for name in ("manifest.parquet", "quarantine.csv", "intervals.parquet"):
        tracked.artifact(output / name)
    tracked.write_identity(identity_path(stage, output))
