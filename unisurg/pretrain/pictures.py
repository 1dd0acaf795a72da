"""Pictures of what a run sees: clips, masks, motion scores, and what the features tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unisurg.models.normalise import standardise, to_unit
from unisurg.pretrain.data import Batches
from unisurg.pretrain.health import pca_pictures
from unisurg.pretrain.learner import Learner
from unisurg.pretrain.masks import dense_mask, passes
from unisurg.pretrain.step import token_scores
from unisurg.pretrain.world import World
from unisurg.settings import Pretrain

PICTURES = 8


@torch.no_grad()
def draw_pictures(
    learner: Learner, batches: Batches, settings: Pretrain, seed: int, world: World
) -> dict[str, Any]:
    """Clips of the last step, as `log.write_pictures` takes them; rows of masks take turns."""
    step = settings.steps - 1
    pixels = batches.at(step)[:PICTURES]
    unit = to_unit(pixels)
    encoder = learner.judge
    grid = encoder.grid(*unit.shape[2:])
    masks = [
        dense_mask(settings.masks, row, seed, step, settings.batch, grid)[world.rank :: world.size]
        for row in range(passes(settings.masks))
    ]
    tokens = torch.cat([encoder(clip) for clip in standardise(unit.to(world.device)).split(1)])
    return {
        "clip": pixels.numpy(),
        "mask": np.stack([masks[i % len(masks)][i] for i in range(len(pixels))]),
        "motion": token_scores(unit, settings.objective, encoder.tubelet).numpy(),
        "pca": pca_pictures(tokens.float().cpu(), grid),
    }
