"""The table of benchmarks: one file per data set, one row here."""

from __future__ import annotations

from pathlib import Path

from unisurg.benchmarks.atlas import ATLAS
from unisurg.benchmarks.autolaparo import AUTOLAPARO
from unisurg.benchmarks.avos import AVOS
from unisurg.benchmarks.base import (
    Benchmark,
    BenchmarkError,
    ClipCase,
    Finding,
    Findings,
    PictureCase,
    VideoCase,
)
from unisurg.benchmarks.cholec80 import CHOLEC80
from unisurg.benchmarks.egosurgery import EGOSURGERY
from unisurg.benchmarks.kvasir import KVASIR
from unisurg.benchmarks.m2cai16 import M2CAI16
from unisurg.benchmarks.ophnet import OPHNET
from unisurg.benchmarks.own import LABELS, own
from unisurg.benchmarks.pitvis import PITVIS
from unisurg.benchmarks.pmlr50 import PMLR50
from unisurg.benchmarks.polypdiag import POLYPDIAG
from unisurg.benchmarks.surgicalactions160 import SURGICALACTIONS160

__all__ = [
    "REGISTRY",
    "Benchmark",
    "BenchmarkError",
    "ClipCase",
    "Finding",
    "Findings",
    "PictureCase",
    "VideoCase",
    "find",
]

REGISTRY: dict[str, Benchmark] = {
    row.name: row
    for row in (
        CHOLEC80,
        AUTOLAPARO,
        M2CAI16,
        PITVIS,
        EGOSURGERY,
        ATLAS,
        OPHNET,
        PMLR50,
        SURGICALACTIONS160,
        AVOS,
        POLYPDIAG,
        KVASIR,
    )
}


def find(name: str, root: Path | None = None) -> Benchmark:
    """The benchmark of that name; for any other name your own data at `root`, if it has labels.

    Raises:
        KeyError: naming the benchmarks there are.
        BenchmarkError: `root` holds a labels.csv without a readable label.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    if root is not None and (Path(root) / LABELS).is_file():
        return own(name, root)
    raise KeyError(f"no benchmark {name!r}; there are: {', '.join(REGISTRY)}")
