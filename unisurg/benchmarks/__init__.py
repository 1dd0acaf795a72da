"""The table of benchmarks, and a look at one copy of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import (
    PARTS,
    Benchmark,
    BenchmarkError,
    Case,
    PictureCase,
    VideoCase,
)
from unisurg.benchmarks.cholec80 import CHOLEC80
from unisurg.benchmarks.kvasir import KVASIR, read_mask

__all__ = ["REGISTRY", "Benchmark", "BenchmarkError", "PictureCase", "VideoCase", "check", "find"]

REGISTRY: dict[str, Benchmark] = {"cholec80": CHOLEC80, "kvasir": KVASIR}


def find(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        KeyError: naming the benchmarks there are.
    """
    if name not in REGISTRY:
        raise KeyError(f"no benchmark {name!r}; there are: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def check(name: str, root: Path, split: str) -> dict[str, Any]:
    """Read every label of a copy and count it.

    Returns `cases` and `labels` per part of the split; `labels` counts seconds per class for videos
    and pixels per class for pictures.

    Raises:
        BenchmarkError: on the first file that cannot be used.
    """
    benchmark = find(name)
    cases = benchmark.read(Path(root), split)
    parts = {part: [case for case in cases if case.split == part] for part in PARTS}
    return {
        "benchmark": name,
        "root": str(root),
        "split": split,
        "note": benchmark.splits[split].note,
        "unit": benchmark.unit,
        "cases": {part: len(of_part) for part, of_part in parts.items()},
        "labels": {part: _histogram(benchmark, of_part) for part, of_part in parts.items()},
    }


def _histogram(benchmark: Benchmark, cases: list[Case]) -> dict[str, int]:
    counts = np.zeros(len(benchmark.classes), np.int64)
    for case in cases:
        labels = case.labels if isinstance(case, VideoCase) else read_mask(case.mask).ravel()
        counts += np.bincount(labels.astype(np.int64), minlength=len(counts))
    return dict(zip(benchmark.classes, counts.tolist(), strict=True))
