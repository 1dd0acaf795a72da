"""The three addends of the objective (UniSurg, 1.3 to 1.6), on hidden tokens `(B, M, D)`.

    L = L_motion + 0.1 * L_affinity + 0.3 * L_diversity

Functions, not classes; the target never receives a gradient. Sums run in float32 or better.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unisurg.settings import Objective

AFFINITY_ROWS = 512  # rows of the affinity matrices held at once


def motion_guided_loss(
    prediction: Tensor,
    target: Tensor,
    scores: Tensor,
    top_k: int = 3,
    gamma: float = 2.0,
    base_weight: float = 0.0,
    reduce: Literal["mean", "sum"] = "mean",
    tokens: Literal["mean", "sum"] = "sum",
) -> Tensor:
    """Latent prediction where it moves: weighted L1 error, averaged over the batch.

    The `top_k` tokens of highest score form `I_h` of each clip and weigh `1 + w_i` with
    `w = softmax(gamma * score)` over `I_h`; all other tokens weigh `base_weight`.

    Args:
        prediction, target: latents `(B, M, D)`.
        scores: motion of the same tokens `(B, M)`.
        top_k: with fewer than `top_k` tokens, all are in `I_h`.
        reduce: the L1 norm over features as a mean (V-JEPA) or a sum.
        tokens: the weighted `sum` over tokens (the paper), or the weighted `mean`, which with
            `base_weight` 1 stays on the scale of V-JEPA's dense loss whatever M is.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes that do not belong together.
    """
    _check(prediction, target)
    if scores.shape != prediction.shape[:2]:
        raise ValueError(f"scores {tuple(scores.shape)}: expected {tuple(prediction.shape[:2])}")
    error = (_wide(prediction) - _wide(target.detach())).abs()
    error = error.mean(dim=-1) if reduce == "mean" else error.sum(dim=-1)
    highest, index = scores.to(error.dtype).topk(min(top_k, scores.shape[1]), dim=1)
    weights = torch.full_like(error, base_weight)
    weights.scatter_(1, index, 1.0 + torch.softmax(gamma * highest, dim=1))
    loss = (weights * error).sum(dim=1)
    if tokens == "mean":
        loss = loss / weights.sum(dim=1)
    return loss.mean()


def affinity_distillation_loss(
    prediction: Tensor, target: Tensor, temperature: float = 0.1
) -> Tensor:
    """KL divergence of predicted from target affinities among a clip's hidden tokens.

    `a_ij = softmax_j(u_i . u_j / temperature)` with `u` the latents at unit length, the token
    itself included; the mean over rows `i` and clips of `sum_j a^target log(a^target / a^pred)`.
    With many tokens the matrices are made in slices of rows, forward and backward, so memory grows
    with M and not with its square.

    Args:
        prediction, target: latents `(B, M, D)`.

    Returns:
        A scalar, at least 0, and 0 exactly where the affinities agree.
    """
    _check(prediction, target)
    guess = F.normalize(_wide(prediction), dim=-1)
    truth = F.normalize(_wide(target.detach()), dim=-1)

    def divergence(guess: Tensor, rows: Tensor, truth_rows: Tensor) -> Tensor:
        log_guess = (rows @ guess.mT / temperature).log_softmax(dim=-1)
        log_truth = (truth_rows @ truth.mT / temperature).log_softmax(dim=-1)
        return F.kl_div(log_guess, log_truth, reduction="sum", log_target=True)

    tokens = prediction.shape[1]
    if tokens <= AFFINITY_ROWS:
        total = divergence(guess, guess, truth)
    else:
        pieces = zip(guess.split(AFFINITY_ROWS, 1), truth.split(AFFINITY_ROWS, 1), strict=True)
        total = torch.stack(
            [checkpoint(divergence, guess, *piece, use_reentrant=False) for piece in pieces]
        ).sum()
    return total / (len(prediction) * tokens)


def feature_diversity_loss(prediction: Tensor, floor: float) -> Tensor:
    """Mean shortfall of each feature's standard deviation below `floor`.

    Args:
        prediction: latents `(B, M, D)`; the deviation (n - 1) is over all `B * M` tokens.

    Returns:
        A scalar within 0..floor; its gradient is finite for constant features too.
    """
    rows = _wide(prediction).flatten(0, -2)
    variance = rows.var(dim=0, correction=min(1, len(rows) - 1))
    deviation = (variance + 1e-12).sqrt()
    return F.relu(floor - deviation).mean()


def total_loss(
    prediction: Tensor, target: Tensor, scores: Tensor, objective: Objective, time_steps: int
) -> dict[str, Tensor]:
    """All addends and their weighted sum: `{"loss", "motion", "affinity", "diversity"}`.

    Args:
        prediction, target: latents of the hidden tokens of tube masks `(B, M, D)`, time outermost.
        scores: motion of the same tokens `(B, M)`.
        time_steps: of the clip in tokens; divides M. Used where a tube spans the clip.
    """
    guess, truth, motion = prediction, target, scores
    if objective.span == "clip":
        # A position through the whole clip becomes one token with the features of all its times.
        pattern = "b (t s) d -> b s (t d)"
        guess, truth = (rearrange(x, pattern, t=time_steps) for x in (prediction, target))
        motion = rearrange(scores, "b (t s) -> b t s", t=time_steps)[:, 0]
    addends = {
        "motion": motion_guided_loss(
            guess,
            truth,
            motion,
            objective.top_k,
            objective.gamma,
            objective.base_weight,
            objective.reduce,
            objective.tokens,
        ),
        "affinity": affinity_distillation_loss(prediction, target, objective.temperature),
        "diversity": feature_diversity_loss(prediction, objective.diversity_floor),
    }
    loss = (
        objective.motion_weight * addends["motion"]
        + objective.affinity_weight * addends["affinity"]
        + objective.diversity_weight * addends["diversity"]
    )
    return {"loss": loss, **addends}


def _wide(x: Tensor) -> Tensor:
    """At least float32: sums over thousands of bfloat16 values are off by percents."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check(prediction: Tensor, target: Tensor) -> None:
    if prediction.ndim != 3 or prediction.shape != target.shape or prediction.shape[1] == 0:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)}: "
            "expected two tensors of one shape (B, M, D) with M > 0"
        )
