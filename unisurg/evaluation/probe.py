"""Probes on frozen features: trained on train cases, chosen on val cases, tested once.

The choice happens in `choose`, which is given no test case; `run` opens the test cases after every
choice has been made.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.benchmarks.base import PARTS
from unisurg.evaluation import statistics, store
from unisurg.evaluation.store import PRETRAINED, Store, StoredCase
from unisurg.evaluation.views import View, ViewName, views_for
from unisurg.settings import Probe, Settings
from unisurg.tasks.base import Loss, Task
from unisurg.tasks.phase import PhaseTask
from unisurg.tasks.segmentation import SegmentationTask

RANDOM = "random"
PREDICT_BATCH = 256
# Benchmarks whose phases have the order that the relaxed metrics are written for.
RELAXED = ("cholec80",)
OnMetrics = Callable[[int, dict[str, float]], None]
Tables = dict[str, np.ndarray]


@dataclass(frozen=True)
class Hyper:
    """One point of the grid of hyper-parameters."""

    view: ViewName
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Samples:
    """Clips of some cases under one encoder; a sample is (case, clip)."""

    tokens: tuple[np.ndarray, ...]
    truths: tuple[np.ndarray, ...]

    @staticmethod
    def of(cases: Sequence[StoredCase], variant: str) -> Samples:
        tokens = tuple(case.tokens(variant) for case in cases)
        shapes = {array.shape[1:] for array in tokens}
        if len(shapes) != 1:
            raise ValueError(f"cases have unequal tokens {sorted(shapes)}; set features.grid > 0")
        return Samples(tokens, tuple(case.truth() for case in cases))

    @property
    def grid(self) -> tuple[int, int, int]:
        t, h, w = self.tokens[0].shape[1:4]
        return t, h, w

    @property
    def dim(self) -> int:
        return self.tokens[0].shape[-1]

    def __len__(self) -> int:
        return sum(len(array) for array in self.tokens)

    def batches(self, ids: np.ndarray) -> Iterator[Tensor]:
        """Tokens of samples in the order of `ids`, `PREDICT_BATCH` at a time."""
        return map(self.batch, np.split(ids, range(PREDICT_BATCH, len(ids), PREDICT_BATCH)))

    def batch(self, ids: np.ndarray) -> Tensor:
        """Tokens (B, N, D) float32 of samples counted through all cases."""
        starts = np.cumsum([0] + [len(array) for array in self.tokens])
        cases = np.searchsorted(starts, ids, side="right") - 1
        rows = [self.tokens[c][i - starts[c]] for c, i in zip(cases, ids, strict=True)]
        return torch.from_numpy(np.stack(rows)).float().flatten(1, 3)


@dataclass(frozen=True)
class Chosen:
    """The head that was best on validation cases, and how good it was there."""

    hyper: Hyper
    head: nn.Module
    score: float


def run(
    name: str,
    settings: Settings,
    features: Path,
    metrics_path: Path,
    output: Path,
    on_metrics: OnMetrics,
) -> dict[str, Any]:
    """Probe benchmark `name` and write `metrics_path` (JSON) and `output/predictions.npz`.

    For every seed of `probe.seeds`, the pretrained encoder is paired with a randomly initialised
    one (`probe.baseline`): same seed of the head, same order of batches, same grid.

    Returns:
        What was written to `metrics_path`.
    """
    data, probe = store.read(features), settings.probe
    task = make_task(data, probe)
    chosen = {
        (encoder, seed): choose(
            task, data, probe, variant, seed, _logger(on_metrics, encoder, seed)
        )
        for encoder, seed, variant in _pairings(data, probe)
    }
    # Every choice is made: only now are the test cases opened.
    test = data.cases("test")
    truths = [case.truth() for case in test]
    predictions = {
        (encoder, seed): predict(task, chosen[encoder, seed].head, Samples.of(test, variant))
        for encoder, seed, variant in _pairings(data, probe)
    }
    tables = {key: task.tables(truths, found) for key, found in predictions.items()}
    results = _results(data, settings, tables, chosen)
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _write_predictions(output, data, settings, test, predictions)
    return results


def make_task(data: Store, probe: Probe) -> Task:
    """The family of tasks that the stored features belong to."""
    if data.index.task == "phase":
        relaxed = data.index.benchmark in RELAXED
        return PhaseTask(len(data.index.classes), probe.depth, probe.heads, relaxed)
    return SegmentationTask(data.index.size_px)


def choose(
    task: Task, data: Store, probe: Probe, variant: str, seed: int, on_epoch: OnMetrics
) -> Chosen:
    """Train the whole grid on train cases, keep the head with the best main metric on val cases.

    Of equal heads the first of the grid is kept. Where the split says so (`refit`), a head with the
    chosen values is then trained on train + val.
    """
    train, val = data.cases("train"), data.cases("val")
    held_out = Samples.of(val, variant)

    def judge(head: nn.Module) -> float:
        return statistics.value(
            task.tables(held_out.truths, predict(task, head, held_out))[data.index.main]
        )

    known = Samples.of(train, variant)
    views = views_for(probe.view, known.grid)
    hypers = list(itertools.starmap(Hyper, itertools.product(views, probe.lr, probe.weight_decay)))
    runners = fit(task, known, hypers, probe, seed, on_epoch, judge)
    scores = [judge(runner.head) for runner in runners]
    best = runners[int(np.argmax(scores))]
    on_epoch(epochs_of(task, probe), {"val_main": max(scores)})
    if not data.index.refit:
        return Chosen(best.hyper, best.head, max(scores))
    both = Samples.of(train + val, variant)
    (again,) = fit(task, both, [best.hyper], probe, seed, lambda _step, _values: None, judge=None)
    return Chosen(best.hyper, again.head, max(scores))


@dataclass(frozen=True)
class Runner:
    """One point of the grid in training."""

    hyper: Hyper
    head: nn.Module
    optimiser: torch.optim.Optimizer


def fit(
    task: Task,
    samples: Samples,
    hypers: Sequence[Hyper],
    probe: Probe,
    seed: int,
    on_epoch: OnMetrics,
    judge: Callable[[nn.Module], float] | None,
) -> list[Runner]:
    """Train the points of the grid side by side: each batch is read once for all of them.

    All heads of a view start from the same weights. AdamW, cosine to 0 without warm-up, decay on
    matrices only. After each share `probe.halving` of the epochs, the half that `judge` rates lower
    is dropped (successive halving); without a judge nothing is. Deterministic in samples, settings
    and seed.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    targets = task.targets(samples.truths).to(device)
    loss = task.loss(targets)
    everything = np.arange(len(samples))
    views = {
        name: View(name, samples.dim, samples.grid).fit(samples.batches(everything)).to(device)
        for name in dict.fromkeys(hyper.view for hyper in hypers)
    }
    runners = [_runner(task, views[hyper.view], hyper, seed) for hyper in hypers]
    epochs = epochs_of(task, probe)
    rungs = {round(share * epochs) for share in probe.halving}
    for epoch in range(epochs):
        if judge is not None and epoch in rungs:
            runners = better_half(runners, judge)
        order = np.random.default_rng([seed, epoch]).permutation(len(samples))
        batches = np.split(order, range(probe.batch, len(order), probe.batch))
        losses = np.zeros(len(runners))
        for done, ids in enumerate(batches):
            tokens, wanted = samples.batch(ids).to(device), targets[ids]
            factor = cosine(epoch + done / len(batches), epochs)
            for i, runner in enumerate(runners):
                losses[i] += _step(runner, factor, loss, tokens, wanted) * len(ids)
        on_epoch(epoch, {"train_loss": float(losses.min() / len(samples))})
    return runners


