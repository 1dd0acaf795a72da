"""Fine-tuning: the whole encoder with a head, trained on train cases, chosen on val, tested once.

What is chosen is the number of epochs. The choice happens in `choose`, which reads no test case;
`run` opens the test cases after every choice has been made.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unisurg.benchmarks import find
from unisurg.benchmarks.base import Benchmark, Part
from unisurg.evaluation import statistics
from unisurg.evaluation.extraction.cases import read_cases, spacing
from unisurg.evaluation.extraction.clips import CaseClips
from unisurg.evaluation.extraction.encoders import depths_of
from unisurg.evaluation.extraction.frames import Footage
from unisurg.evaluation.extraction.sequences import SequenceTruth
from unisurg.evaluation.finetuning import unfinished
from unisurg.evaluation.finetuning.pixels import ClipCache, PixelCase, Pixels
from unisurg.evaluation.finetuning.tuned import (
    Chosen,
    Predictions,
    Trial,
    facts_of,
    write_history,
)
from unisurg.evaluation.finetuning.tuner import Network, Tuner, tunable
from unisurg.evaluation.finetuning.unfinished import Row, Training
from unisurg.evaluation.predictions import write_predictions
from unisurg.evaluation.store import PRETRAINED, RANDOM
from unisurg.models.checkpoints import encoder_digest, save_encoder, write_weights
from unisurg.models.encoder import VisionTransformer
from unisurg.models.zoo import EncoderError, load_pretrained, untrained
from unisurg.progress import track
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Settings
from unisurg.tasks.base import Task
from unisurg.tasks.families import Facts, make_task

CACHE_MIB = 2048  # decoded clips kept in memory
OnMetrics = Callable[[int, dict[str, float]], None]


class ChoiceError(ValueError):
    """No epoch has a finite main metric on validation cases."""


@dataclass(frozen=True)
class Job:
    """What one run tunes, on which cases, and where its unfinished trainings are kept."""

    settings: Settings
    benchmark: Benchmark
    task: Task
    cases: tuple[PixelCase, ...]
    pretrained: VisionTransformer
    folder: Path
    on_metrics: OnMetrics

    @cached_property
    def cache(self) -> ClipCache:
        return ClipCache(CACHE_MIB)

    @property
    def wanted(self) -> Wanted:
        """The benchmark's block of params.yaml."""
        return self.settings.benchmarks[self.benchmark.name]

    @property
    def trials(self) -> list[Trial]:
        """Every encoder with every seed."""
        encoders = [PRETRAINED, RANDOM] if self.settings.finetune.baseline else [PRETRAINED]
        return [(encoder, seed) for encoder in encoders for seed in self.settings.finetune.seeds]

    def pixels(self, *parts: Part) -> Pixels:
        """Clips of some parts of the split."""
        return Pixels([case for case in self.cases if case.facts.split in parts], self.cache)

    def network(self, trial: Trial, clips: Pixels) -> Network:
        """A network before its first step: pretrained or drawn weights, and a fresh head."""
        encoder, seed = trial
        start = self.pretrained if encoder == PRETRAINED else untrained(self.pretrained, seed)
        (clip,) = clips.batch(np.array([0]))
        try:
            grid = start.grid(*clip.shape[:3])
        except ValueError as error:
            raise EncoderError(
                f"{error}: change frames or size_px of benchmark {self.benchmark.name}"
            ) from None
        depths = depths_of(self.settings, self.benchmark.task)
        network = Network(tunable(start, self.settings.finetune), self.task, grid, seed, depths)
        return network.to(_device())

    def tell(self, trial: Trial, row: Row, what: str) -> None:
        """One epoch, by a name as in `pretrained/seed0/choice/train_loss`."""
        values = {"train_loss": row.train_loss} | ({} if row.val is None else {"val": row.val})
        encoder, seed = trial
        told = {f"{encoder}/seed{seed}/{what}/{name}": value for name, value in values.items()}
        self.on_metrics(row.epoch, told)


