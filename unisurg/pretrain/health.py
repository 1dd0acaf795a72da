"""Collapse meters: what shows in the features long before it shows in the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
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
        prediction: predicted latents of hidden tokens `(B, M, D)`, or without padding `(n, D)`.
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
    """At most `ROWS` tokens `(n, D)` of `(..., D)`, evenly spread over the batch."""
    rows = tokens.float().flatten(0, -2)
    return rows[:: max(1, -(-len(rows) // ROWS))]


def knn(features: Tensor, labels: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """`knn_source` and `knn_chance`, or nothing where no label has clips of two groups."""
    if not _answerable(labels, groups).any():
        return {}
    return {
        "knn_source": knn_accuracy(features, labels, groups),
        "knn_chance": knn_chance(labels, groups),
    }


@torch.no_grad()
def knn_accuracy(
    features: Tensor, labels: Sequence[str], groups: Sequence[str], neighbours: int = 5
) -> float:
    """Share of clips whose label is that of most of their nearest clips of *other* groups, 0..1.

    Nearest by cosine; the nearer ones break a tie. A clip counts if another group has its label,
    since no neighbour could tell it otherwise.

    Args:
        features: one row for each clip `(n, D)`.
        labels: of the clips, such as their source.
        groups: what a clip must not be told by, such as its video.

    Raises:
        ValueError: lengths differ, or no label has clips of two groups.
    """
    counted = _counted(labels, groups, len(features))
    names, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    of_label, of_group = torch.from_numpy(label), torch.from_numpy(group)
    unit = F.normalize(features.float().cpu(), dim=-1)
    cosine = (unit @ unit.T).masked_fill(of_group[:, None] == of_group, -torch.inf)
    nearest, index = cosine.topk(min(neighbours, len(unit)), dim=1)
    # One vote each and less than half a vote in all for being near.
    votes = 1 + torch.linspace(1, 0, nearest.shape[1]) / (2 * nearest.shape[1])
    votes = votes * (nearest > -torch.inf)
    ballot = torch.zeros(len(unit), len(names)).scatter_add(1, of_label[index], votes)
    return float((ballot.argmax(dim=1) == of_label)[counted].float().mean())


def knn_chance(labels: Sequence[str], groups: Sequence[str]) -> float:
    """Accuracy of always naming the most frequent label, over the clips that `knn_accuracy` counts.

    Raises:
        ValueError: as `knn_accuracy`.
    """
    counted = _counted(labels, groups, len(labels)).numpy()
    _, counts = np.unique(np.asarray(labels)[counted], return_counts=True)
    return float(counts.max() / counts.sum())


@torch.no_grad()
def pca_pictures(tokens: Tensor, grid: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Tokens as colours: their first three principal components, red the first.

    One basis for all clips, so that a colour means the same in each picture. A component points
    where its largest weight is positive; its percentiles 1 to 99 become 0 to 255.

    Args:
        tokens: `(P, N, D)`, time outermost, D at least 3.
        grid: tokens of the clip in time, height and width; `N = t * h * w`.

    Returns:
        `(P, t, h, w, 3)`.

    Raises:
        ValueError: the shape is wrong.
    """
    if tokens.ndim != 3 or tokens.shape[1] != math.prod(grid) or tokens.shape[2] < 3:
        raise ValueError(
            f"tokens {tuple(tokens.shape)}: expected (P, {math.prod(grid)}, D) with D of 3 or more"
        )
    rows = tokens.detach().double().cpu().flatten(0, 1)
    rows = rows - rows.mean(dim=0)
    _, axes = torch.linalg.eigh(rows.T @ rows)
    first = axes[:, -3:].flip(1)
    largest = first.gather(0, first.abs().argmax(dim=0, keepdim=True))
    seen = (rows @ (first * largest.sign())).numpy()
    low, high = np.percentile(seen, (1, 99), axis=0)
    share = np.clip((seen - low) / np.maximum(high - low, 1e-12), 0, 1)
    return np.round(255 * share).astype(np.uint8).reshape(len(tokens), *grid, 3)


def _counted(labels: Sequence[str], groups: Sequence[str], clips: int) -> Tensor:
    """Which clips have a label that another group has too."""
    if not len(labels) == len(groups) == clips:
        raise ValueError(f"{clips} features, {len(labels)} labels and {len(groups)} groups")
    counted = _answerable(labels, groups)
    if not counted.any():
        raise ValueError("no label has clips of two groups, so none can be told by another group")
    return counted


def _answerable(labels: Sequence[str], groups: Sequence[str]) -> Tensor:
    groups_of: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        groups_of.setdefault(label, set()).add(group)
    return torch.tensor([len(groups_of[label]) > 1 for label in labels], dtype=torch.bool)
