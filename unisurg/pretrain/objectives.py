"""The addends of the objective (UniSurg, 1.3 to 1.6; VideoMAE's pixels), on hidden tokens.

    L = 1.0 * L_motion + 0.1 * L_affinity + 0.3 * L_diversity, or other weights, or 1.0 * L_pixel

Functions, not classes; the target never receives a gradient. Sums run in float32 or better.

Where clips differ in the number of hidden tokens, tensors are padded and `valid (B, M)` tells the
real ones, at least one a clip: every addend is then what it would be clip by clip without padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed import ProcessGroup

from unisurg.settings import Objective

AFFINITIES = 2**21  # held at once of each matrix of affinities of a batch
COLOURS = 3

Reduce = Literal["mean", "sum"]


class Latents(NamedTuple):
    """Predicted and target latents of the hidden tokens `(B, M, D)`, and their motion `(B, M)`.

    `scores` may be None where the objective singles no token out (`top_k` 0).
    """

    prediction: Tensor
    target: Tensor
    scores: Tensor | None


class Pixels(NamedTuple):
    """Predicted and true pixels of the hidden tokens `(B, M, P)`, laid out as by `patches_of`."""

    prediction: Tensor
    patches: Tensor


def total_loss(
    objective: Objective,
    hidden: Tensor,
    grid: tuple[int, int, int],
    latents: Latents | None = None,
    pixels: Pixels | None = None,
    valid: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> dict[str, Tensor]:
    """The weighted sum `loss` of one row of masks, and each addend whose weight is not 0.

    Args:
        hidden: indices of the hidden tokens `(B, M)`, of which a token's place in the picture is
            known where a tube spans the clip.
        grid: tokens of the clip in time, height and width.
        latents: needed where `objective.latent`.
        pixels: needed where `objective.pixels`.
        valid: which hidden tokens are no padding `(B, M)`; None: all.
        group: processes with equal shares of the batch. The mean over them of `loss` and of its
            gradients is that of one process with the whole batch.

    Returns:
        Scalars `loss` and those of `motion`, `affinity`, `diversity`, `pixel` that have a weight.

    Raises:
        ValueError: what the objective compares is not given, or shapes do not belong together.
    """
    if objective.latent and latents is None:
        raise ValueError(f"objective {objective.name} compares latents: none are given")
    if objective.pixels and pixels is None:
        raise ValueError(f"objective {objective.name} reconstructs pixels: none are given")
    addends: dict[str, Tensor] = {}
    if latents is not None:
        if objective.motion_weight:
            addends["motion"] = _motion(objective, hidden, grid, latents, valid)
        if objective.affinity_weight:
            addends["affinity"] = affinity_distillation_loss(
                latents.prediction, latents.target, objective.temperature, valid
            )
        if objective.diversity_weight:
            addends["diversity"] = feature_diversity_loss(
                latents.prediction, objective.diversity_floor, valid, group
            )
    if pixels is not None and objective.pixel_weight:
        addends["pixel"] = pixel_reconstruction_loss(
            *pixels, objective.normalise_pixels, valid, channels=COLOURS
        )
    weighted = [getattr(objective, f"{name}_weight") * value for name, value in addends.items()]
    return {"loss": torch.stack(weighted).sum(), **addends}


def motion_guided_loss(
    prediction: Tensor,
    target: Tensor,
    scores: Tensor | None,
    top_k: int = 3,
    gamma: float = 2.0,
    base_weight: float = 0.0,
    reduce: Reduce = "mean",
    tokens: Reduce = "sum",
    valid: Tensor | None = None,
) -> Tensor:
    """Latent prediction where it moves: weighted L1 error, averaged over the batch (UniSurg, 1.3).

    The `top_k` tokens of highest score form `I_h` of each clip and weigh `1 + w_i` with
    `w = softmax(gamma * score)` over `I_h`; all other tokens weigh `base_weight`. With `top_k` 0,
    `base_weight` 1 and the `mean` over tokens it is V-JEPA's dense L1.

    Args:
        prediction, target: latents `(B, M, D)`.
        scores: motion of the same tokens `(B, M)`; may be None with `top_k` 0.
        top_k: with fewer than `top_k` tokens, all are in `I_h`.
        reduce: the L1 norm over features as a mean (V-JEPA) or a sum.
        tokens: the weighted `sum` over tokens (the paper), or the weighted `mean`, which with
            `base_weight` 1 stays on the scale of V-JEPA's dense loss whatever M is.
        valid: which tokens are no padding `(B, M)`; None: all.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes that do not belong together, or every token would weigh 0.
    """
    error = _latent_error(prediction, target, reduce)
    return _weighted(error, scores, top_k, gamma, base_weight, tokens, valid)


def affinity_distillation_loss(
    prediction: Tensor, target: Tensor, temperature: float = 0.1, valid: Tensor | None = None
) -> Tensor:
    """KL divergence of predicted from target affinities among a clip's hidden tokens (1.4).

    `a_ij = softmax_j(u_i . u_j / temperature)` with `u` the latents at unit length, the token
    itself included; the mean over rows `i` and clips of `sum_j a^target log(a^target / a^pred)`.
    With many tokens the matrices are made in slices of rows, so memory grows with M and not with
    its square.

    Args:
        prediction, target: latents `(B, M, D)`.
        valid: which tokens are no padding `(B, M)`; None: all.

    Returns:
        A scalar, at least 0, and 0 exactly where the affinities agree.
    """
    _check(prediction, target)
    guess = F.normalize(_wide(prediction), dim=-1)
    truth = F.normalize(_wide(target.detach()), dim=-1)
    real = torch.ones_like(guess[..., 0]) if valid is None else valid.to(guess.dtype)
    weights = real / real.sum(dim=1, keepdim=True) / len(real)
    # Autocast would take the products in bfloat16.
    with torch.autocast(prediction.device.type, enabled=False):
        return _Divergence.apply(guess, truth, weights, temperature, valid)


def feature_diversity_loss(
    prediction: Tensor,
    floor: float,
    valid: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    """Mean shortfall of each feature's standard deviation below `floor` (UniSurg, 1.5).

    Args:
        prediction: latents `(B, M, D)`; the deviation (n - 1) is over all their tokens.
        floor: at least 0.
        valid: which tokens are no padding `(B, M)`; None: all.
        group: processes over whose tokens together the deviation is taken; None: this one's. All
            must call, and the gradient is made for being averaged over them, as DDP does.

    Returns:
        A scalar within 0..floor, the same in every process of the group; its gradient is finite for
        constant features too.
    """
    tokens = _wide(prediction).flatten(0, -2)
    real = torch.ones_like(tokens[:, :1]) if valid is None else valid.reshape(-1, 1).to(tokens)
    with torch.no_grad():
        # The mean gets no gradient: deviations from it sum to 0, and so does what it would pass on.
        sums = torch.cat([real.sum(dim=0), (tokens * real).sum(dim=0)])
        sums = _over_processes(sums, group)
        count, mean = sums[0], sums[1:] / sums[0]
    # About the mean, since a difference of large squares would lose the digits.
    squares = _over_processes(((tokens - mean).square() * real).sum(dim=0), group)
    deviation = (squares / (count - 1).clamp(min=1) + 1e-12).sqrt()
    return F.relu(floor - deviation).mean()


def pixel_reconstruction_loss(
    prediction: Tensor,
    patches: Tensor,
    normalise: bool = True,
    valid: Tensor | None = None,
    channels: int = 1,
) -> Tensor:
    """Mean squared error of hidden pixels, averaged over the batch (VideoMAE).

    Args:
        prediction: `(B, M, P)`.
        patches: the true pixels `(B, M, P)`, channel outermost as `patches_of` gives them.
        normalise: compare with the patch less its mean, over its deviation (n - 1).
        valid: which tokens are no padding `(B, M)`; None: all.
        channels: equal parts of a patch, each of which is normalised by itself. 1 is MAE's way;
            VideoMAE's script takes each colour by itself, 3.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes that do not belong together, or P does not divide into `channels`.
    """
    _check(prediction, patches)
    truth = _wide(patches.detach())
    if truth.shape[-1] % channels:
        raise ValueError(f"patches of {truth.shape[-1]} values do not divide into {channels} parts")
    if normalise:
        parts = truth.unflatten(-1, (channels, -1))
        deviation = parts.std(dim=-1, keepdim=True, correction=min(1, parts.shape[-1] - 1))
        truth = ((parts - parts.mean(dim=-1, keepdim=True)) / (deviation + 1e-6)).flatten(-2)
    return _over_clips((_wide(prediction) - truth).square().mean(dim=-1), valid)


def patches_of(clip: Tensor, tubelet: Sequence[int]) -> Tensor:
    """Pixels of each token: `(B, C, T, H, W)` -> `(B, N, C * t * h * w)`, channel outermost.

    Raises:
        ValueError: the tubelet does not divide the clip.
    """
    frames, height, width = tubelet
    if clip.ndim != 5 or any(n % p for n, p in zip(clip.shape[2:], tubelet, strict=True)):
        raise ValueError(
            f"clip of shape {tuple(clip.shape)}: expected (B, C, T, H, W) with T, H, W divisible "
            f"by the tubelet {tuple(tubelet)}"
        )
    pattern = "b c (t p) (h q) (w r) -> b (t h w) (c p q r)"
    return rearrange(clip, pattern, p=frames, q=height, r=width)


def _motion(
    objective: Objective,
    hidden: Tensor,
    grid: tuple[int, int, int],
    latents: Latents,
    valid: Tensor | None,
) -> Tensor:
    """`motion_guided_loss` over tokens, or over positions through the whole clip."""
    error = _latent_error(latents.prediction, latents.target, objective.reduce)
    scores = latents.scores
    if objective.span == "clip":
        places, area = hidden % (grid[1] * grid[2]), grid[1] * grid[2]
        counted = torch.ones_like(error) if valid is None else valid.to(error.dtype)

        def pooled(values: Tensor) -> Tensor:
            zeros = values.new_zeros(len(values), area)
            return zeros.scatter_add(1, places, values * counted)

        steps = pooled(torch.ones_like(error))
        valid = steps > 0
        steps = steps.clamp(min=1)
        scores = scores if scores is None else pooled(scores.to(error.dtype)) / steps
        error = pooled(error) / steps if objective.reduce == "mean" else pooled(error)
    return _weighted(
        error,
        scores,
        objective.top_k,
        objective.gamma,
        objective.base_weight,
        objective.tokens,
        valid,
    )


def _latent_error(prediction: Tensor, target: Tensor, reduce: Reduce) -> Tensor:
    """L1 distance of each token's latents `(B, M)`, as a mean or a sum over features."""
    _check(prediction, target)
    error = (_wide(prediction) - _wide(target.detach())).abs()
    return error.mean(dim=-1) if reduce == "mean" else error.sum(dim=-1)


