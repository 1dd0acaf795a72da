"""All folds of a cross-validation, probed one by one and measured together."""

from __future__ import annotations

from pathlib import Path

from unisurg.evaluation import folds
from unisurg.evaluation.reported import in_unit, unit_of
from unisurg.settings import Settings

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
    for metric, estimate in found["pretrained"].items():
        bounds = (estimate["mean"], estimate["low"], estimate["high"])
        mean, low, high = (f"{in_unit(metric, value):.2f}" for value in bounds)
        print(f"  {metric}  {mean} [{low}, {high}] {unit_of(metric)}")
    print(f"{output} has all of it")
