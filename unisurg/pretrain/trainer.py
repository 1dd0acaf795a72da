"""Pretraining: one readable loop around the published step.

All randomness is a function of the step, so a run that was killed goes on as if nothing had
happened, and the number of processes changes nothing but the time.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unisurg.models.checkpoints import encoder_digest, save_encoder, save_predictor
from unisurg.models.encoder import VisionTransformer
from unisurg.pretrain import health, log, resume
from unisurg.pretrain.data import Batches
from unisurg.pretrain.learner import Learner, make_learner
from unisurg.pretrain.online_probe import OnlineProbe
from unisurg.pretrain.pictures import draw_pictures
from unisurg.pretrain.step import train_step
from unisurg.pretrain.stopping import Stopped, StopRequest
from unisurg.pretrain.world import World
from unisurg.progress import track
from unisurg.settings import Model, Pretrain

MIB = 2**20

OnMetrics = Callable[[int, dict[str, float]], None]


def train(
    store: Path,
    settings: Pretrain,
    model: Model,
    seed: int,
    output: Path,
    start_from: Path | None,
    on_metrics: OnMetrics,
    world: World,
) -> dict[str, Any]:
    """Pretrain an encoder, going on with the run if it was cut short.

    Args:
        store: shards of `unisurg shards`, or a corpus of `unisurg curate`.
        output: receives `encoder/` (the target encoder, and the predictor for a next stage),
            `log/` (`history.csv`, `pictures.npz`), and `unfinished/` until then.
        start_from: weights of an earlier stage or of another run, or None for random ones.
        on_metrics: called with each step's number and values; steps of a process that was killed
            are told again first.
        world: the processes of the run; all call this together, the first one writes.

    Returns:
        Plain values that sum up the run, in the first process.

    Raises:
        EmptyCorpus, CheckpointError: input that cannot be used.
        OtherRun, RunLocked: see `resume`.
        CannotSave: a full disk or a read-only folder; what was saved before is untouched.
        NonFiniteLoss: with the file that holds the batch.
        Stopped: asked by a signal, after everything was saved.
    """
    with Batches(store, settings, seed, world.rank, world.size) as batches:
        learner = make_learner(settings, model, seed, start_from, world)
        digest = learner.started_from
        identity = resume.identity(settings, model, seed, batches.digest, digest)
        with resume.run_folder(output / "unfinished", identity, start_from, world) as folder:
            state = resume.load(folder, world.device)
            first = 0 if state is None else int(state["step"])
            if state is not None:
                learner.restore(state)
            run = Run(learner, batches, settings, seed, world, folder)
            with log.History(folder / "history.csv", first, world.first) as history:
                for row in history.rows:
                    on_metrics(int(row["step"]), _values(row))
                for row in run.steps(first, history):
                    on_metrics(int(row["step"]), _values(row))
            pictures = draw_pictures(learner, batches, settings, seed, world)
            encoder, predictor = learner.whole(model, settings)
            if world.first:
                if predictor is not None:
                    save_predictor(output / "encoder", predictor)
                save_encoder(output / "encoder", encoder, _facts(settings, seed, digest))
                log.write_history(output / "log", history.rows)
                log.write_pictures(output / "log", pictures)
                resume.forget(folder, start_from)
            world.wait()
    return _summary(encoder, history.rows, first)


class Run:
    """The steps of a run, its checkpoints on the way, and its end when it is asked to stop."""

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        settings: Pretrain,
        seed: int,
        world: World,
        folder: Path,
    ) -> None:
        self.learner, self.batches = learner, batches
        self.settings, self.seed, self.world = settings, seed, world
        self._folder = folder
        self._probe = OnlineProbe(*batches.fixed(settings.knn_clips))

    def steps(self, first: int, history: log.History) -> Iterator[log.Row]:
        """Take the steps from `first` on, yielding the row of each.

        Raises:
            Stopped: after a checkpoint, if a signal asked for it.
        """
        wanted = range(first, self.settings.steps)
        stream = self.batches.stream(wanted)
        last = time.monotonic()
        with StopRequest() as request:
            for step in track(wanted, "pretrain") if self.world.first else wanted:
                waited = self.batches.waited_s
                pixels = next(stream).to(self.world.device)
                waited = self.batches.waited_s - waited
                row = self._step(pixels, step)
                now = time.monotonic()
                row |= self._cost(now - last, waited)
                last = now
                history.append(row)
                yield row
                self._save_if_due(step + 1, history, self.world.any(bool(request.name)), request)

    def _step(self, pixels: torch.Tensor, step: int) -> log.Row:
        settings = self.settings
        row = train_step(self.learner, pixels, step, settings, self.seed, self.world, self._folder)
        if step % settings.health_every == 0 or step == settings.steps - 1:
            row |= self._probe.measure(self.learner.judge, settings, self.world.device)
        return row

    def _cost(self, seconds: float, waited_s: float) -> log.Row:
        return {
            "clips_per_s": self.settings.batch / seconds,
            "seconds": seconds,
            "waiting": waited_s / seconds,
            "memory_mib": _memory_mib(self.world.device),
        }

    def _save_if_due(
        self, done: int, history: log.History, stop: bool, request: StopRequest
    ) -> None:
        # At the end too: where the export fails, for want of disk, nothing has to be done again.
        ended = done == self.settings.steps
        if not (ended or stop or done % self.settings.checkpoint_every == 0):
            return
        state = {**self.learner.state(), "step": done}
        if self.world.first:
            history.sync()
            path = resume.save(self._folder, done, state, self.settings.keep_checkpoints)
            resume.mark_best(self._folder, path, *_quality(history.rows, self.settings))
        self.world.wait()
        if stop and not ended:
            asked = request.name or "a signal to another process"
            raise Stopped(
                f"stopped by {asked} after step {done} of {self.settings.steps}; everything is"
                f" saved in {self._folder}, and the same command goes on from there"
            )


def _quality(rows: list[log.Row], settings: Pretrain) -> tuple[str, float]:
    """What the best checkpoint is best in: the online probe, or else the loss, negated."""
    recent = rows[-settings.checkpoint_every :]
    measured = [row["knn_source"] for row in recent if "knn_source" in row]
    if measured:
        return "knn_source", measured[-1]
    return "negative loss", -sum(row["loss"] for row in recent) / len(recent)


def _memory_mib(device: torch.device) -> float:
    """Most memory held so far: of the device, or of this process where it computes itself."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def _facts(settings: Pretrain, seed: int, start_digest: str | None) -> dict[str, Any]:
    """What made the weights; no times, so that equal runs write equal files."""
    return {
        "seed": seed,
        "objective": settings.objective.name,
        "steps": settings.steps,
        "frames": settings.frames,
        "size_px": settings.size_px,
        "batch": settings.batch,
        "precision": settings.precision,
        "started_from": start_digest,
    }


def _summary(encoder: VisionTransformer, rows: list[log.Row], first: int) -> dict[str, Any]:
    tail = rows[-max(1, len(rows) // 10) :]
    meters = {name: rows[-1][name] for name in log.METERS if name in rows[-1]}
    seconds = sum(row["seconds"] for row in rows)
    return {
        "steps": len(rows),
        "resumed_at": first,
        "seconds": seconds,
        "clips_per_s": float(np.median([row["clips_per_s"] for row in rows])),
        "waiting": sum(row["waiting"] * row["seconds"] for row in rows) / seconds,
        "memory_mib": max(row["memory_mib"] for row in rows),
        "loss_first": rows[0]["loss"],
        "loss_last": sum(row["loss"] for row in tail) / len(tail),
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "digest": encoder_digest(encoder),
        **meters,
        "alarms": health.alarms(meters),
    }


def _values(row: log.Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "step"}