def _weighted(
    error: Tensor,
    scores: Tensor | None,
    top_k: int,
    gamma: float,
    base_weight: float,
    tokens: Reduce,
    valid: Tensor | None,
) -> Tensor:
    """Errors `(B, M)` weighted by their scores, averaged over clips."""
    if top_k == 0 and base_weight == 0:
        raise ValueError("top_k 0 and base_weight 0: every token weighs nothing; raise one of them")
    real = torch.ones_like(error, dtype=torch.bool) if valid is None else valid
    weights = torch.full_like(error, base_weight)
    if top_k:
        if scores is None or scores.shape != error.shape:
            found = None if scores is None else tuple(scores.shape)
            raise ValueError(f"scores {found}: expected {tuple(error.shape)}")
        motion = scores.to(error.dtype).masked_fill(~real, -math.inf)
        highest, index = motion.topk(min(top_k, error.shape[1]), dim=1)
        # A clip of fewer than k tokens ranks padding too, which weighs nothing.
        logits = (gamma * highest).masked_fill(highest == -math.inf, -math.inf)
        weights = weights.scatter(1, index, 1.0 + torch.softmax(logits, dim=1))
    weights = weights * real
    loss = (weights * error).sum(dim=1)
    if tokens == "mean":
        loss = loss / weights.sum(dim=1)
    return loss.mean()


