"""The table of benchmarks, and a look at one copy of a data set, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unisurg.benchmarks import REGISTRY, Benchmark, BenchmarkError, find
from unisurg.benchmarks.base import PARTS, NamedSplit, Part
from unisurg.benchmarks.check import Check, check
from unisurg.evaluation.published import published
from unisurg.settings import load
from unisurg.stages import aligned


class CopyUnusable(ValueError):
    """A copy has errors; they have been printed."""


def list_benchmarks(as_json: bool = False) -> str:
    """One row per benchmark: task, classes, cases per part, metric, published results, licence.

    As JSON also the splits, the access and every published number; the text shows UniSurg's own.
    """
    rows = [_row(benchmark) for benchmark in REGISTRY.values()]
    if as_json:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    header = [
        "name",
        "task",
        "classes",
        "train/val/test",
        "metric",
        "UniSurg, published",
        "licence",
    ]
    return aligned([header, *(_cells(row) for row in rows)])


def run_check(
    name: str, root: Path | None, split: str | None, settings_file: Path, as_json: bool = False
) -> None:
    """Print what is in the copy at `root`, or at the root that block `name` of the settings names.

    Args:
        name: a benchmark; or any name, where `root` holds a labels.csv of your own.
        split: the block's when there is no `root`, else the first of the benchmark's.

    Raises:
        CopyUnusable: after printing, if the copy has errors.
        BenchmarkError: there is no such benchmark or split.
    """
    result = _check(name, root, split, settings_file)
    print(result.as_json() if as_json else result.as_text())
    if not result.usable:
        errors = sum(finding.severity == "error" for finding in result.findings.found)
        raise CopyUnusable(f"{result.findings.root}: {errors} errors, see above")


def _check(name: str, root: Path | None, split: str | None, settings_file: Path) -> Check:
    if root is None:
        blocks = load(settings_file).benchmarks
        if name not in blocks:
            raise BenchmarkError(
                settings_file, f"no block benchmarks.{name}", "name the copy with --root"
            )
        root, split = blocks[name].root, split or blocks[name].split
    try:
        benchmark = find(name, root)
    except KeyError as error:
        raise BenchmarkError(
            root, str(error.args[0]), "choose one, or write a labels.csv of your own"
        ) from None
    return check(benchmark, root, split or next(iter(benchmark.splits)))


def _row(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "name": benchmark.name,
        "title": benchmark.title,
        "task": benchmark.task,
        "classes": list(benchmark.classes),
        "cases": dict(_sizes(benchmark) or {}),
        "splits": {name: split.note for name, split in benchmark.splits.items()},
        "metric": benchmark.main,
        "licence": benchmark.licence,
        "access": benchmark.access,
        "published": [
            {
                "metric": row.metric,
                "model": row.model,
                "value": row.value,
                "share": row.share,
                "source": row.source,
            }
            for row in published(benchmark.name)
        ],
    }


def _sizes(benchmark: Benchmark) -> Mapping[Part, int] | None:
    """Cases per part as published, else as the first split lists them; None where none does."""
    if benchmark.counts is not None:
        return benchmark.counts.cases
    first = next(iter(benchmark.splits.values()))
    if not isinstance(first, NamedSplit):
        return None
    return dict(zip(PARTS, map(len, (first.train, first.val, first.test)), strict=True))


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    cases: Mapping[str, int] = row["cases"]
    ours = [
        f"{found['metric']} {100 * found['value'] if found['share'] else found['value']:.2f}"
        for found in row["published"]
        if found["model"].startswith("UniSurg")
    ]
    return [
        row["name"],
        row["task"],
        str(len(row["classes"])),
        "/".join(str(cases.get(part, "-")) for part in PARTS),
        row["metric"],
        ", ".join(ours) or "-",
        row["licence"],
    ]
