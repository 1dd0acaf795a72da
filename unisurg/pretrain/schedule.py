"""Schedules as pure functions of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math

from unisurg.settings import Pretrain


def learning_rate(step: int, settings: Pretrain) -> float:
    """Linear warm-up to `lr`, then a cosine or a plateau, then a linear cool-down to `lr_final`.

    `step` counts from 0; the first one already moves (`lr / warmup_steps`). The cosine reaches
    `lr_final` at the last step whether or not a cool-down leaves it earlier; a plateau with a
    cool-down is V-JEPA 2's schedule (arXiv 2506.09985, 2.3).
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    start = settings.steps - settings.cooldown_steps
    if step < start:
        return _body(step, settings)
    left = (settings.steps - 1 - step) / settings.cooldown_steps
    return settings.lr_final + (_body(start - 1, settings) - settings.lr_final) * left


def _body(step: int, settings: Pretrain) -> float:
    """The rate between warm-up and cool-down."""
    if settings.schedule == "constant" or step < settings.warmup_steps:
        return settings.lr
    falling = max(settings.steps - 1 - settings.warmup_steps, 1)
    progress = min((step - settings.warmup_steps) / falling, 1.0)
    depth = settings.lr - settings.lr_final
    return settings.lr_final + depth * (1 + math.cos(math.pi * progress)) / 2


def ema_decay(step: int, settings: Pretrain) -> float:
    """Decay of the target encoder: `ema`, reached from below.

    `(1 + step) / (10 + step)` until then: a target that starts at random should not be remembered
    for hundreds of steps.
    """
    return min(settings.ema, (1 + step) / (10 + step))