def run(
    name: str,
    settings: Settings,
    encoder: Path,
    metrics_path: Path,
    output: Path,
    scratch: Path,
    on_metrics: OnMetrics,
) -> dict[str, Any]:
    """Fine-tune on benchmark `name`; writes `metrics_path` (JSON) and the folder `output`.

    Args:
        encoder: weights of an encoder, whatever `unisurg.load_encoder` takes. With
            `finetune.baseline` it is paired, seed by seed, with an untrained one of the same
            architecture: same head, same order of clips.
        output: replaced as a whole by `encoder/` and `head.safetensors` (pretrained, first seed),
            `predictions.npz` (first seed, as a probe's) and `history.csv` (encoder, seed, epoch,
            train_loss, val).
        scratch: `features/` caches normalised videos; `finetune/` holds runs that were cut short,
            which go on from their last finished epoch.
        on_metrics: called with every epoch's number and values; epochs of a process that was killed
            are told again first.

    Returns:
        What was written to `metrics_path`.

    Raises:
        BenchmarkError, CheckpointError: data or weights that cannot be used.
        RunLocked: another process is at the same run.
        TuningDiverged: a training diverged; nothing was stepped.
        ChoiceError: no epoch can be chosen, as the main metric has no number on validation cases.
        CannotSave: a full disk; what was saved before is untouched.
    """
    pretrained = load_pretrained(encoder)
    benchmark = find(name, settings.benchmarks[name].root)
    cases, data = _read(benchmark, settings, pretrained, scratch / "features")
    decided_by = _decided_by(settings, name, pretrained, data)
    with unfinished.run_folder(scratch / "finetune" / name, decided_by) as folder:
        task = _task(benchmark, settings, cases)
        job = Job(settings, benchmark, task, cases, pretrained, folder, on_metrics)
        chosen = {trial: choose(job, trial) for trial in job.trials}
        # Every choice is made: only now are the test cases opened.
        predictions = {trial: predict(job, trial, found) for trial, found in chosen.items()}
        facts = facts_of(benchmark, settings, task, cases, chosen, predictions)
        _write(job, output, chosen, predictions)
        metrics_path.parent.mkdir(parents=True, exist_ok=True)
        metrics_path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def choose(job: Job, trial: Trial) -> Chosen:
    """Train on train cases for all epochs, and take the epoch that is best on val cases.

    Where the split says so (`refit`), the weights are those of a second training, on train + val,
    that follows the same schedule and stops after as many epochs.

    Raises:
        ChoiceError: the main metric has no number on the val cases after any epoch.
    """
    val = job.pixels("val")

    def judge(tuner: Tuner) -> float:
        predictions = tuner.predict(job.task, val)
        return statistics.value(job.task.table(job.benchmark.main, val.truths(), predictions))

    epochs = job.settings.finetune.epochs
    path, known = fit(job, trial, "choice", job.pixels("train"), epochs, judge)
    assert known.best_val is not None
    if not math.isfinite(known.best_val):
        raise ChoiceError(
            f"benchmarks.{job.benchmark.name}: {job.benchmark.main} has no number on the"
            f" {len(val.truths())} validation cases after any of {epochs} epochs; choose a split"
            " whose validation cases show every class, or train longer with finetune.epochs"
        )
    if job.benchmark.split(job.wanted.split).refit:
        path, _ = fit(job, trial, "refit", job.pixels("train", "val"), known.best_epoch, None)
    return Chosen(known.best_epoch, known.best_val, known.rows, path)


def fit(
    job: Job,
    trial: Trial,
    what: str,
    clips: Pixels,
    epochs: int,
    judge: Callable[[Tuner], float] | None,
) -> tuple[Path, Training]:
    """Train for `epochs` epochs of the schedule, going on from those that are saved.

    Every epoch is judged, saved and told before the next one begins. Returns the training and where
    it lies.
    """
    path = job.folder / f"{trial[0]}-{trial[1]}-{what}.pt"
    training = unfinished.load(path)
    for row in training.rows:
        job.tell(trial, row, what)
    if len(training.rows) == epochs:
        return path, training
    tuner = Tuner(job.network(trial, clips), job.settings.finetune, trial[1])
    if training.rows:
        tuner.network.load_state_dict(training.network)
        tuner.optimiser.load_state_dict(training.optimiser)
    targets = job.task.targets(clips.truths()).to(_device())
    loss = job.task.loss(targets)
    left = range(len(training.rows), epochs)
    for number in track(left, f"fine-tuning, {trial[0]}, seed {trial[1]}, {what}"):
        mean = tuner.epoch(number, clips, targets, loss)
        row = Row(number + 1, mean, None if judge is None else judge(tuner))
        training = training.after(row, tuner.network.state_dict(), tuner.optimiser.state_dict())
        unfinished.save(path, training)
        job.tell(trial, row, what)
    return path, training


