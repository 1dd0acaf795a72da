"""Curated corpus -> how often pretraining will see the clips of each data set."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.balancing import balance
from unisurg.corpus.repetition import warnings
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import Run, track_stage


def run(settings: Settings, corpus: Path, output: Path) -> None:
    with track_stage("balance", settings) as tracked:
        tell("balance", settings, corpus, output, tracked)
        tracked.write_identity(identity_path("balance", output))


def tell(stage: str, settings: Settings, corpus: Path, output: Path, tracked: Run) -> None:
    """Write how often each data set is seen, and warn of those that are seen too often."""
    told = balance(corpus, output, settings.pretrain, settings.pretrain_second)
    for name, passes in told.items():
        for line in warnings(passes, settings.repetition.most_passes):
            print(f"{stage}: {name}: drawn often: {line}")
        tracked.artifact(output / name)
