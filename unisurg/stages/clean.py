"""Scanned videos and their verdicts -> what became of every second."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.cleaning import clean_folder
from unisurg.corpus.seconds import by_state
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, home: Path) -> None:
    with track_stage("clean", settings) as tracked:
        output = home / "clean"
        told = by_state(clean_folder(home / "scan", home / "deid", output, settings.clean))
        tracked.metrics(0, {f"seconds.{state}": seconds for state, seconds in told.items()})
        print("clean: " + ", ".join(f"{state} {seconds:.0f} s" for state, seconds in told.items()))
        tracked.artifact(output / "intervals.parquet")
        tracked.write_identity(identity_path("clean", output))
