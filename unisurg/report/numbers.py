"""results.json: the main numbers of the page for programs, each with the run that it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unisurg.attempts import IDENTITIES, failures, identity_name
from unisurg.evaluation.reported import (
    Comparison,
    Estimate,
    Results,
    metrics_path,
    read_results,
    read_tuned,
    tuned_path,
)
from unisurg.settings import Settings

Row = dict[str, Any]


def write(root: Path, settings: Settings, output: Path) -> Path:
    """Write the main metric of every benchmark that has a result, and return `output`.

    A row: benchmark, split, metric, method (probe | finetune), encoder (pretrained, random, or a
    baseline; `X minus Y` of a paired difference), mean, low, high over test cases, file, stage,
    run_id, commit, dirty. What a failed stage left before is not among them.

    Raises:
        ReportedError: a file of results is not what its stage writes.
    """
    failed = failures(root)
    rows = [row for row in rows_of(root, settings) if row["stage"] not in failed]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"numbers": rows}, indent=1) + "\n", encoding="utf-8")
    return output


def rows_of(root: Path, settings: Settings) -> Iterator[Row]:
    """The rows of all results below the repository's root."""
    for benchmark in settings.benchmarks:
        probed = read_results(root, benchmark)
        if probed is not None:
            facts = _facts(root, f"probe@{benchmark}", metrics_path(benchmark))
            yield from _rows(benchmark, "probe", probed.split, probed.main, probed, facts)
            yield from _baselines(benchmark, probed, facts)
    for benchmark in settings.finetune.benchmarks:
        tuned, split = read_tuned(root, benchmark), settings.benchmarks[benchmark].split
        if tuned is not None:
            facts = _facts(root, f"finetune@{benchmark}", tuned_path(benchmark))
            yield from _rows(benchmark, "finetune", split, tuned.main, tuned, facts)


def _rows(
    benchmark: str, method: str, split: str, main: str, found: Comparison, facts: Row
) -> Iterator[Row]:
    measured = {
        "pretrained": found.pretrained,
        "random": found.random,
        "pretrained minus random": found.difference,
    }
    for encoder, measures in measured.items():
        if main in measures:
            yield _row(benchmark, method, split, main, encoder, measures[main], facts)


def _baselines(benchmark: str, found: Results, facts: Row) -> Iterator[Row]:
    for name, baseline in found.baselines.items():
        measured = {name: baseline.metrics, f"pretrained minus {name}": baseline.difference}
        for encoder, measures in measured.items():
            if found.main in measures:
                value = measures[found.main]
                yield _row(benchmark, "probe", found.split, found.main, encoder, value, facts)


def _row(
    benchmark: str, method: str, split: str, main: str, encoder: str, value: Estimate, facts: Row
) -> Row:
    return {
        "benchmark": benchmark,
        "split": split,
        "metric": main,
        "method": method,
        "encoder": encoder,
        "mean": value.mean,
        "low": value.low,
        "high": value.high,
        **facts,
    }


def _facts(root: Path, stage: str, file: Path) -> Row:
    """Where a number stands and which run made it, None where that is not known."""
    path = root / IDENTITIES / identity_name(stage)
    identity = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known = {name: identity.get(name) for name in ("run_id", "commit", "dirty")}
    return {"file": file.as_posix(), "stage": stage, **known}
