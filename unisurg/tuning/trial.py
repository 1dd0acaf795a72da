"""One trial: a short pretraining with some settings changed, watched on its way and then probed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unisurg.models.build import make_encoder
from unisurg.models.checkpoints import load_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.pretrain import health
from unisurg.pretrain.masks import dense_mask, passes
from unisurg.pretrain.start import fill
from unisurg.pretrain.step import NonFiniteLoss
from unisurg.pretrain.trainer import train
from unisurg.pretrain.world import alone
from unisurg.settings import Model, Pretrain, Settings, laid_over
from unisurg.tuning.probe import ValidationProbe
from unisurg.tuning.space import Values
from unisurg.tuning.study import Outcome, Refused

OnMetrics = Callable[[int, dict[str, float]], None]
PROBE = "val_probe"
WATCHED = 8  # clips of the online probe, which says little about so short a run
CHECKPOINT = "step_{:06d}.pt"


@dataclass(frozen=True)
class Course:
    """How trials are trained and judged.

    Attributes:
        store: shards, or a corpus.
        settings: of params.yaml; a trial changes some of them.
        folder: of all trials of one study.
    """

    store: Path
    settings: Settings
    probe: ValidationProbe
    folder: Path


def run_trial(
    course: Course,
    name: str,
    values: Values,
    seed: int,
    report: Callable[[int, float], None],
    on_metrics: OnMetrics,
) -> Outcome:
    """Pretrain for `tune.steps` steps and score the encoder on validation cases.

    A trial that was killed goes on where it was last saved, as any pretraining does.

    Args:
        name: of its folder; the same for the same trial.
        values: settings by their names in params.yaml.
        report: called with the number of steps and the score every `tune.probe_every` steps but
            the last; may raise `Refused`.
        on_metrics: called with each step's values, and with `val_probe` where it is measured.

    Returns:
        The score, and the seconds that its steps take at their median speed.

    Raises:
        Refused: the features have collapsed, the loss is not finite, or the masks leave nothing
            to see or to tell.
    """
    settings = laid_over(course.settings, values)
    pretrain = shortened(settings)
    output = course.folder / name

    def watch(step: int, row: dict[str, float]) -> None:
        on_metrics(step, row)
        if step >= pretrain.warmup_steps and "rank_me" in row and (bad := health.alarms(row)):
            raise Refused(f"stopped at step {step}: {'; '.join(bad)}")
        # What was saved after a step is there when the next one is told.
        for saved in (output / "unfinished").glob(f"*/{CHECKPOINT.format(step)}"):
            score = course.probe.score(_saved_encoder(settings.model, saved))
            on_metrics(step, {PROBE: score})
            report(step, score)

    _check_masks(pretrain, settings.model, seed)
    try:
        summary = train(course.store, pretrain, settings.model, seed, output, None, watch, alone())
    except NonFiniteLoss as error:
        raise Refused(f"cannot be trained: {error}") from error
    score = course.probe.score(load_encoder(output / "encoder"))
    on_metrics(pretrain.steps, {PROBE: score})
    return Outcome(score, pretrain.steps * pretrain.batch / summary["clips_per_s"])


def forget(course: Course, name: str) -> None:
    """Remove what a trial that has ended leaves on disk."""
    shutil.rmtree(course.folder / name, ignore_errors=True)


def shortened(settings: Settings) -> Pretrain:
    """Stage 1 as trials are trained: with the length of `tune`, and hardly what only watches."""
    tune = settings.tune
    changed: dict[str, Any] = {
        "steps": tune.steps,
        "warmup_steps": tune.warmup_steps,
        "cooldown_steps": min(settings.pretrain.cooldown_steps, tune.steps),
        "checkpoint_every": tune.probe_every,
        "health_every": tune.health_every,
        "knn_clips": min(settings.pretrain.knn_clips, WATCHED),
    }
    return Pretrain.model_validate({**dict(settings.pretrain), **changed})


def _check_masks(pretrain: Pretrain, model: Model, seed: int) -> None:
    """Draw every mask of the run, which takes no time, before anything that does.

    Raises:
        Refused: one cannot be drawn.
    """
    tubelet, size_px = model.tubelet, pretrain.size_px
    grid = (pretrain.frames // tubelet[0], size_px // tubelet[1], size_px // tubelet[2])
    try:
        for step in range(pretrain.steps):
            for row in range(passes(pretrain.masks)):
                dense_mask(pretrain.masks, row, seed, step, pretrain.batch, grid)
    except ValueError as error:
        raise Refused(f"cannot be masked: {error}") from None


def _saved_encoder(model: Model, saved: Path) -> VisionTransformer:
    encoder = make_encoder(model)
    fill(saved, encoder, None)
    return encoder
