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
    DepthCase,
    Finding,
    Findings,
    PictureCase,
    SkillCase,
    TripletCase,
    VideoCase,
)
from unisurg.benchmarks.c3vd import C3VD
from unisurg.benchmarks.cholec80 import CHOLEC80
from unisurg.benchmarks.cholect50 import CHOLECT50
from unisurg.benchmarks.egosurgery import EGOSURGERY
from unisurg.benchmarks.jigsaws import JIGSAWS
from unisurg.benchmarks.m2cai16 import M2CAI16
from unisurg.benchmarks.ophnet import OPHNET
from unisurg.benchmarks.own import LABELS, own
from unisurg.benchmarks.pitvis import PITVIS
from unisurg.benchmarks.pmlr50 import PMLR50
from unisurg.benchmarks.polypdiag import POLYPDIAG
from unisurg.benchmarks.polyps import CLINICDB, COLONDB, CVC300, ETIS, KVASIR
from unisurg.benchmarks.surgicalactions160 import SURGICALACTIONS160

__all__ = [
    "REGISTRY",
    "Benchmark",
    "BenchmarkError",
    "ClipCase",
    "DepthCase",
    "Finding",
    "Findings",
    "PictureCase",
    "SkillCase",
    "TripletCase",
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
        CHOLECT50,
        JIGSAWS,
        KVASIR,
        CLINICDB,
        CVC300,
        COLONDB,
        ETIS,
        C3VD,
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
