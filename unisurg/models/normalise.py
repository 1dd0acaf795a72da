"""From decoded pixels to what the encoder expects."""

from __future__ import annotations

import torch
from torch import Tensor

# ImageNet's statistics of RGB in 0..1, as V-JEPA 2 and SurgMotion use them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def to_unit(clip: Tensor) -> Tensor:
    """uint8 `(B, T, H, W, 3)` -> float32 `(B, 3, T, H, W)` in 0..1.

    Raises:
        ValueError: another dtype or layout.
    """
    if clip.dtype != torch.uint8 or clip.ndim != 5 or clip.shape[-1] != 3:
        raise ValueError(
            f"clip of {clip.dtype} {tuple(clip.shape)}: expected uint8 (B, T, H, W, 3)"
        )
    return clip.movedim(-1, 1).contiguous().float().div_(255)


def standardise(
    clip: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD
) -> Tensor:
    """RGB in 0..1 `(B, 3, T, H, W)` -> mean 0 and deviation 1 by the statistics of each channel."""
    shift = torch.tensor(mean, device=clip.device).view(3, 1, 1, 1)
    scale = torch.tensor(std, device=clip.device).view(3, 1, 1, 1)
    return (clip - shift) / scale


def to_input(clip: Tensor) -> Tensor:
    """uint8 RGB `(B, T, H, W, 3)` -> normalised float32 `(B, 3, T, H, W)`, on the clip's device."""
    return standardise(to_unit(clip))
