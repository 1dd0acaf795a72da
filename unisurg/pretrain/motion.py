"""How much moves in each tube of a clip: the scores that guide latent prediction (UniSurg, 1.3).

    g_i = mean over t of ||x_{t+1,i} - x_{t,i}||_1                        (in time)
        + mean over t and neighbours j of ||x_{t,i} - x_{t,j}||_1         (in space)

The L1 norm is taken as a *mean* over the patch's pixels and channels, not a sum, so that scores do
not depend on the patch's size: with pixels in 0..1 both terms are within 0..1. Neighbours are the
patches above, below, left and right that the picture has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange, reduce
from torch import Tensor

Span = Literal["tubelet", "clip"]

# Of the compensated variant, for pixels in 0..1.
SATURATION = 0.1  # a response beyond this (a flash, a cut of the scene) counts no more
TEXTURE_FREE = 0.01  # a patch whose pixels deviate less (the black border, glare) has no score


def motion_scores(
    clip: Tensor,
    tubelet: Sequence[int] = (2, 16, 16),
    span: Span = "tubelet",
    compensate_camera: bool = False,
) -> Tensor:
    """Motion score of every token.

    Args:
        clip: pixels in 0..1 `(B, C, T, H, W)`.
        tubelet: frames, height and width of one token; it must divide the clip.
        span: a tube is one token (`tubelet`: frame pairs within it only, so that one-frame tubelets
            have no term in time) or a position through the whole clip (`clip`: the same score at
            every time step).
        compensate_camera: from each frame's responses subtract their median over the frame, which
            is what a moving camera or a flicker does everywhere; cut at zero and `SATURATION`; and
            score patches without texture as zero. Off: the literal formula.

    Returns:
        float32 `(B, t, h, w)`.

    Raises:
        ValueError: pixels are whole numbers, the shape is wrong, or the tubelet does not divide it.
    """
    frames, height, width = tubelet
    if not clip.is_floating_point():
        raise ValueError(
            f"clip of {clip.dtype}: expected pixels in 0..1, as normalise.to_unit gives"
        )
    if clip.ndim != 5 or any(n % p for n, p in zip(clip.shape[2:], tubelet, strict=True)):
        raise ValueError(
            f"clip of shape {tuple(clip.shape)}: expected (B, C, T, H, W) with T, H, W divisible "
            f"by the tubelet {tuple(tubelet)}"
        )
    patches = rearrange(clip.float(), "b c t (h p) (w q) -> b t h w (c p q)", p=height, q=width)
    in_time = _in_time(patches)
    in_space = _in_space(patches)
    if compensate_camera:
        in_time, in_space = _beyond_median(in_time), _beyond_median(in_space)
    scores = _over_time(in_time, frames, span, pairs=True)
    scores = scores + _over_time(in_space, frames, span, pairs=False)
    if compensate_camera:
        # The mean of squares less the square of the mean: ten times as fast as `std` here.
        variance = patches.square().mean(dim=-1) - patches.mean(dim=-1).square()
        texture = _over_time(variance.clamp(min=0).sqrt(), frames, span, pairs=False)
        scores = torch.where(texture < TEXTURE_FREE, 0.0, scores)
    return scores


def standardised(scores: Tensor) -> Tensor:
    """Scores `(B, ...)` with mean 0 and deviation 1 within each clip; a constant clip becomes 0."""
    flat = scores.flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    spread = flat.std(dim=1, correction=0, keepdim=True)
    return (centred / spread.clamp(min=1e-6)).view_as(scores)


def _in_time(patches: Tensor) -> Tensor:
    """Change from each frame to the next `(B, T, h, w)`; the last frame has none and holds 0."""
    change = (patches[:, 1:] - patches[:, :-1]).abs().mean(dim=-1)
    return torch.cat([change, torch.zeros_like(patches[:, :1, ..., 0])], dim=1)


def _in_space(patches: Tensor) -> Tensor:
    """Mean difference of each patch to its neighbours in the same frame `(B, T, h, w)`."""
    total = torch.zeros(patches.shape[:-1], device=patches.device)
    neighbours = torch.zeros_like(total)
    for axis in (2, 3):
        length = patches.shape[axis] - 1
        first, second = patches.narrow(axis, 0, length), patches.narrow(axis, 1, length)
        difference = (first - second).abs().mean(dim=-1)
        for start in (0, 1):
            total.narrow(axis, start, length).add_(difference)
            neighbours.narrow(axis, start, length).add_(1)
    return total / neighbours.clamp(min=1)


def _beyond_median(response: Tensor) -> Tensor:
    median = response.flatten(2).median(dim=2).values[..., None, None]
    return (response - median).clamp(0.0, SATURATION)


def _over_time(response: Tensor, frames: int, span: Span, pairs: bool) -> Tensor:
    """Mean of a response `(B, T, h, w)` over each tube, laid out per token `(B, t, h, w)`.

    With `pairs`, entry `t` belongs to the frames `t` and `t + 1`: a tube of n frames has n - 1.
    """
    steps = response.shape[1] // frames
    if span == "clip":
        counted = response[:, :-1] if pairs and response.shape[1] > 1 else response
        return counted.mean(dim=1, keepdim=True).expand(-1, steps, -1, -1)
    tubes = rearrange(response, "b (t p) h w -> b t p h w", p=frames)
    counted = tubes[:, :, :-1] if pairs and frames > 1 else tubes
    if pairs and frames == 1:
        counted = torch.zeros_like(tubes)
    return reduce(counted, "b t p h w -> b t h w", "mean")
