"""Clips of cases as one encoder sees them, read from disk a batch at a time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unisurg.evaluation.probing.views import means_of
from unisurg.evaluation.store import (
    StoredCase,
    Tokens,
    depths_path,
    tokens_path,
    truth_path,
    windows_path,
)
from unisurg.tasks.base import Grid

# What is in memory at once where the order does not matter: clips, and their bytes as float32, of
# which a statistic or an attention over them takes several times as much.
READ_BATCH, READ_BYTES = 256, 2**26

Targets = Callable[[Sequence[Any]], Tensor]


class UnequalTokensError(ValueError):
    """Cases of a benchmark have token grids of different sizes."""


@dataclass(frozen=True)
class Clips:
    """The clips of one case under one encoder, and their truth."""

    case: StoredCase
    variant: str
    tokens: Tokens
    truth: np.ndarray

    @staticmethod
    def of(case: StoredCase, variant: str) -> Clips:
        return Clips(case, variant, case.tokens(variant), case.truth())

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def grid(self) -> Grid:
        _, t, h, w, _ = self.tokens.shape
        return t, h, w

    @property
    def dim(self) -> int:
        return self.tokens.shape[-1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that is stored of the case and that encoder, its name and place left out.

        The files are read once, whole.
        """
        root, case = self.case.root, self.case.case
        files = (
            tokens_path(root, self.variant, case),
            windows_path(root, self.variant, case),
            truth_path(root, case),
            depths_path(root, case),
        )
        parts = [_sha256(path) if path.is_file() else "" for path in files]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @cached_property
    def moments(self) -> np.ndarray:
        """Seconds (S,) at which the clips of a video are labelled."""
        return self.case.moments()

    @cached_property
    def means(self) -> Tensor:
        """What pooled heads see of each clip, (S, 2 D) float32, see `views.means_of`.

        Read once and kept: 1 / N of the tokens, of which a clip has N.
        """
        return torch.cat([means_of(tokens, self.grid) for tokens in self.batches()])

    @cached_property
    def _made(self) -> dict[Targets, Tensor]:
        return {}

    def targets(self, make: Targets) -> Tensor:
        """Training targets of the clips, a row each; `make` is the method `targets` of a task.

        They are made once and kept: the depths of a whole sequence are read for them.
        """
        if make not in self._made:  # methods of one task are equal
            self._made[make] = make([self.truth])
        return self._made[make]

    def batches(self) -> Iterator[Tensor]:
        """Tokens (B, N, D) of all clips in order, at most `READ_BATCH` and `READ_BYTES` a time."""
        for places in _parts(len(self), self.grid, self.dim):
            yield as_batch([self.tokens[i] for i in places])


@dataclass(frozen=True)
class Samples:
    """Clips of some cases under one encoder; a sample is (case, clip), counted through the cases.

    Raises:
        UnequalTokensError: cases have different grids of tokens.
    """

    clips: tuple[Clips, ...]

    def __post_init__(self) -> None:
        shapes = {clips.tokens.shape[1:] for clips in self.clips}
        if len(shapes) > 1:
            raise UnequalTokensError(
                f"cases have unequal tokens {sorted(shapes)}; set features.grid > 0"
            )

    @staticmethod
    def of(cases: Sequence[StoredCase], variant: str) -> Samples:
        return Samples(tuple(Clips.of(case, variant) for case in cases))

    def only(self, names: Sequence[str]) -> Samples:
        """The cases of those names, in their order here; what they have read is shared."""
        return Samples(tuple(clips for clips in self.clips if clips.case.case in names))

    def joined(self, other: Samples) -> Samples:
        """These cases and then the `other`'s; what both have read is shared."""
        return Samples(self.clips + other.clips)

    @property
    def names(self) -> list[str]:
        return [clips.case.case for clips in self.clips]

    @property
    def digests(self) -> list[str]:
        """What is stored of each case, in order, see `Clips.digest`."""
        return [clips.digest for clips in self.clips]

    @property
    def truths(self) -> tuple[np.ndarray, ...]:
        return tuple(clips.truth for clips in self.clips)

    @property
    def grid(self) -> Grid:
        return self.clips[0].grid

    @property
    def dim(self) -> int:
        return self.clips[0].dim

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of each case's first sample, and of all samples: (cases + 1,)."""
        return np.cumsum([0] + [len(clips) for clips in self.clips])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def targets(self, make: Targets) -> Tensor:
        """Training targets of all samples, see `Clips.targets`."""
        return torch.cat([clips.targets(make) for clips in self.clips])

    def batches(self) -> Iterator[Tensor]:
        """Tokens (B, N, D) of all samples in order, as many a time as of `Clips.batches`."""
        for places in _parts(len(self), self.grid, self.dim):
            yield self.batch(np.array(places))

    def batch(self, ids: np.ndarray) -> Tensor:
        """Tokens (B, N, D) float32 of samples."""
        cases = np.searchsorted(self.starts, ids, side="right") - 1
        places = ids - self.starts[cases]
        return as_batch([self.clips[c].tokens[i] for c, i in zip(cases, places, strict=True)])


def as_batch(tokens: Sequence[np.ndarray]) -> Tensor:
    """Clips (t, h, w, D) of any float type -> (B, t * h * w, D) float32."""
    return torch.from_numpy(np.stack(tokens)).float().flatten(1, 3)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(count: int, grid: Grid, dim: int) -> Iterator[range]:
    """Numbers 0..count - 1 of clips in order, as many together as are in memory at once."""
    at_once = max(1, min(READ_BATCH, READ_BYTES // (4 * math.prod(grid) * dim)))
    for start in range(0, count, at_once):
        yield range(start, min(start + at_once, count))
