"""Cross-validation: every fold of a family of splits is probed by itself, its test cases pooled.

A fold is a named split, such as JIGSAWS' `louo-B`; `louo` is the family of all that begin so. In
every fold heads are trained and chosen anew, and its test cases are opened after its choices.
Metrics are then taken of the predictions of all folds together, as if of one test list: a rank
correlation within a fold of five trials would say next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unisurg.benchmarks import find
from unisurg.benchmarks.base import Benchmark
from unisurg.evaluation import store
from unisurg.evaluation.extraction.features import extract
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.probe import (
    Predictions,
    choose_all,
    conclude,
    predict_all,
    smoothing_s,
    task_of,
)
from unisurg.evaluation.probing.runs import Run, runs_of
from unisurg.evaluation.store import Store, StoredCase
from unisurg.settings import Settings


class FoldsError(ValueError):
    """The splits of that name are no folds of a cross-validation."""


def run(
    name: str,
    family: str,
    settings: Settings,
    encoder: Path,
    output: Path,
    scratch: Path,
) -> dict[str, Any]:
    """Extract and probe every fold of a family, and write what `pool` writes.

    Args:
        encoder: folder or file of the pretrained encoder.
        scratch: cache of features, the same as that of the stage; a case is encoded once for
            training and once for its test, however many folds there are.

    Raises:
        FoldsError: the benchmark has no such family.
        BenchmarkError: a fold cannot be read.
    """
    wanted = settings.benchmarks[name]
    features = {}
    for fold in folds_of(find(name, wanted.root), family):
        blocks = settings.benchmarks | {name: wanted.model_copy(update={"split": fold})}
        features[fold] = scratch / "folds" / name / fold
        of_fold = settings.model_copy(update={"benchmarks": blocks})
        extract(name, of_fold, encoder, features[fold], scratch)
    return pool(family, features, settings, output)


def folds_of(benchmark: Benchmark, family: str) -> list[str]:
    """Names of the splits that are the folds of a family.

    Raises:
        FoldsError: there are not two.
    """
    found = [split for split in benchmark.splits if split.startswith(f"{family}-")]
    if len(found) < 2:
        known = ", ".join(benchmark.splits)
        raise FoldsError(
            f"{benchmark.name} has no splits {family}-...; those it has: {known}. A family is"
            " what the names of several begin with"
        )
    return found


def pool(
    family: str, features: Mapping[str, Path], settings: Settings, output: Path
) -> dict[str, Any]:
    """Probe every fold, and measure the predictions of all of them together.

    Writes `output`, the files that a probe leaves.

    Args:
        features: folder of the features of each fold.

    Returns:
        What was written to `output/metrics.json`: as of a probe whose test cases are those of all
        folds; `folds` has the cases and the choices of each.

    Raises:
        FoldsError: a case is tested in two folds.
    """
    stores = {fold: store.read(folder) for fold, folder in features.items()}
    cases = _tested(stores)
    predictions: Predictions = {}
    folds: dict[str, Any] = {}
    for fold, data in stores.items():
        task = task_of(data.index, settings)
        kinds = kinds_of(task, data.index, settings.probe)
        runs = runs_of(data.index, settings.probe, [kind.name for kind in kinds])
        chosen = choose_all(task, data, kinds, runs, _silent)
        test, smoothed_s = data.cases("test"), smoothing_s(data.index, settings)
        for run, found in predict_all(task, test, chosen, smoothed_s).items():
            predictions.setdefault(run, []).extend(found)
        folds[fold] = {
            "test": [case.case for case in test],
            "chosen": {_name(run): kept.facts() for run, kept in chosen.items()},
        }
    pooled = Store(replace(data.index, split=family), cases)
    more = {"folds": folds}
    return conclude(task, pooled, predictions, {}, settings, output / "metrics.json", output, more)


def _tested(stores: Mapping[str, Store]) -> tuple[StoredCase, ...]:
    """The test cases of all folds, fold by fold."""
    fold_of: dict[str, str] = {}
    cases = []
    for fold, data in stores.items():
        for case in data.cases("test"):
            if case.case in fold_of:
                raise FoldsError(f"{case.case} is tested in {fold_of[case.case]} and in {fold}")
            fold_of[case.case] = fold
            cases.append(case)
    return tuple(cases)


def _name(run: Run) -> str:
    return f"{run.kind}/{run.encoder}/{run.seed}" + ("" if run.share == 1 else f"/{run.share:g}")


def _silent(step: int, values: dict[str, float]) -> None:
    pass
