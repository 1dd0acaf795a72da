"""Train the probe of one benchmark on frozen features, choose on validation, test once."""

from __future__ import annotations

from pathlib import Path

from unisurg.evaluation.probing.probe import run as run_probe
from unisurg.report.figures import of_probe
from unisurg.settings import Settings
from unisurg.stages import identity_path, tested_numbers
from unisurg.tracking import track_stage

SCRATCH = Path(".scratch/probe")
"""Heads that were chosen before; DVC deletes a stage's outputs before it runs."""


def run(benchmark: str, settings: Settings) -> None:
    output = Path("artifacts/probe") / benchmark
    metrics = Path("metrics") / f"{benchmark}.json"
    with track_stage(f"probe@{benchmark}", settings) as tracked:
        results = run_probe(
            benchmark,
            settings,
            features=Path("artifacts/features") / benchmark,
            metrics_path=metrics,
            output=output,
            on_metrics=tracked.metrics,
            scratch=SCRATCH,
        )
        tracked.metrics(0, tested_numbers(results))
        tracked.artifact(metrics)
        tracked.artifact(output)
        for name, figure in of_probe(output / "predictions.npz", settings.report).items():
            tracked.figure(name, figure)
        tracked.write_identity(identity_path(f"probe@{benchmark}", output))
