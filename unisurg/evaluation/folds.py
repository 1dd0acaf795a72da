"""Cross-validation: every fold of a family of splits is probed by itself, then all are measured.

A fold is a named split, such as JIGSAWS' `louo-B`, of the family `louo`. In every fold heads are
trained and chosen anew, and its test cases are opened after its choices. There are two ways to put
folds together, and both are told: the mean over folds of what each says by itself, and metrics of
the predictions of all folds as if of one test list, for a rank correlation within a fold of five
trials says next to nothing. Scores of heads that were trained apart are on scales of their own, so
metrics of the second kind that rank cases of several folds say so in their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from unisurg.benchmarks import find
from unisurg.benchmarks.base import Benchmark
from unisurg.evaluation import store
from unisurg.evaluation.extraction.cases import read_cases
from unisurg.evaluation.extraction.features import extract
from unisurg.evaluation.probing.choosing import Chosen, silent
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.probe import (
    Predictions,
    choose_all,
    conclude,
    measure,
    predict_all,
    smoothing_s,
    task_of,
)
from unisurg.evaluation.probing.results import Outcome
from unisurg.evaluation.probing.runs import WHOLE, Run, runs_of
from unisurg.evaluation.store import Store
from unisurg.settings import Settings
from unisurg.tasks.base import Task

# How the names of metrics end that rank cases of several folds by the scores of as many heads.
ACROSS_HEADS = "_across_heads"
ByEncoder = dict[str, dict[str, Any]]


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
        FoldsError: the benchmark has no such family, or a case is tested in two of its folds; told
            before anything is encoded.
        BenchmarkError: a fold cannot be read.
    """
    wanted = settings.benchmarks[name]
    benchmark = find(name, wanted.root)
    asked = {
        fold: _on(settings, name, wanted.model_copy(update={"split": fold}))
        for fold in folds_of(benchmark, family)
    }
    require_disjoint(
        {
            fold: [case for case in read_cases(benchmark, of_fold) if case.split == "test"]
            for fold, of_fold in asked.items()
        }
    )
    features = {fold: scratch / "folds" / name / fold for fold in asked}
    for fold, of_fold in asked.items():
        extract(name, of_fold, encoder, features[fold], scratch)
    return pool(family, features, settings, output)


def folds_of(benchmark: Benchmark, family: str) -> list[str]:
    """Names of the splits that are the folds of a family.

    A fold's name is the family's and one word more, with a hyphen between them or without: `louo-B`
    of `louo`, `fold0` of `fold`, `cholect50-crossval-fold1` of `cholect50-crossval`.

    Raises:
        FoldsError: there are not two.
    """
    rule = re.compile(rf"{re.escape(family)}-?\w+")
    found = [split for split in benchmark.splits if rule.fullmatch(split)]
    if len(found) < 2:
        known = ", ".join(benchmark.splits)
        raise FoldsError(
            f"{benchmark.name} has no folds of a family {family!r}; its splits are {known}. A fold"
            " is named like its family, and one word more"
        )
    return found


class _Tested(Protocol):
    @property
    def case(self) -> str: ...


C = TypeVar("C", bound=_Tested)


def require_disjoint(test: Mapping[str, Sequence[C]]) -> tuple[C, ...]:
    """The test cases of all folds, fold by fold.

    Raises:
        FoldsError: a case is tested in two folds.
    """
    fold_of: dict[str, str] = {}
    for fold, cases in test.items():
        for case in cases:
            if case.case in fold_of:
                raise FoldsError(
                    f"{case.case} is tested in {fold_of[case.case]} and in {fold}: these are no"
                    " folds of one cross-validation"
                )
            fold_of[case.case] = fold
    return tuple(case for cases in test.values() for case in cases)


