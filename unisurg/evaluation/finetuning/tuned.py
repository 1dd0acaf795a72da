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
    wanted, seeds = settings.benchmarks[benchmark.name], settings.finetune.seeds
    parts = {part: [case for case in cases if case.facts.split == part] for part in PARTS}
    truths = [case.facts.truth() for case in parts["test"]]
    draws = statistics.draw_cases(len(truths), settings.probe.bootstrap, settings.seed)
    tables = {
        trial: statistics.measured(task, truths, found, draws)
        for trial, found in predictions.items()
    }

    def by_seed(encoder: str) -> dict[str, list[Table]]:
        metrics = tables[encoder, seeds[0]]
        return {metric: [tables[encoder, seed][metric] for seed in seeds] for metric in metrics}

    encoders = list(dict.fromkeys(encoder for encoder, _ in chosen))
    facts: dict[str, Any] = {
        "benchmark": benchmark.name,
        "task": benchmark.task,
        "split": wanted.split,
        "cases": {part: len(found) for part, found in parts.items()},
        "clips": {part: sum(len(case.clips) for case in found) for part, found in parts.items()},
        **benchmark.overlaps_in([case.facts.case for case in parts["test"]]),
        "unit": benchmark.unit,
        "main": benchmark.main,
        "frames": wanted.frames,
        "fps": wanted.fps,
        "window": settings.features.window,
    }
    for encoder in encoders:
        facts[encoder] = statistics.known(
            (metric, statistics.estimate(found, draws))
            for metric, found in by_seed(encoder).items()
        )
    if RANDOM in encoders:
        theirs = by_seed(RANDOM)
        facts["difference"] = statistics.known(
            (metric, statistics.difference(ours, theirs[metric], draws))
            for metric, ours in by_seed(PRETRAINED).items()
        )
    facts["chosen"] = {
        encoder: {str(seed): _choice(chosen[encoder, seed]) for seed in seeds}
        for encoder in encoders
    }
    return facts


def write_history(path: Path, chosen: Mapping[Trial, Chosen]) -> None:
    """A row per encoder, seed and epoch of the trainings in which the epoch was chosen."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HISTORY)
    for (encoder, seed), found in chosen.items():
        for row in found.rows:
            writer.writerow([encoder, seed, row.epoch, f"{row.train_loss:.6g}", f"{row.val:.6g}"])
    path.write_text(text.getvalue(), encoding="utf-8")


def _choice(chosen: Chosen) -> dict[str, float]:
    return {"epoch": chosen.epoch, "val": chosen.val}
