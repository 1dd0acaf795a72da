"""The loss of a depth head: metric depth, and its shape apart from scale and shift.

All is of logarithms, where an error counts by its share of the depth. Three terms are added: the
mean absolute error itself; what is left of it once each picture's own scale and shift are taken out
(Ranftl et al., MiDaS, TPAMI 2022), which asks for the shape before the metric is right; and the
differences of neighbouring errors over four scales (Li and Snavely, MegaDepth, CVPR 2018), which
ask for edges and flat walls.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHAPE_WEIGHT, EDGE_WEIGHT = 0.5, 0.5
SCALES = 4
# Variance of a prediction so flat that its own scale says nothing.
FLAT = 1e-2


def depth_loss(found: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Loss of logarithms of depth, a scalar; all (B, H, W), what is not `known` does not count."""
    error = found - wanted
    metric = _mean(error.abs(), known)
    shape = _mean(aligned_error(found, wanted, known).abs(), known)
    return metric + SHAPE_WEIGHT * shape + EDGE_WEIGHT * edge_error(error, known)


def aligned_error(found: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """What is wrong after the scale and shift that suit each picture best, (B, H, W).

    Least squares over the known pixels; the scale of a nearly flat prediction is drawn to 0.
    """
    x, y = _centred(found, known), _centred(wanted, known)
    covariance, variance = _mean_each(x * y, known), _mean_each(x * x, known)
    return covariance / (variance + FLAT) * x - y


def edge_error(error: Tensor, known: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring errors, both known, over scales 1, 2, 4 and 8."""
    total = error.new_zeros(())
    for scale in range(SCALES):
        e, k = (plane[:, :: 2**scale, :: 2**scale] for plane in (error, known))
        down = _mean((e[:, 1:] - e[:, :-1]).abs(), k[:, 1:] & k[:, :-1])
        across = _mean((e[..., 1:] - e[..., :-1]).abs(), k[..., 1:] & k[..., :-1])
        total = total + down + across
    return total / SCALES


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Over all known pixels of the batch; 0 where there is none."""
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)


def _mean_each(values: Tensor, known: Tensor) -> Tensor:
    """Over the known pixels of each picture, (B, 1, 1)."""
    count = known.sum((1, 2), keepdim=True).clamp(min=1)
    return torch.where(known, values, 0.0).sum((1, 2), keepdim=True) / count


def _centred(values: Tensor, known: Tensor) -> Tensor:
    return values - _mean_each(values, known)
