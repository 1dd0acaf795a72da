"""Which clips make a batch: balanced over specialties and data sets, a pure function of the step.

A video is drawn with the weights of `corpus.repetition` (UniSurg, 1.8), then a window in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisurg.pretrain.draws import generator
from unisurg.video.sampling import random_window


@dataclass(frozen=True)
class Draw:
    """One clip of a batch: a row of the manifest, and the numbers of its frames `(T,)`."""

    row: int
    frames: NDArray[np.int64]


def draw_batch(
    weights: NDArray[np.float64],
    n_frames: Sequence[int],
    frames: int,
    batch: int,
    seed: int,
    step: int,
) -> list[Draw]:
    """The clips of one batch.

    Args:
        weights: probability of each video, at any scale.
        n_frames: length of each video.
        frames: per clip; a shorter video is padded by its last frame.

    Raises:
        ValueError: weights that do not belong to the videos, or are all zero.
    """
    if len(weights) != len(n_frames) or not np.sum(weights) > 0:
        raise ValueError(
            f"{len(weights)} weights for {len(n_frames)} videos; need one each, not all 0"
        )
    rng = generator(seed, "clips", step)
    rows = rng.choice(len(weights), size=batch, p=weights / np.sum(weights))
    return [Draw(int(row), random_window(n_frames[row], frames, rng)) for row in rows]


def even_draws(
    sources: Sequence[str], n_frames: Sequence[int], frames: int, count: int
) -> list[Draw]:
    """Up to `count` windows without chance: as many of each source, and of each of its videos.

    A video gives windows that do not overlap, centred in equal parts of it: its middle one where it
    gives one. Fewer than `count` come back from videos that hold no more.

    Args:
        sources: data set of each video.
        n_frames: length of each video.
    """
    room = [max(1, n // frames) for n in n_frames]
    rows: dict[str, list[int]] = {}
    for row, source in enumerate(sources):
        rows.setdefault(source, []).append(row)
    names = sorted(rows)
    shares = _even_shares([sum(room[row] for row in rows[name]) for name in names], count)
    draws = []
    for name, share in zip(names, shares, strict=True):
        videos = rows[name]
        if share < len(videos):
            videos = [videos[(2 * i + 1) * len(videos) // (2 * share)] for i in range(share)]
        for row, windows in zip(
            videos, _even_shares([room[v] for v in videos], share), strict=True
        ):
            draws += [Draw(row, _window(n_frames[row], frames, i, windows)) for i in range(windows)]
    return draws


def _even_shares(room: Sequence[int], count: int) -> list[int]:
    """`count` dealt out one by one in turn, nobody more than there is room for."""
    shares = [0] * len(room)
    left = min(count, sum(room))
    while left:
        for i in range(len(room)):
            if left and shares[i] < room[i]:
                shares[i] += 1
                left -= 1
    return shares


def _window(n_frames: int, frames: int, part: int, parts: int) -> NDArray[np.int64]:
    """The window in the middle of one of `parts` equal parts of a video."""
    middle = (2 * part + 1) * n_frames // (2 * parts)
    start = min(max(middle - frames // 2, 0), max(n_frames - frames, 0))
    return np.minimum(np.arange(start, start + frames), n_frames - 1)
