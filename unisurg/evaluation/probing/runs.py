"""What is fitted and tested for one benchmark: a list of runs, each with one head as its result."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from unisurg.evaluation.store import PRETRAINED, RANDOM, Index
from unisurg.settings import Probe

WHOLE = 1.0


class RunError(ValueError):
    """The settings ask for a comparison that the features do not hold."""


@dataclass(frozen=True)
class Run:
    """One kind of head on one encoder with one seed, on a share of the training cases.

    `variant` is the encoder's features that the seed meets: an untrained encoder has several.
    """

    kind: str
    encoder: str
    seed: int
    variant: str
    share: float


def runs_of(index: Index, probe: Probe, kinds: Sequence[str]) -> list[Run]:
    """All runs of a benchmark: every kind on every encoder, then the smaller shares of the main.

    The k-th seed meets variant k, modulo their number, of every encoder: seeds are paired between
    encoders.

    Raises:
        RunError: `probe.baseline` is asked for, and the features hold no random encoder.
    """
    everything = [
        Run(kind, encoder, seed, variant, WHOLE)
        for kind in kinds
        for encoder in encoders_of(index, probe)
        for seed, variant in _paired(index, probe, encoder)
    ]
    return everything + [
        Run(kinds[0], encoder, seed, variant, share)
        for share in shares_of(index, probe)
        for encoder in encoders_of(index, probe)
        if encoder in (PRETRAINED, RANDOM)
        for seed, variant in _paired(index, probe, encoder)
    ]


def encoders_of(index: Index, probe: Probe) -> list[str]:
    """Encoders that are compared: pretrained, random if `probe.baseline`, then the baselines."""
    if probe.baseline and not index.encoders.get(RANDOM):
        raise RunError("probe.baseline needs features.random_encoders of at least 1")
    baselines = [name for name in index.encoders if name not in (PRETRAINED, RANDOM)]
    return [PRETRAINED, *([RANDOM] if probe.baseline else []), *baselines]


def shares_of(index: Index, probe: Probe) -> list[float]:
    """Shares of the training cases below 1 for which there are results, ascending."""
    wanted = probe.label_efficiency
    return sorted(set(wanted.fractions)) if index.benchmark in wanted.benchmarks else []


def _paired(index: Index, probe: Probe, encoder: str) -> list[tuple[int, str]]:
    variants = itertools.cycle(index.encoders[encoder])
    return list(zip(probe.seeds, variants, strict=False))
