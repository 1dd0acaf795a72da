"""All folds of a cross-validation, probed one by one and measured together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unisurg.evaluation import folds
from unisurg.evaluation.reported import spanned, unit_of, written
from unisurg.settings import Settings
from unisurg.stages import aligned

SCRATCH = Path(".scratch/features")


def run(benchmark: str, family: str, settings: Settings, encoder: Path) -> None:
    """Write artifacts/folds/NAME-FAMILY, and print the metrics.

    Raises:
        FoldsError, BenchmarkError: no such family, or a fold that cannot be read.
    """
    output = Path("artifacts/folds") / f"{benchmark}-{family}"
    found = folds.run(benchmark, family, settings, encoder, output, SCRATCH)
    count, cases = len(found["folds"]), found["cases"]["test"]
    print(f"{benchmark}, {count} folds {family}, {cases} test {found['unit']}s together:")
    means = found["mean_of_folds"]["pretrained"]
    rows = [("metric", "all predictions together, 95 % interval", "mean of folds", "unit")]
    for metric in {**found["pretrained"], **means}:
        rows.append(
            (
                metric,
                _interval(metric, found["pretrained"].get(metric)),
                written(metric, means[metric]["mean"]) if metric in means else "-",
                unit_of(metric),
            )
        )
    print(aligned(rows))
    print(f"{output} has all of it")


def _interval(metric: str, estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    return spanned(metric, estimate["mean"], estimate["low"], estimate["high"])
