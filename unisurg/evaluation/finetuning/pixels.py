"""Clips of labelled cases as pixels, by number: what fine-tuning reads in place of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unisurg.evaluation.extraction.cases import ProbeCase
from unisurg.evaluation.extraction.clips import CaseClips

MIB = 2**20
Clip = np.ndarray


class ClipCache:
    """Decoded clips, kept as they come until `mib` are full.

    Every epoch reads every clip once, in another order. A cache that dropped what was used longest
    ago would drop what is about to be read; so what is kept stays.
    """

    def __init__(self, mib: float) -> None:
        self._left = mib * MIB
        self._kept: dict[tuple[str, int], Clip] = {}

    def read(self, case: PixelCase, i: int) -> Clip:
        """Clip i of a case, decoded if it is not kept."""
        key = (case.facts.case, i)
        if key in self._kept:
            return self._kept[key]
        clip = case.clips[i]
        if clip.nbytes <= self._left:
            self._left -= clip.nbytes
            self._kept[key] = clip
        return clip


@dataclass(frozen=True)
class PixelCase:
    """A case, and its clips (T, H, W, 3) uint8, read when they are asked for."""

    facts: ProbeCase
    clips: CaseClips


class Pixels:
    """The clips of some cases, counted through all of them."""

    def __init__(self, cases: Sequence[PixelCase], cache: ClipCache) -> None:
        self.cases = tuple(cases)
        self._cache = cache
        self._starts = np.cumsum([0] + [len(case.clips) for case in self.cases])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def lengths(self) -> list[int]:
        """Clips of every case."""
        return [len(case.clips) for case in self.cases]

    def batch(self, ids: np.ndarray) -> list[Clip]:
        """Clips in the order of `ids`; their sizes differ where those of the videos do."""
        owners = np.searchsorted(self._starts, ids, side="right") - 1
        read = [
            self._cache.read(self.cases[owner], int(i - self._starts[owner]))
            for owner, i in zip(owners, ids, strict=True)
        ]
        # Thousands of videos cannot all stay open.
        for owner in np.unique(owners):
            self.cases[owner].clips.close()
        return read

    def truths(self) -> list[np.ndarray]:
        """The truth of every case: labels (S,) int64, or mask (H, W) bool."""
        return [case.facts.truth() for case in self.cases]