def predict(job: Job, trial: Trial, chosen: Chosen) -> list[np.ndarray]:
    """Predictions of all test cases by the chosen weights."""
    test = job.pixels("test")
    tuner = Tuner(_tuned(job, trial, chosen, test), job.settings.finetune, trial[1])
    return tuner.predict(job.task, test)


def _read(
    benchmark: Benchmark, settings: Settings, encoder: VisionTransformer, scratch: Path
) -> tuple[tuple[PixelCase, ...], str]:
    """All cases, and a digest of what a training sees: pixels and truth of train and val cases."""
    wanted = settings.benchmarks[benchmark.name]
    footage = Footage(wanted, settings.curate, scratch, multiple=encoder.tubelet[1])
    cases = read_cases(benchmark, settings)
    footage.prepare(cases)
    seen = hashlib.sha256()
    for case in cases:
        if case.split != "test":
            seen.update(f"{case.case} {case.split} {footage.case_digest(case)}\n".encode())
            truth = case.truth()
            for part in truth if isinstance(truth, SequenceTruth) else [truth]:
                seen.update(np.ascontiguousarray(part).tobytes())
    window = settings.features.window
    return tuple(PixelCase(c, CaseClips(c, footage, window)) for c in cases), seen.hexdigest()


def _decided_by(
    settings: Settings, name: str, encoder: VisionTransformer, data: str
) -> dict[str, Any]:
    """All that decides the weights of a run: a change of any of it is another run."""
    return {
        "finetune": settings.finetune.model_dump(mode="json", exclude={"benchmarks"}),
        "benchmark": settings.benchmarks[name].model_dump(mode="json", exclude={"root"}),
        "window": settings.features.window,
        "depths": settings.features.depths,
        "head": [settings.probe.depth, settings.probe.heads],
        "video": [settings.curate.short_side_px, settings.curate.quality_crf],
        "encoder": [encoder_digest(encoder), encoder.size.heads, encoder.rotary],
        "rotary_dtype": encoder.rotary_dtype,
        "data": data,
    }


def _task(benchmark: Benchmark, settings: Settings, cases: Sequence[PixelCase]) -> Task:
    every_s = spacing((case.facts for case in cases), settings.features.fit_every_s)[1]
    facts = Facts(
        task=benchmark.task,
        benchmark=benchmark.name,
        classes=len(benchmark.classes),
        size_px=settings.benchmarks[benchmark.name].size_px,
        labels_every_s=every_s,
        names=benchmark.classes,
    )
    return make_task(facts, settings.probe)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _tuned(job: Job, trial: Trial, chosen: Chosen, clips: Pixels) -> Network:
    """The network with the chosen weights."""
    network = job.network(trial, clips)
    network.load_state_dict(unfinished.load(chosen.path).best)
    return network


def _write(
    job: Job, output: Path, chosen: Mapping[Trial, Chosen], predictions: Predictions
) -> None:
    """The folder of results, see `run`."""
    test = [case.facts for case in job.cases if case.facts.split == "test"]
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    first = job.trials[0]
    network = _tuned(job, first, chosen[first], job.pixels("train"))
    facts = {
        "benchmark": job.benchmark.name,
        "split": job.wanted.split,
        "frames": job.wanted.frames,
        "size_px": job.wanted.size_px,
        "epochs": chosen[first].epoch,
        "seed": first[1],
        "started_from": encoder_digest(job.pretrained),
    }
    save_encoder(output / "encoder", network.encoder, facts)
    write_weights(output / "head.safetensors", network.head)
    write_history(output / "history.csv", chosen)
    write_predictions(
        output / "predictions.npz",
        job.benchmark.task,
        job.benchmark.classes,
        test,
        attrgetter("moments"),
        {encoder: found for (encoder, seed), found in predictions.items() if seed == first[1]},
        job.settings.report.overlays,
    )
