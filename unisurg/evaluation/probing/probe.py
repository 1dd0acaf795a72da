"""Probes on frozen features: fitted to train cases, chosen on val cases, tested once.

Every kind of head, on every encoder, with every seed and share of the training cases, is one `Run`.
`choose_all` is given no test case; `run` opens the test cases after all choices have been made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from unisurg.evaluation import statistics, store
from unisurg.evaluation.predictions import write_predictions
from unisurg.evaluation.probing.choosing import Chosen, choose
from unisurg.evaluation.probing.fitting import OnMetrics
from unisurg.evaluation.probing.kept import KeptHeads
from unisurg.evaluation.probing.kinds import Kind, kinds_of
from unisurg.evaluation.probing.results import (
    Outcome,
    results,
    shown,
    write_results,
    write_tables,
)
from unisurg.evaluation.probing.runs import WHOLE, Run, runs_of
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.smoothing import smooth, smoothed_name
from unisurg.evaluation.probing.subsets import nested_subset
from unisurg.evaluation.store import Index, Store, StoredCase
from unisurg.settings import Settings
from unisurg.tasks.base import Task
from unisurg.tasks.families import Facts, make_task

Predictions = dict[Run, list[np.ndarray]]


def run(
    name: str,
    settings: Settings,
    features: Path,
    metrics_path: Path,
    output: Path,
    on_metrics: OnMetrics,
    scratch: Path | None = None,
) -> dict[str, Any]:
    """Probe benchmark `name`.

    Writes `metrics_path` (JSON, see docs/probing.md), `output/tables.npz`, see
    `unisurg.evaluation.probing.results`, and `output/predictions.npz`, see
    `unisurg.evaluation.predictions`.

    Args:
        scratch: as of `choose_all`.

    Returns:
        What was written to `metrics_path`.
    """
    data, probe = store.read(features), settings.probe
    task = task_of(data.index, settings)
    kinds = kinds_of(task, data.index, probe)
    runs = runs_of(data.index, probe, [kind.name for kind in kinds])
    chosen = choose_all(task, data, kinds, runs, on_metrics, scratch)
    # Every choice is made: only now are the test cases opened.
    test = data.cases("test")
    predictions = predict_all(task, test, chosen, smoothing_s(data.index, settings))
    outcome = measure(task, test, predictions, chosen, settings)
    return conclude(data, outcome, predictions, settings, metrics_path, output)


def measure(
    task: Task,
    cases: Sequence[StoredCase],
    predictions: Predictions,
    chosen: Mapping[Run, Chosen],
    settings: Settings,
) -> Outcome:
    """Every metric of every run on the test cases, in all of them and in every draw."""
    truths = [case.truth() for case in cases]
    groups = [case.group for case in cases]
    draws = statistics.draw_groups(groups, settings.probe.bootstrap, settings.seed)
    tables = {
        run: statistics.measured(task, truths, found, draws) for run, found in predictions.items()
    }
    return Outcome(tables, chosen, draws)


def conclude(
    data: Store,
    outcome: Outcome,
    predictions: Predictions,
    settings: Settings,
    metrics_path: Path,
    output: Path,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write what `run` writes.

    Args:
        more: facts that are written beside those of a probe.
    """
    cases = data.cases("test")
    found = results(data, outcome) | dict(more)
    write_results(metrics_path, found)
    write_predictions(
        output / "predictions.npz",
        data.index.task,
        data.index.classes,
        cases,
        StoredCase.moments,
        shown(predictions),
        settings.report.overlays,
    )
    write_tables(output, cases, outcome.tables)
    return found


def task_of(index: Index, settings: Settings) -> Task:
    """The task that the stored features belong to."""
    facts = Facts(
        index.task,
        index.benchmark,
        len(index.classes),
        index.size_px,
        index.test_every_s,
        index.classes,
    )
    return make_task(facts, settings.probe)


def smoothing_s(index: Index, settings: Settings) -> int:
    """Seconds to average offline around each moment of phases; 0 for all other families."""
    return settings.probe.smoothing_s if index.task == "phase" else 0


def choose_all(
    task: Task,
    data: Store,
    kinds: Sequence[Kind],
    runs: Sequence[Run],
    on_metrics: OnMetrics,
    scratch: Path | None = None,
) -> dict[Run, Chosen]:
    """The head of every run, chosen by validation cases, in the order of the runs.

    Where the split says so (`refit`), a head of the chosen values is then fitted to train + val; a
    share of the training cases is one of train + val there. Seeds share what none of them shapes.

    Args:
        scratch: keeps trained heads, so that none is chosen twice from the same cases, settings and
            seed; without it all are chosen anew.
    """
    find = choose if scratch is None else KeptHeads(scratch, data.index).choose
    by_name = {kind.name: kind for kind in kinds}
    chosen: dict[Run, Chosen] = {}
    # By variant, so that what is read of one encoder alone is in memory.
    for variant in dict.fromkeys(run.variant for run in runs):
        train = Samples.of(data.cases("train"), variant)
        val = Samples.of(data.cases("val"), variant)
        both = train.joined(val) if data.index.refit else None
        for run in (run for run in runs if run.variant == variant):
            kind = by_name[run.kind]
            first = replace(run, seed=runs[0].seed)
            if first in chosen and not kind.seeded and run.share == WHOLE:
                chosen[run] = chosen[first]
                continue
            chosen[run] = find(
                kind,
                task,
                data.index.main,
                known=_share(train, run),
                held_out=val,
                refit_on=None if both is None else _share(both, run),
                seed=run.seed,
                on_metrics=_logger(on_metrics, run, main=kinds[0].name),
            )
    return {run: chosen[run] for run in runs}


def predict_all(
    task: Task, cases: Sequence[StoredCase], chosen: dict[Run, Chosen], smoothing_s: int
) -> Predictions:
    """Predictions of all cases by the head of every run.

    With `smoothing_s` the smoothed predictions of the main kind follow, as a kind of their own.
    """
    main = next(iter(chosen)).kind
    found: Predictions = {run: [] for run in chosen}
    smoothed = {
        run: replace(run, kind=smoothed_name(main, smoothing_s))
        for run in chosen
        if smoothing_s and run.kind == main and run.share == WHOLE
    }
    found |= {run: [] for run in smoothed.values()}
    for variant in dict.fromkeys(run.variant for run in chosen):
        for case in cases:
            clips = Clips.of(case, variant)
            for run in (run for run in chosen if run.variant == variant):
                logits = chosen[run].head.logits(clips)
                found[run].append(task.predict(logits, clips.truth))
                if run in smoothed:
                    mean = smooth(logits, clips.moments, smoothing_s)
                    found[smoothed[run]].append(task.predict(mean, clips.truth))
    return found


def _share(samples: Samples, run: Run) -> Samples:
    if run.share == WHOLE:
        return samples
    return samples.only(nested_subset(samples.names, run.share, run.seed))


def _logger(on_metrics: OnMetrics, run: Run, main: str) -> OnMetrics:
    """Curves of the main result; those of the other runs would drown it."""
    if run.kind != main or run.share != WHOLE:
        return lambda step, values: None
    return lambda step, values: on_metrics(
        step, {f"{run.encoder}/seed{run.seed}/{name}": value for name, value in values.items()}
    )