def better_half(runners: list[Runner], judge: Callable[[nn.Module], float]) -> list[Runner]:
    """The half, at least one, with the higher scores, in the order of the grid."""
    if len(runners) == 1:
        return runners
    scores = np.array([judge(runner.head) for runner in runners])
    kept = np.argsort(-scores, kind="stable")[: len(runners) // 2]
    return [runners[i] for i in np.sort(kept)]


@torch.inference_mode()
def predict(task: Task, head: nn.Module, samples: Samples) -> list[np.ndarray]:
    """Prediction of every case, in the shape of its truth."""
    device = next(head.parameters()).device
    first = np.cumsum([0] + [len(array) for array in samples.tokens])
    found = []
    for case, truth in enumerate(samples.truths):
        ids = np.arange(first[case], first[case + 1])
        logits = torch.cat([head(tokens.to(device)) for tokens in samples.batches(ids)])
        found.append(task.predict(logits, truth))
    return found


def epochs_of(task: Task, probe: Probe) -> int:
    """How long heads of the task's family train."""
    return int(getattr(probe.epochs, task.family))


def cosine(epoch: float, epochs: int) -> float:
    """Factor of the learning rate: 1 at the start, 0 after `epochs`."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def _runner(task: Task, view: View, hyper: Hyper, seed: int) -> Runner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Sequential(view, task.head(view.width, view.grid).to(view.mean.device))
    matrices = [p for p in head.parameters() if p.ndim > 1]
    vectors = [p for p in head.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": hyper.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return Runner(hyper, head, torch.optim.AdamW(groups, lr=hyper.lr))


def _step(runner: Runner, factor: float, loss: Loss, tokens: Tensor, wanted: Tensor) -> float:
    for group in runner.optimiser.param_groups:
        group["lr"] = runner.hyper.lr * factor
    value = loss(runner.head(tokens), wanted)
    runner.optimiser.zero_grad(set_to_none=True)
    value.backward()
    runner.optimiser.step()
    return float(value.detach())


def _pairings(data: Store, probe: Probe) -> list[tuple[str, int, str]]:
    """(encoder, seed, variant of the features): the k-th seed meets the k-th random encoder."""
    rows = [(PRETRAINED, seed, PRETRAINED) for seed in probe.seeds]
    untrained = [variant for variant in data.index.encoders if variant != PRETRAINED]
    if probe.baseline and not untrained:
        raise ValueError("probe.baseline needs features.random_encoders of at least 1")
    if probe.baseline:
        pairs = zip(probe.seeds, itertools.cycle(untrained), strict=False)
        rows += [(RANDOM, seed, variant) for seed, variant in pairs]
    return rows


def _logger(on_metrics: OnMetrics, encoder: str, seed: int) -> OnMetrics:
    return lambda step, values: on_metrics(
        step, {f"{encoder}/seed{seed}/{name}": value for name, value in values.items()}
    )


def _results(
    data: Store,
    settings: Settings,
    tables: dict[tuple[str, int], Tables],
    chosen: dict[tuple[str, int], Chosen],
) -> dict[str, Any]:
    """The content of metrics/<benchmark>.json."""
    probe, index = settings.probe, data.index
    encoders = list(dict.fromkeys(encoder for encoder, _ in tables))
    draws = statistics.draw_cases(len(data.cases("test")), probe.bootstrap, settings.seed)
    by_metric = {
        encoder: {
            metric: [tables[encoder, seed][metric] for seed in probe.seeds]
            for metric in tables[encoder, probe.seeds[0]]
        }
        for encoder in encoders
    }
    results: dict[str, Any] = {
        "benchmark": index.benchmark,
        "task": index.task,
        "split": index.split,
        "cases": {part: len(data.cases(part)) for part in PARTS},
        "unit": index.unit,
        "main": index.main,
    }
    for encoder in encoders:
        results[encoder] = _measured(
            (metric, statistics.estimate(of_seeds, draws))
            for metric, of_seeds in by_metric[encoder].items()
        )
    if RANDOM in encoders:
        results["difference"] = _measured(
            (metric, statistics.difference(ours, by_metric[RANDOM][metric], draws))
            for metric, ours in by_metric[PRETRAINED].items()
        )
    results["chosen"] = {
        encoder: {str(seed): _facts(chosen[encoder, seed]) for seed in probe.seeds}
        for encoder in encoders
    }
    return results


def _measured(
    estimates: Iterable[tuple[str, statistics.Estimate]],
) -> dict[str, dict[str, float | list[float]]]:
    """Metrics by name; one that has no number on these cases is left out."""
    return {name: found.as_dict() for name, found in estimates if math.isfinite(found.mean)}


def _facts(chosen: Chosen) -> dict[str, str | float]:
    return {**asdict(chosen.hyper), "val": chosen.score}


def _write_predictions(
    output: Path,
    data: Store,
    settings: Settings,
    test: Sequence[StoredCase],
    predictions: dict[tuple[str, int], list[np.ndarray]],
) -> None:
    """`output/predictions.npz`: truth and prediction of the first seed, see the docs of the report.

    Phase: every test video, labels (S,), and `classes`. Segmentation: the first `report.overlays`
    test pictures with `image/CASE`, truth (H, W) bool, predictions (H, W) float32 in 0..1.
    """
    shown = len(test) if data.index.task == "phase" else settings.report.overlays
    arrays: dict[str, np.ndarray] = {"classes": np.array(data.index.classes)}
    for i, case in enumerate(test[:shown]):
        arrays[f"truth/{case.case}"] = case.truth()
        for (encoder, seed), found in predictions.items():
            if seed == settings.probe.seeds[0]:
                arrays[f"{encoder}/{case.case}"] = found[i]
        if data.index.task == "segmentation":
            arrays[f"image/{case.case}"] = case.image()
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / "predictions.npz", allow_pickle=False, **arrays)
