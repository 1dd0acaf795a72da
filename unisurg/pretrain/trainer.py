"""Pretraining: one readable loop around the published step (UniSurg, 1.1 to 1.7).

Per step: the target encoder sees the whole clip; for each row of masks the context encoder sees the
visible tokens, the predictor guesses the hidden ones, and the addends compare; then one optimiser
step and one step of the moving average. All randomness is a function of the step, so a killed run
goes on as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unisurg.corpus.manifest import MANIFEST
from unisurg.models._timm import timm_module
from unisurg.models.checkpoints import (
    PREDICTOR,
    encoder_digest,
    load_encoder,
    load_predictor,
    save_encoder,
    save_predictor,
)
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import standardise, to_unit
from unisurg.models.predictor import Predictor
from unisurg.pretrain import health, log, resume
from unisurg.pretrain.data import Batches, prefetched
from unisurg.pretrain.draws import generator
from unisurg.pretrain.masks import batch_masks, token_indices
from unisurg.pretrain.motion import motion_scores, standardised
from unisurg.pretrain.objectives import total_loss
from unisurg.pretrain.schedule import ema_decay, learning_rate
from unisurg.pretrain.teacher import make_teacher, update_teacher
from unisurg.progress import track
from unisurg.settings import Model, Pretrain

PICTURES = 8
BETAS = (0.9, 0.95)
STATEFUL = ("encoder", "predictor", "teacher", "optimiser")

OnMetrics = Callable[[int, dict[str, float]], None]


class NonFiniteLoss(FloatingPointError):
    """Loss or gradient is not a number; nothing was stepped, and the batch was saved."""


@dataclass
class Learner:
    """The networks and their optimiser: all that a step changes."""

    encoder: VisionTransformer
    predictor: Predictor
    teacher: VisionTransformer
    optimiser: torch.optim.Optimizer

    def parameters(self) -> list[Tensor]:
        return [*self.encoder.parameters(), *self.predictor.parameters()]

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in STATEFUL}

    def restore(self, state: dict[str, Any]) -> None:
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])


def train(
    corpus: Path,
    settings: Pretrain,
    model: Model,
    seed: int,
    output: Path,
    scratch: Path,
    start_from: Path | None,
    on_metrics: OnMetrics,
) -> dict[str, Any]:
    """Pretrain an encoder on a curated corpus, going on from `scratch` if a run was cut short.

    Args:
        corpus: folder written by `unisurg curate`.
        output: receives `encoder/` (the target encoder, and the predictor for a next stage) and
            `log/` (`history.csv`, `pictures.npz`).
        scratch: keeps the resumable state, in a folder named by settings, data and first weights.
        start_from: an `encoder/` folder of an earlier stage, or None for random weights.
        on_metrics: called with each step's number and values; steps of a process that was killed
            are told again first.

    Returns:
        Plain values that sum up the run.

    Raises:
        ManifestError, EmptyCorpus, CheckpointError: input that cannot be used.
        NonFiniteLoss: with the file that holds the batch.
        RunLocked: another process trains the same run.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = Batches(corpus, settings, seed)
    learner = make_learner(settings, model, seed, start_from, device)
    start_digest = encoder_digest(start_from) if start_from else None
    key = resume.run_key(settings, model, seed, corpus / MANIFEST, start_digest)
    with resume.run_folder(scratch, key) as folder:
        history = _restored(folder, learner, device)
        first = len(history)
        for row in history:
            on_metrics(int(row["step"]), _values(row))
        for row in _steps(learner, batches, first, settings, seed, folder):
            history.append(row)
            on_metrics(int(row["step"]), _values(row))
            if len(history) % settings.checkpoint_every == 0:
                resume.save_checkpoint(folder, {**learner.state(), "history": history})
        facts = _facts(settings, seed, start_digest)
        _export(output, learner, facts, history, _pictures(learner, batches, settings, seed))
        resume.forget(folder)
    return _summary(learner, history, first)


