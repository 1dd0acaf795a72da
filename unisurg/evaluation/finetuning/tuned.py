"""What fine-tuning leaves: the facts of metrics/finetune/NAME.json, and the history of epochs.

Equal content gives equal bytes, so a run that was cut short and one that was not leave the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import PARTS, Benchmark
from unisurg.evaluation import statistics
from unisurg.evaluation.finetuning.pixels import PixelCase
from unisurg.evaluation.finetuning.unfinished import Row
from unisurg.evaluation.store import PRETRAINED, RANDOM
from unisurg.settings import Settings
from unisurg.tasks.base import Task

Trial = tuple[str, int]  # encoder and seed
Predictions = Mapping[Trial, Sequence[np.ndarray]]
Table = np.ndarray
HISTORY = ("encoder", "seed", "epoch", "train_loss", "val")


@dataclass(frozen=True)
class Chosen:
    """How many epochs were best on val cases, and the training that ends in its `best` weights."""

    epoch: int
    val: float
    rows: tuple[Row, ...]
    path: Path


def facts_of(
    benchmark: Benchmark,
    settings: Settings,
    task: Task,
    cases: Sequence[PixelCase],
    chosen: Mapping[Trial, Chosen],
    predictions: Predictions,
) -> dict[str, Any]:
    """The content of metrics/finetune/NAME.json.

    Means over seeds with 95 % bootstrap intervals over test cases; the difference of the two
    encoders is paired by case and by seed.
    """
    wanted = settings.benchmarks[benchmark.name]
    parts = {part: [case for case in cases if case.facts.split == part] for part in PARTS}
    choices: dict[str, dict[str, Any]] = {}
    for (encoder, seed), found in chosen.items():
        choices.setdefault(encoder, {})[str(seed)] = {"epoch": found.epoch, "val": found.val}
    return {
        "benchmark": benchmark.name,
        "task": benchmark.task,
        "split": wanted.split,
        "cases": {part: len(found) for part, found in parts.items()},
        "clips": {part: sum(len(case.clips) for case in found) for part, found in parts.items()},
        **benchmark.overlaps_in([case.facts.case for case in parts["test"]]),
        "unit": benchmark.unit,
        "main": benchmark.main,
        "frames": wanted.frames,
        "fps": wanted.known_fps,
        "window": settings.features.window,
        **_measures(settings, task, parts["test"], predictions),
        "chosen": choices,
    }


def _measures(
    settings: Settings, task: Task, cases: Sequence[PixelCase], predictions: Predictions
) -> dict[str, Any]:
    """Every metric on the test cases, by encoder, and of two encoders the `difference`."""
    truths = [case.facts.truth() for case in cases]
    groups = [case.facts.group for case in cases]
    draws = statistics.draw_groups(groups, settings.probe.bootstrap, settings.seed)
    tables: dict[str, dict[str, list[Table]]] = {}
    for (encoder, _), found in predictions.items():
        for metric, table in statistics.measured(task, truths, found, draws).items():
            tables.setdefault(encoder, {}).setdefault(metric, []).append(table)
    measures: dict[str, Any] = {
        encoder: statistics.known(
            (metric, statistics.estimate(by_seed, draws)) for metric, by_seed in metrics.items()
        )
        for encoder, metrics in tables.items()
    }
    if RANDOM in tables:
        measures["difference"] = statistics.known(
            (metric, statistics.difference(ours, tables[RANDOM][metric], draws))
            for metric, ours in tables[PRETRAINED].items()
        )
    return measures


def write_history(path: Path, chosen: Mapping[Trial, Chosen]) -> None:
    """A row per encoder, seed and epoch of the trainings in which the epoch was chosen."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HISTORY)
    for (encoder, seed), found in chosen.items():
        for row in found.rows:
            writer.writerow([encoder, seed, row.epoch, f"{row.train_loss:.6g}", f"{row.val:.6g}"])
    path.write_text(text.getvalue(), encoding="utf-8")
