"""What makes a model unfit to be champion whatever it scores: a sentence for everything found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from unisurg.benchmarks import REGISTRY
from unisurg.chain import Records, altered, follow
from unisurg.corpus import tables
from unisurg.corpus.leak import CHECKED
from unisurg.corpus.leakage import COVERAGE, read_coverage
from unisurg.corpus.manifest import MANIFEST, read_manifest
from unisurg.evaluation.compare import tables_path
from unisurg.evaluation.reported import metrics_path
from unisurg.promotion.evidence import LEAK, PACKAGE, VALIDATION

PROCEDURES = "procedures.csv"


def unclean(
    records: Records, benchmarks: Sequence[str], require: Literal["all"] | Sequence[str]
) -> list[str]:
    """Every reason, of validation, leaks and lineage; none of a clean model.

    Args:
        benchmarks: of the gate.
        require: those that must be checked by content, as `leaks.require`.
    """
    return [
        *invalid(records.root),
        *leaky(records.root, require),
        *unproven(records, benchmarks),
    ]


def invalid(root: Path) -> Iterator[str]:
    """Why the data did not pass validation."""
    path = VALIDATION / "validation.json"
    if not (root / path).is_file():
        yield f"{path}: no such file, so that nobody knows whether the data are valid."
        return
    found = json.loads((root / path).read_text(encoding="utf-8"))
    broken = [rule for rule in found["rules"] if not rule["success"]]
    if broken or not found["success"]:
        told = "; ".join(f"{rule['table']}: {rule['rule']}" for rule in broken)
        yield f"{len(broken)} of {len(found['rules'])} rules on the data are broken ({told})."


def leaky(root: Path, require: Literal["all"] | Sequence[str]) -> Iterator[str]:
    """Held-out operations that were trained on, and benchmarks that nobody looked for."""
    for path in (LEAK / COVERAGE, LEAK / "leak_hits.parquet", LEAK / PROCEDURES):
        if not (root / path).is_file():
            yield f"{path}: no such file, so that nobody knows what was leaked."
            return
    corpus = root / "artifacts/corpus"
    if not (corpus / MANIFEST).is_file():
        yield f"artifacts/corpus/{MANIFEST}: no such file, so that nobody knows what was used."
        return
    hits = tables.of(root / LEAK, "leak_hits")
    procedures = pd.read_csv(root / LEAK / PROCEDURES, dtype=str)
    held_out = set(hits["procedure_id"])
    gone = set(procedures[procedures["procedure_id"].isin(held_out)]["video_id"])
    kept = sorted((gone | set(hits["a_id"])) & set(read_manifest(corpus)["video_id"]))
    if kept:
        of = ", ".join(sorted(set(hits["benchmark"])))
        yield (
            f"{len(kept)} recordings of operations that {of} hold out were trained on:"
            f" {', '.join(kept)}."
        )
    covered = read_coverage(root / LEAK).set_index("benchmark")["state"]
    for name in REGISTRY if require == "all" else require:
        if covered.get(name) != CHECKED:
            state = covered.get(name, "not on record")
            yield f"leaks.require names {name}, which is {state}; it must be {CHECKED}."


def unproven(records: Records, benchmarks: Sequence[str]) -> Iterator[str]:
    """Links that are missing between the model, its numbers and the data."""
    files = [str(PACKAGE)]
    for name in benchmarks:
        files += [metrics_path(name).as_posix(), tables_path(name).parent.as_posix()]
    for wrong in filter(None, (altered(records, path) for path in files)):
        yield f"{wrong}."
    stages = ["package", *(f"probe@{name}" for name in benchmarks)]
    yield from (f"{wrong}." for wrong in follow(records, stages).missing)
