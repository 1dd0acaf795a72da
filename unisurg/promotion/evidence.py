"""What a decision rests on, in the layout of the repository, so that a copy reads as the original.

Copied are the results and tables of all probes, the accounts of leaks and of validation, the
manifest, identity files, and dvc.lock with what it refers to: enough to compare a later model with
this one, and to follow its lineage, when the checkout has long moved on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg import lineage
from unisurg.attempts import IDENTITIES
from unisurg.evaluation.compare import read_groups, read_tables, tables_path
from unisurg.evaluation.reported import METRICS, ReportedError, Results, read_results
from unisurg.evaluation.store import PRETRAINED

PACKAGE = Path("artifacts/package")
LEAK, VALIDATION = Path("artifacts/leak"), Path("artifacts/validation")
MANIFEST = Path("artifacts/corpus/manifest.parquet")
TUNED = ("tuning/untuned.yaml", "artifacts/tune/best.yaml")
"""What `pretrain.tuned` may name."""
GRAPH = (
    *("params.yaml", "dvc.yaml", "dvc.lock", "[!.]*/dvc.yaml", "[!.]*/dvc.lock"),
    "[!.]*.dvc",
)


@dataclass(frozen=True)
class Measured:
    """What the probe of a benchmark measured of the pretrained encoder, by its main metric.

    `tables` are those of each seed, see `unisurg.evaluation.statistics`, a row per case; `draws`
    are the seed and the number of draws of cases that replicates were made with.
    """

    results: Results
    tables: Mapping[int, np.ndarray]
    cases: tuple[str, ...]
    groups: tuple[str, ...]
    draws: tuple[Any, Any]


def copy(root: Path, target: Path) -> None:
    """Copy the evidence of a repository, as much as is there."""
    for source in _files(root):
        place = target / source.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def measured(root: Path, benchmark: str) -> Measured:
    """What was measured of a benchmark.

    Args:
        root: of the repository, or of a copy of its evidence.

    Raises:
        ReportedError: results or tables are missing or cannot be read.
    """
    results = read_results(root, benchmark)
    if results is None:
        raise ReportedError(
            f"{METRICS / benchmark}.json: no such file; `dvc repro probe@{benchmark}` makes it"
        )
    path = root / tables_path(benchmark)
    tables = read_tables(path, results.main)[PRETRAINED]
    groups = read_groups(path)
    with np.load(path, allow_pickle=False) as stored:
        cases = [str(case) for case in stored["cases"]]
    params = lineage.read_lock(root).params.get(f"probe@{benchmark}", {})
    draws = (params.get("seed"), params.get("probe", {}).get("bootstrap"))
    return Measured(results, tables, tuple(cases), tuple(groups), draws)


def _files(root: Path) -> Iterator[Path]:
    for pattern in (*GRAPH, *TUNED, tables_path("*").as_posix(), MANIFEST.as_posix()):
        yield from sorted(root.glob(pattern))
    for folder in (METRICS, IDENTITIES, LEAK, VALIDATION):
        yield from sorted(path for path in (root / folder).rglob("*") if path.is_file())