def _steps(
    learner: Learner, batches: Batches, first: int, settings: Pretrain, seed: int, folder: Path
) -> Iterator[log.Row]:
    """Take the steps from `first` on, yielding the row of each; waiting for data is in its time."""
    device = next(learner.encoder.parameters()).device
    steps = range(first, settings.steps)
    stream = track(prefetched(batches.at, steps), "pretrain", total=len(steps))
    last = time.monotonic()
    for step, pixels in zip(steps, stream, strict=True):
        row = train_step(learner, pixels.to(device), step, settings, seed, folder)
        now = time.monotonic()
        yield row | {"clips_per_s": settings.batch / (now - last), "seconds": now - last}
        last = now


def make_learner(
    settings: Pretrain, model: Model, seed: int, start_from: Path | None, device: torch.device
) -> Learner:
    """Networks with random weights, or with those of an earlier stage, and a fresh optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = VisionTransformer(model.encoder, model.tubelet, model.drop_path)
        predictor = Predictor(model.predictor, encoder.embed_dim)
    if start_from is not None:
        earlier = load_encoder(start_from)
        if (earlier.size, earlier.tubelet) != (encoder.size, encoder.tubelet):
            raise ValueError(
                f"{start_from}: a {earlier.size} encoder with tubelet {earlier.tubelet}, "
                f"model asks for {encoder.size} with {encoder.tubelet}"
            )
        encoder.load_state_dict(earlier.state_dict())
        if (start_from / PREDICTOR).is_file():
            load_predictor(start_from, predictor)
    encoder, predictor = encoder.to(device), predictor.to(device)
    return Learner(
        encoder, predictor, make_teacher(encoder), _optimiser(encoder, predictor, settings)
    )


def _optimiser(
    encoder: VisionTransformer, predictor: Predictor, settings: Pretrain
) -> torch.optim.Optimizer:
    """Fused AdamW; matrices decay, biases, norms and the mask token do not."""
    split = timm_module("optim").param_groups_weight_decay
    groups = [
        group for part in (encoder, predictor) for group in split(part, settings.weight_decay)
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, fused=True)


def train_step(
    learner: Learner, pixels: Tensor, step: int, settings: Pretrain, seed: int, folder: Path
) -> log.Row:
    """One step on uint8 clips `(B, T, H, W, 3)`; returns what is logged of it.

    Raises:
        NonFiniteLoss: before anything is stepped; the batch lies in `folder`.
    """
    rate, decay = learning_rate(step, settings), ema_decay(step, settings)
    for group in learner.optimiser.param_groups:
        group["lr"] = rate
    learner.optimiser.zero_grad()
    torch.manual_seed(int(generator(seed, "drop path", step).integers(2**31)))
    row = {"step": float(step)} | backward(learner, pixels, step, settings, seed)
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), settings.grad_clip)
    row |= {"lr": rate, "ema": decay, "grad_norm": float(norm)}
    if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
        raise _non_finite(row, pixels, step, folder)
    learner.optimiser.step()
    update_teacher(learner.teacher, learner.encoder, decay)
    return row


def backward(
    learner: Learner, pixels: Tensor, step: int, settings: Pretrain, seed: int
) -> dict[str, float]:
    """Gradients of the objective, one pass per row of masks; returns its addends, mean over rows.

    Every `health_every` steps, and at the last, the collapse meters come with them.
    """
    unit = to_unit(pixels)
    clip = standardise(unit)
    grid = learner.encoder.grid(*clip.shape[2:])
    scores = token_scores(unit, settings, learner.encoder.tubelet).flatten(1)
    autocast = torch.autocast(clip.device.type, torch.bfloat16, settings.precision == "bfloat16")
    with torch.no_grad(), autocast:
        target = learner.teacher(clip).float()
    target = F.layer_norm(target, target.shape[-1:])
    rows = len(settings.masks.blocks)
    seen: dict[str, float] = {}
    for index in range(rows):
        mask = batch_masks(settings.masks, index, seed, step, len(clip), grid[1:])
        keep, hidden = (i.to(clip.device) for i in token_indices(mask, grid[0]))
        with autocast:
            prediction = learner.predictor(learner.encoder(clip, keep), keep, hidden, grid)
        truth, motion = take_tokens(target, hidden), scores.gather(1, hidden)
        addends = total_loss(prediction.float(), truth, motion, settings.objective, grid[0])
        (addends["loss"] / rows).backward()
        for name, value in addends.items():
            seen[name] = seen.get(name, 0.0) + value.item() / rows
    if step % settings.health_every == 0 or step == settings.steps - 1:
        seen |= health.measure(prediction.detach(), target, grid[0])
    return seen


def token_scores(unit: Tensor, settings: Pretrain, tubelet: tuple[int, int, int]) -> Tensor:
    """Motion scores `(B, t, h, w)` of clips in 0..1 `(B, 3, T, H, W)`, as the settings ask."""
    wanted = settings.objective
    scores = motion_scores(unit, tubelet, wanted.span, wanted.compensate_camera)
    return standardised(scores) if wanted.normalise_scores else scores


def take_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens `(B, M, D)` at indices `(B, M)` of `(B, N, D)`."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def _restored(folder: Path, learner: Learner, device: torch.device) -> list[log.Row]:
    """The history of the steps already done, their result put into the learner."""
    state = resume.load_checkpoint(folder, device)
    if state is None:
        return []
    learner.restore(state)
    history: list[log.Row] = state["history"]
    return history


def _non_finite(row: log.Row, pixels: Tensor, step: int, folder: Path) -> NonFiniteLoss:
    path = folder / f"non_finite_step_{step:06d}.pt"
    torch.save({"step": step, "clip": pixels.cpu(), "row": row}, path)
    return NonFiniteLoss(
        f"step {step}: loss {row['loss']}, gradient norm {row['grad_norm']}; nothing was stepped. "
        f"The batch is in {path}. Lower pretrain.lr or pretrain.grad_clip, or use float32."
    )


def _pictures(learner: Learner, batches: Batches, settings: Pretrain, seed: int) -> dict[str, Any]:
    """Clips of the last step with their masks, rows taking turns, and motion scores."""
    step = settings.steps - 1
    pixels = batches.at(step)[:PICTURES]
    unit = to_unit(pixels)
    grid = learner.encoder.grid(*unit.shape[2:])
    masks = [
        batch_masks(settings.masks, row, seed, step, len(pixels), grid[1:])
        for row in range(len(settings.masks.blocks))
    ]
    chosen = torch.stack([torch.from_numpy(masks[i % len(masks)][i]) for i in range(len(pixels))])
    return {
        "clip": pixels.numpy(),
        "mask": chosen.unsqueeze(1).expand(-1, grid[0], -1, -1).numpy(),
        "motion": token_scores(unit, settings, learner.encoder.tubelet).numpy(),
    }


def _export(
    output: Path,
    learner: Learner,
    facts: dict[str, Any],
    history: list[log.Row],
    pictures: dict[str, Any],
) -> None:
    save_predictor(output / "encoder", learner.predictor)
    save_encoder(output / "encoder", learner.teacher, facts)
    log.write_history(output / "log", history)
    log.write_pictures(output / "log", pictures)


def _facts(settings: Pretrain, seed: int, start_digest: str | None) -> dict[str, Any]:
    """What made the weights; no times, so that equal runs write equal files."""
    return {
        "seed": seed,
        "steps": settings.steps,
        "frames": settings.frames,
        "size_px": settings.size_px,
        "batch": settings.batch,
        "precision": settings.precision,
        "started_from": start_digest,
    }


def _summary(learner: Learner, history: list[log.Row], first: int) -> dict[str, Any]:
    tail = history[-max(1, len(history) // 10) :]
    meters = {name: history[-1][name] for name in log.COLUMNS[-4:] if name in history[-1]}
    return {
        "steps": len(history),
        "resumed_at": first,
        "seconds": sum(row["seconds"] for row in history),
        "clips_per_s": float(np.median([row["clips_per_s"] for row in history])),
        "loss_first": history[0]["loss"],
        "loss_last": sum(row["loss"] for row in tail) / len(tail),
        "parameters": sum(p.numel() for p in learner.encoder.parameters()),
        "digest": encoder_digest(learner.teacher),
        **meters,
        "alarms": health.alarms(meters),
    }


def _values(row: log.Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "step"}
