"""Schedules as pure functions of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math

from unisurg.settings import Pretrain


def learning_rate(step: int, settings: Pretrain) -> float:
    """Linear warm-up to `lr` over `warmup_steps`, then a cosine to `lr_final` at the last step.

    `step` counts from 0; the first step already moves (`lr / warmup_steps`).
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    falling = max(settings.steps - 1 - settings.warmup_steps, 1)
    progress = min((step - settings.warmup_steps) / falling, 1.0)
    return (
        settings.lr_final
        + (settings.lr - settings.lr_final) * (1 + math.cos(math.pi * progress)) / 2
    )


def ema_decay(step: int, settings: Pretrain) -> float:
    """Decay of the target encoder: `ema`, reached from below.

    `(1 + step) / (10 + step)` until then: a target that starts at random should not be remembered
    for hundreds of steps.
    """
    return min(settings.ema, (1 + step) / (10 + step))