def _over_clips(values: Tensor, valid: Tensor | None) -> Tensor:
    """The mean over clips of the mean over a clip's real tokens, of values `(B, M)`."""
    if valid is None:
        return values.mean()
    return ((values * valid).sum(dim=1) / valid.sum(dim=1)).mean()


def _over_processes(values: Tensor, group: ProcessGroup | None) -> Tensor:
    return values if group is None else _SumOverProcesses.apply(values, group)


class _Divergence(torch.autograd.Function):
    """KL divergence of affinities, weighted by row, of unit latents `(B, M, D)`.

    With `s_ij = u_i . u_j / temperature` the derivative by `s_ij` is `w_i (a_pred - a_target)`,
    known as soon as the divergence is. So a slice of rows is made once, used for both, and dropped.
    """

    @staticmethod
    def forward(
        ctx: Any,
        guess: Tensor,
        truth: Tensor,
        weights: Tensor,
        temperature: float,
        valid: Tensor | None,
    ) -> Tensor:
        total, gradient = guess.new_zeros(()), torch.zeros_like(guess)
        step = max(1, AFFINITIES // weights.numel())
        for start in range(0, guess.shape[1], step):
            rows = slice(start, start + step)
            log_guess = _log_affinities(guess, rows, temperature, valid)
            log_truth = _log_affinities(truth, rows, temperature, valid)
            weight = weights[:, rows, None]
            share = log_truth.exp().mul_(weight)
            total += log_truth.sub_(log_guess).mul_(share).sum()
            if ctx.needs_input_grad[0]:
                slope = log_guess.exp_().mul_(weight).sub_(share).div_(temperature)
                gradient[:, rows] += slope @ guess
                gradient += slope.mT @ guess[:, rows]
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return above * gradient, None, None, None, None


def _log_affinities(unit: Tensor, rows: slice, temperature: float, valid: Tensor | None) -> Tensor:
    """Logarithms of some rows of the affinities among unit latents `(B, M, D)`."""
    logits = (unit[:, rows] @ unit.mT).div_(temperature)
    if valid is not None:
        # Not minus infinity, of which a difference would be no number.
        logits.masked_fill_(~valid.unsqueeze(1), -1e9)
    return logits.log_softmax(dim=-1)


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of theirs.

    Every process goes back from its own copy of the same loss, so what comes back, summed, is as
    many times too large as there are processes, and the mean over them that DDP takes is exact.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def _wide(x: Tensor) -> Tensor:
    """At least float32: sums over thousands of bfloat16 values are off by percents."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check(prediction: Tensor, target: Tensor) -> None:
    if prediction.ndim != 3 or prediction.shape != target.shape or prediction.shape[1] == 0:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)}: "
            "expected two tensors of one shape (B, M, D) with M > 0"
        )
