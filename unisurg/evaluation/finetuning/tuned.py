"""What fine-tuning leaves: the facts of metrics/finetune/NAME.json, weights, predictions, history.

Equal content gives equal bytes, so a run that was cut short and one that was not leave the same.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
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
    tables = {trial: task.tables(truths, found) for trial, found in predictions.items()}
    draws = statistics.draw_cases(len(truths), settings.probe.bootstrap, settings.seed)

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
        "unit": benchmark.unit,
        "main": benchmark.main,
        "frames": wanted.frames,
        "fps": wanted.fps,
        "window": settings.features.window,
    }
    for encoder in encoders:
        facts[encoder] = _known(
            (metric, statistics.estimate(found, draws))
            for metric, found in by_seed(encoder).items()
        )
    if RANDOM in encoders:
        theirs = by_seed(RANDOM)
        facts["difference"] = _known(
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


def write_predictions(
    path: Path,
    benchmark: Benchmark,
    settings: Settings,
    test: Sequence[PixelCase],
    predictions: Predictions,
) -> None:
    """Truth and predictions of the first seed, as a probe's `predictions.npz`.

    Phases: labels (S,) and `moments/CASE` of every test video. Actions: labels (S,) of every test
    case, the classes of the highest scores. Segmentation: the first `report.overlays` pictures with
    `image/CASE`, truth (H, W) bool, predictions (H, W) in 0..1.
    """
    arrays = {"task": np.array(benchmark.task), "classes": np.array(benchmark.classes)}
    pictures = benchmark.task == "segmentation"
    first = settings.finetune.seeds[0]
    shown = {encoder: found for (encoder, seed), found in predictions.items() if seed == first}
    for i, case in enumerate(test[: settings.report.overlays] if pictures else test):
        name = case.facts.case
        arrays[f"truth/{name}"] = case.facts.truth()
        for encoder, found in shown.items():
            best = found[i].argmax(1) if benchmark.task == "action" else found[i]
            arrays[f"{encoder}/{name}"] = best
        if benchmark.task == "phase":
            arrays[f"moments/{name}"] = case.facts.moments
        if pictures:
            arrays[f"image/{name}"] = case.facts.image()
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _known(
    estimates: Iterable[tuple[str, statistics.Estimate]],
) -> dict[str, dict[str, float | list[float]]]:
    """Metrics by name; one that has no number on these cases is left out."""
    return {name: found.as_dict() for name, found in estimates if math.isfinite(found.mean)}


def _choice(chosen: Chosen) -> dict[str, float]:
    return {"epoch": chosen.epoch, "val": chosen.val}
