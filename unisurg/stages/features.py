"""Frozen features of one benchmark, computed once per case and encoder."""

from __future__ import annotations

from pathlib import Path

from unisurg.evaluation.extraction.features import extract
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage


def run(benchmark: str, settings: Settings, encoder: Path) -> None:
    output = Path("artifacts/features") / benchmark
    with track_stage(f"features@{benchmark}", settings) as tracked:
        facts = extract(
            benchmark,
            settings,
            encoder,
            output=output,
            scratch=Path(".scratch/features"),
        )
        tracked.metrics(0, facts)
        tracked.write_identity(identity_path(f"features@{benchmark}", output))
