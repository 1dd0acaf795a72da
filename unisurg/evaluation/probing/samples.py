"""Clips of cases as one encoder sees them, read from disk a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from unisurg.evaluation.probing.views import means_of
from unisurg.evaluation.store import StoredCase, Tokens
from unisurg.tasks.base import Grid

READ_BATCH = 256  # clips in memory at once where the order does not matter


class UnequalTokensError(ValueError):
    """Cases of a benchmark have token grids of different sizes."""


@dataclass(frozen=True)
class Clips:
    """The clips of one case under one encoder, and their truth."""

    case: StoredCase
    tokens: Tokens
    truth: np.ndarray

    @staticmethod
    def of(case: StoredCase, variant: str) -> Clips:
        return Clips(case, case.tokens(variant), case.truth())

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
    def moments(self) -> np.ndarray:
        """Seconds (S,) at which the clips of a video are labelled."""
        return self.case.moments()

    @cached_property
    def means(self) -> Tensor:
        """What pooled heads see of each clip, (S, 2 D) float32, see `views.means_of`.

        Read once and kept: 1 / N of the tokens, of which a clip has N.
        """
        return torch.cat([means_of(tokens, self.grid) for tokens in self.batches()])

    def batches(self) -> Iterator[Tensor]:
        """Tokens (B, N, D) of all clips in order, `READ_BATCH` at a time."""
        everything = range(len(self))
        for start in everything[::READ_BATCH]:
            yield as_batch([self.tokens[i] for i in everything[start : start + READ_BATCH]])


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

    def batches(self) -> Iterator[Tensor]:
        """Tokens (B, N, D) of all samples in order, `READ_BATCH` at a time."""
        for start in range(0, len(self), READ_BATCH):
            yield self.batch(np.arange(start, min(start + READ_BATCH, len(self))))

    def batch(self, ids: np.ndarray) -> Tensor:
        """Tokens (B, N, D) float32 of samples."""
        cases = np.searchsorted(self.starts, ids, side="right") - 1
        places = ids - self.starts[cases]
        return as_batch([self.clips[c].tokens[i] for c, i in zip(cases, places, strict=True)])


def as_batch(tokens: Sequence[np.ndarray]) -> Tensor:
    """Clips (t, h, w, D) of any float type -> (B, t * h * w, D) float32."""
    return torch.from_numpy(np.stack(tokens)).float().flatten(1, 3)
