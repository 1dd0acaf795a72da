"""Collapse meters: what shows in the features long before it shows in the loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 2048  # tokens looked at; more do not change the picture

# A healthy run stays far from these; a collapsed one ends on the other side.
MIN_RANK_ME = 3.0
MIN_FEATURE_STD = 0.05
MAX_TOKEN_COSINE = 0.99
MAX_TEMPORAL_COSINE = 0.9999


@torch.no_grad()
def measure(prediction: Tensor, target: Tensor, time_steps: int) -> dict[str, float]:
    """All meters of one batch.

    Args:
        prediction: predicted latents of hidden tokens `(B, M, D)`.
        target: target latents of the whole clip `(B, N, D)`, time outermost, layer-normed.
        time_steps: of the clip in tokens.

    Returns:
        rank_me: effective rank of the targets, 1..D (RankMe, arXiv 2210.02885).
        feature_std: standard deviation of a target feature over tokens, mean over features.
        token_cosine: mean cosine of two predicted tokens, -1..1; 1 is collapse.
        temporal_cosine: mean cosine of a target token and the one after it at the same place;
            1 is a target that does not see motion. Left out for a clip of one time step.
    """
    rows = _some_rows(target)
    meters = {
        "rank_me": rank_me(rows),
        "feature_std": float(rows.std(dim=0).mean()),
        "token_cosine": token_cosine(_some_rows(prediction)),
    }
    if time_steps > 1:
        steps = target.float().unflatten(1, (time_steps, -1))
        cosine = F.cosine_similarity(steps[:, 1:], steps[:, :-1], dim=-1)
        meters["temporal_cosine"] = float(cosine.mean())
    return meters


def rank_me(rows: Tensor) -> float:
    """Exponential of the entropy of the singular values of `rows (N, D)`; 1 where all are zero."""
    values = torch.linalg.svdvals(rows.float())
    share = values / values.sum().clamp(min=1e-12) + 1e-12
    return float(torch.exp(-(share * share.log()).sum()))


def token_cosine(rows: Tensor) -> float:
    """Mean cosine over all pairs of two different rows of `(N, D)`."""
    unit = F.normalize(rows.float(), dim=-1)
    n = len(unit)
    # The sum over all pairs is the squared length of the summed vectors, less n pairs with oneself.
    return float((unit.sum(dim=0).square().sum() - unit.square().sum()) / max(n * (n - 1), 1))


def alarms(meters: dict[str, float]) -> list[str]:
    """One sentence for each meter that says collapse; empty for healthy features."""
    found = []
    if meters["rank_me"] < MIN_RANK_ME:
        found.append(f"target features have collapsed to rank {meters['rank_me']:.2f}")
    if meters["feature_std"] < MIN_FEATURE_STD:
        found.append(f"target features hardly vary (deviation {meters['feature_std']:.4f})")
    if meters["token_cosine"] > MAX_TOKEN_COSINE:
        found.append(f"all predictions point one way (cosine {meters['token_cosine']:.4f})")
    if meters.get("temporal_cosine", 0.0) > MAX_TEMPORAL_COSINE:
        found.append(f"targets do not change in time (cosine {meters['temporal_cosine']:.6f})")
    return found


def _some_rows(tokens: Tensor) -> Tensor:
    """At most `ROWS` tokens `(n, D)` of `(B, N, D)`, evenly spread over the batch."""
    rows = tokens.float().flatten(0, 1)
    return rows[:: max(1, -(-len(rows) // ROWS))]
