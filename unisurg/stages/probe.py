"""Train the probe of one benchmark on frozen features, choose on validation, test once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unisurg.evaluation.probing.probe import run as run_probe
from unisurg.report.figures import of_probe
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage

COMPARED = ("pretrained", "random", "difference")


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
        )
        tracked.metrics(0, _numbers(results))
        tracked.artifact(metrics)
        tracked.artifact(output)
        for name, figure in of_probe(output / "predictions.npz", settings.report).items():
            tracked.figure(name, figure)
        tracked.write_identity(identity_path(f"probe@{benchmark}", output))


def _numbers(results: dict[str, Any]) -> dict[str, float]:
    """Every test metric of the main kind by its full name, as in `test/pretrained/f1.low`.

    Of baselines and of the other kinds of heads the main metric alone, as in
    `test/linear/pretrained/f1.low`.
    """
    main = results["main"]
    rows = {
        f"test/{encoder}/{metric}": values
        for encoder in COMPARED
        for metric, values in results.get(encoder, {}).items()
    }
    for name, baseline in results["baselines"].items():
        rows[f"test/{name}/{main}"] = baseline["metrics"][main]
    for kind, of_kind in results["kinds"].items():
        for encoder in COMPARED:
            if encoder in of_kind:
                rows[f"test/{kind}/{encoder}/{main}"] = of_kind[encoder][main]
    return {
        f"{name}.{bound}": values[bound]
        for name, values in rows.items()
        for bound in ("mean", "low", "high")
    }
