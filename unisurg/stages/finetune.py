"""Fine-tune the encoder on one benchmark, choose the epoch on validation cases, test once."""

from __future__ import annotations

from pathlib import Path

from unisurg.evaluation.finetuning.finetune import run as run_finetune
from unisurg.report.figures import of_finetune, of_probe
from unisurg.settings import Settings
from unisurg.stages import COMPARED, identity_path, tested_numbers
from unisurg.tracking import track_stage


def run(benchmark: str, settings: Settings, encoder: Path) -> None:
    stage = f"finetune@{benchmark}"
    output = Path("artifacts/finetune") / benchmark
    metrics = Path("metrics/finetune") / f"{benchmark}.json"
    with track_stage(stage, settings) as tracked:
        facts = run_finetune(
            benchmark,
            settings,
            encoder,
            metrics_path=metrics,
            output=output,
            scratch=Path(".scratch"),
            on_metrics=tracked.metrics,
        )
        tracked.metrics(0, tested_numbers(facts))
        tracked.artifact(metrics)
        tracked.artifact(output)
        drawn = of_probe(output / "predictions.npz", settings.report) | of_finetune(output)
        for name, figure in drawn.items():
            tracked.figure(name, figure)
        tracked.write_identity(identity_path(stage, output))
    for name in COMPARED:
        if name in facts:
            found = facts[name][facts["main"]]
            interval = f"{found['low']:.3f} to {found['high']:.3f}"
            print(f"{stage}: {name} {facts['main']} {found['mean']:.3f} ({interval})")
