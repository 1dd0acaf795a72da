"""The encoders that a benchmark compares, each under its name with its variants.

An untrained encoder has a variant per seed, NAME-0, NAME-1, ...; any other has one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unisurg.evaluation.store import DENSE, PRETRAINED, RANDOM
from unisurg.models.zoo import (
    AS_STORED,
    UNTRAINED,
    ClipEncoder,
    Encoder,
    EncoderError,
    load_pretrained,
    timm_encoder,
    untrained,
)
from unisurg.settings import Baseline, Settings

Named = dict[str, dict[str, Encoder]]


def compared_encoders(
    settings: Settings, benchmark: str, pretrained: Path, depths: tuple[int, ...] = ()
) -> Named:
    """Encoders by name and variant: the pretrained one first, then untrained ones and baselines.

    All are on the GPU where there is one.

    Args:
        pretrained: folder or file of the pretrained encoder.
        depths: blocks whose tokens are given side by side, of every encoder; none: what it gives
            in the end.

    Raises:
        CheckpointError, EncoderError: weights cannot be had or read, or do not fit the benchmark.
    """
    count = settings.features.random_encoders
    ours = load_pretrained(pretrained)
    named: Named = {PRETRAINED: {PRETRAINED: ClipEncoder(ours, depths)}}
    if count:
        named[RANDOM] = {
            f"{RANDOM}-{s}": ClipEncoder(untrained(ours, s), depths) for s in range(count)
        }
    for name, baseline in settings.baselines.items():
        if benchmark in baseline.benchmarks:
            named[name] = _variants(name, baseline, max(count, 1), depths)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        name: {variant: encoder.to(device) for variant, encoder in variants.items()}
        for name, variants in named.items()
    }


def depths_of(settings: Settings, task: str) -> tuple[int, ...]:
    """Blocks whose tokens the heads of a family see; empty: what the encoder gives in the end."""
    wanted = settings.features.depths
    return () if wanted == "last" or task not in DENSE else wanted


def _variants(
    name: str, baseline: Baseline, seeds: int, depths: tuple[int, ...]
) -> dict[str, Encoder]:
    where = f"baselines.{name}"
    try:
        if baseline.timm is None:
            if baseline.weights != AS_STORED:
                raise EncoderError(
                    f"weights {baseline.weights!r}: a folder or a file has its own, write"
                    f" {AS_STORED}; an image model of timm is written timm:NAME"
                )
            return {name: ClipEncoder(load_pretrained(Path(baseline.model)), depths)}
        if depths:
            raise EncoderError(
                f"{baseline.model} gives its last tokens alone; take it out where decoders see"
                " several blocks, or set features.depths: last"
            )
        if baseline.weights != UNTRAINED:
            return {name: timm_encoder(baseline.timm, baseline.weights, seed=0)}
        return {f"{name}-{s}": timm_encoder(baseline.timm, UNTRAINED, s) for s in range(seeds)}
    except EncoderError as error:
        raise EncoderError(f"{where}: {error}") from None


def time_code(steps: int, dim: int) -> np.ndarray:
    """Sines and cosines of the time step, (steps, dim) float32, in -1..1.

    What an encoder of single frames lacks and a video encoder has: without it a probe cannot tell
    the order of frames. Feature k of each half turns by 10000^(-k / half) a step, as positions do
    in "Attention is all you need" (arXiv 1706.03762, 3.5).
    """
    half = -(-dim // 2)
    angles = np.arange(steps)[:, None] * 10000.0 ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :dim].astype(np.float32)