def pool(
    family: str, features: Mapping[str, Path], settings: Settings, output: Path
) -> dict[str, Any]:
    """Probe every fold, and measure each by itself and the predictions of all of them together.

    Writes `output`, the files that a probe leaves.

    Args:
        features: folder of the features of each fold.

    Returns:
        What was written to `output/metrics.json`: as of a probe whose test cases are those of all
        folds, but for what it has of other cases and of choices. `folds` has the test cases of
        each, its choices, and `metrics` of the main kind by encoder; `mean_of_folds` is their plain
        mean by encoder and metric, over so many `folds` as have a number.

    Raises:
        FoldsError: a case is tested in two folds.
    """
    stores = {fold: store.read(folder) for fold, folder in features.items()}
    cases = require_disjoint({fold: data.cases("test") for fold, data in stores.items()})
    predictions: Predictions = {}
    folds: dict[str, dict[str, Any]] = {}
    for fold, data in stores.items():
        task = task_of(data.index, settings)
        chosen, found = _probed(task, data, settings)
        for run, of_run in found.items():
            predictions.setdefault(run, []).extend(of_run)
        folds[fold] = {
            "test": [case.case for case in data.cases("test")],
            "metrics": _alone(task, data, found, settings),
            "chosen": {_name(run): kept.facts() for run, kept in chosen.items()},
        }
    outcome = _told_apart(measure(task, cases, predictions, {}, settings))
    pooled = Store(replace(data.index, split=family), cases)
    more = {
        "mean_of_folds": mean_of_folds([of["metrics"] for of in folds.values()]),
        "folds": folds,
    }
    return conclude(pooled, outcome, predictions, settings, output / "metrics.json", output, more)


def mean_of_folds(metrics: Sequence[ByEncoder]) -> ByEncoder:
    """Plain means over the folds that have a number, and how many these are.

    Args:
        metrics: of each fold, by encoder and name, what has a `mean`.
    """
    means: ByEncoder = {}
    for encoder in metrics[0]:
        for metric in dict.fromkeys(name for of_fold in metrics for name in of_fold[encoder]):
            told = [of[encoder][metric]["mean"] for of in metrics if metric in of[encoder]]
            found = {"mean": float(np.mean(told)), "folds": len(told)}
            means.setdefault(encoder, {})[metric] = found
    return means


def _on(settings: Settings, name: str, block: Any) -> Settings:
    return settings.model_copy(update={"benchmarks": settings.benchmarks | {name: block}})


def _probed(task: Task, data: Store, settings: Settings) -> tuple[dict[Run, Chosen], Predictions]:
    """The choices of a fold, and then what they predict of its test cases."""
    kinds = kinds_of(task, data.index, settings.probe)
    runs = runs_of(data.index, settings.probe, [kind.name for kind in kinds])
    # A share of the training cases is another one in every fold: there is no curve of all.
    whole = [run for run in runs if run.share == WHOLE]
    chosen = choose_all(task, data, kinds, whole, silent)
    test = data.cases("test")
    return chosen, predict_all(task, test, chosen, smoothing_s(data.index, settings))


def _alone(task: Task, data: Store, predictions: Predictions, settings: Settings) -> ByEncoder:
    """Metrics of the main kind on the test cases of one fold, as its probe reports them."""
    main = next(iter(predictions)).kind
    of_main = {run: found for run, found in predictions.items() if run.kind == main}
    outcome = measure(task, data.cases("test"), of_main, {}, settings)
    return {encoder: outcome.metrics(main, encoder) for encoder in outcome.encoders}


def _told_apart(outcome: Outcome) -> Outcome:
    """The same with the names of those metrics marked that rank all cases together: replicates."""
    tables = {
        run: {
            metric if table.ndim > 1 else f"{metric}{ACROSS_HEADS}": table
            for metric, table in of_run.items()
        }
        for run, of_run in outcome.tables.items()
    }
    return replace(outcome, tables=tables)


def _name(run: Run) -> str:
    return f"{run.kind}/{run.encoder}/{run.seed}"
