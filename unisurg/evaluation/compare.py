"""Encoders side by side on one benchmark, each against a reference, paired by case and by seed.

For the main kind of head everything is computed anew from the tables that the probe left, with the
draws of cases it used, so any encoder may be the reference. Of other kinds only what the probe
wrote down is known: the differences between the pretrained encoder and each other one.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.evaluation import statistics
from unisurg.evaluation.reported import (
    Comparison,
    Head,
    Measures,
    ReportedError,
    Results,
    lower_is_better,
    metrics_path,
    read_results,
    read_tuned,
)
from unisurg.evaluation.store import PRETRAINED, RANDOM
from unisurg.settings import Settings

Table = np.ndarray
Estimate = statistics.Estimate


class CompareError(ValueError):
    """There is nothing of that name to compare; the message names what there is."""


@dataclass(frozen=True)
class Row:
    """One encoder; `difference` is this encoder minus the reference, None where it is not known.

    `ahead` counts the seeds in which this encoder is better than the reference. `tuned` says that
    the whole encoder was trained; such rows are compared with the tuned reference.
    """

    encoder: str
    tuned: bool
    estimate: Estimate
    difference: Estimate | None = None
    ahead: int | None = None

    def as_dict(self) -> dict[str, Any]:
        gain = None if self.difference is None else self.difference.as_dict()
        return {**vars(self), "estimate": self.estimate.as_dict(), "difference": gain}


@dataclass(frozen=True)
class SideBySide:
    """All encoders on one benchmark by one metric and one kind of head, the reference first."""

    benchmark: str
    split: str
    protocol: str
    window: str
    lookahead_s: float | None
    lookahead: str
    metric: str
    kind: str
    test_cases: int
    unit: str
    reference: str
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "rows": [row.as_dict() for row in self.rows]}


def tables_path(benchmark: str) -> Path:
    """Tables of the main kind of head, below the repository's root."""
    return Path("artifacts/probe") / benchmark / "tables.npz"


def measured(root: Path, settings: Settings) -> list[str]:
    """Benchmarks of the settings that have results, in their order."""
    return [name for name in settings.benchmarks if (root / metrics_path(name)).is_file()]


def compare(
    root: Path,
    benchmark: str,
    settings: Settings,
    metric: str | None = None,
    reference: str = PRETRAINED,
    kind: str | None = None,
) -> SideBySide:
    """Put the encoders of one benchmark side by side.

    Args:
        root: the repository's root.
        metric: exact name [the benchmark's main metric].
        reference: the encoder that the others are held against.
        kind: of head [the main one].

    Raises:
        ReportedError: results are missing or cannot be read; naming the command for them.
        CompareError: no such benchmark, metric, encoder or kind.
    """
    if benchmark not in settings.benchmarks:
        raise CompareError(_unknown("benchmark", benchmark, settings.benchmarks))
    found = read_results(root, benchmark)
    if found is None:
        path = root / metrics_path(benchmark)
        raise ReportedError(f"{path}: no such file; `dvc repro probe@{benchmark}` makes it")
    metric, kind = metric or found.main, kind or found.kind
    if kind not in found.heads:
        raise CompareError(_unknown("kind of head", kind, found.heads))
    head = found.heads[kind]
    if metric not in head.pretrained:
        raise CompareError(_unknown("metric", metric, head.pretrained))
    if kind == found.kind:
        path = root / tables_path(benchmark)
        tables, groups = read_tables(path, metric), read_groups(path)
        rows = from_tables(tables, groups, metric, reference, settings)
    else:
        rows = from_facts(head, metric, reference)
    return SideBySide(
        benchmark=benchmark,
        metric=metric,
        kind=kind,
        reference=reference,
        test_cases=found.cases["test"],
        rows=(*rows, *_tuned(root, benchmark, metric, reference)),
        **_protocol(found),
    )


def read_tables(path: Path, metric: str) -> dict[str, dict[int, Table]]:
    """Tables of one metric by encoder, then by seed, in the file's order.

    Raises:
        ReportedError: the file is missing or is none, or has no table of that metric.
    """
    tables: dict[str, dict[int, Table]] = {}
    with _opened(path) as stored:
        for name in stored.files:
            encoder, _, rest = name.partition("/")
            seed, _, of = rest.partition("/")
            if of == metric:
                tables.setdefault(encoder, {})[int(seed)] = stored[name]
        if PRETRAINED not in tables:
            raise ValueError(f"no table {PRETRAINED}/SEED/{metric}")
    return tables


def read_groups(path: Path) -> list[str]:
    """The group of each test case, in the order of the tables; errors as of `read_tables`."""
    with _opened(path) as stored:
        return [str(group) for group in stored["groups"]]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file of tables; what cannot be read of it is an error with the command for a new one."""
    stage = f"probe@{path.parent.name}"
    if not path.is_file():
        raise ReportedError(f"{path}: no such file; `dvc repro {stage}` makes it")
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise ReportedError(
            f"{path}: not a readable file of tables ({error}); write it anew with"
            f" `dvc repro -f -s {stage}`"
        ) from None


def from_tables(
    tables: Mapping[str, Mapping[int, Table]],
    groups: Sequence[str],
    metric: str,
    reference: str,
    settings: Settings,
) -> list[Row]:
    """Rows of all encoders from their tables by seed, with the draws of cases that probes use.

    Differences pair the seeds that both encoders have. Replicates bring their own draws. An encoder
    without a number under any seed has no row.

    Args:
        groups: of each case, see `statistics.draw_groups`.
    """
    tables = {encoder: found for encoder, found in tables.items() if _has_a_number(found)}
    if reference not in tables:
        raise CompareError(_unknown("encoder", reference, tables))
    theirs = tables[reference]
    draws = statistics.draw_groups(groups, settings.probe.bootstrap, settings.seed)
    rows = []
    for encoder in _first(reference, tables):
        ours = tables[encoder]
        shared = [seed for seed in ours if seed in theirs]
        gain = None
        if encoder != reference and shared:
            pairs = [ours[seed] for seed in shared], [theirs[seed] for seed in shared]
            gain = statistics.difference(*pairs, draws)
        estimate = statistics.estimate([*ours.values()], draws)
        rows.append(_row(encoder, False, metric, estimate, gain))
    return rows


def from_facts(head: Head, metric: str, reference: str) -> list[Row]:
    """Rows of all encoders from what was reported of a kind of head.

    Raises:
        CompareError: the reference was not measured.
    """
    measures: dict[str, Measures] = {PRETRAINED: head.pretrained}
    pretrained_minus: dict[str, Measures] = {}
    if head.random:
        measures[RANDOM], pretrained_minus[RANDOM] = head.random, head.difference
    for name, baseline in head.baselines.items():
        measures[name], pretrained_minus[name] = baseline.metrics, baseline.difference
    measures = {name: found for name, found in measures.items() if metric in found}
    if reference not in measures:
        raise CompareError(_unknown("encoder", reference, measures))
    rows = []
    for encoder in _first(reference, measures):
        gain = None
        if encoder == PRETRAINED and reference != PRETRAINED:
            gain = _estimate(pretrained_minus[reference], metric)
        elif encoder != PRETRAINED and reference == PRETRAINED:
            gain = negated(_estimate(pretrained_minus[encoder], metric))
        estimate = _estimate(measures[encoder], metric)
        assert estimate is not None
        rows.append(_row(encoder, False, metric, estimate, gain))
    return rows


def negated(difference: Estimate | None) -> Estimate | None:
    """The same difference seen from the other side."""
    if difference is None:
        return None
    seeds = tuple(-seed for seed in difference.seeds)
    return Estimate(-difference.mean, -difference.high, -difference.low, seeds)


def _tuned(root: Path, benchmark: str, metric: str, reference: str) -> list[Row]:
    """Fine-tuned encoders, where they have been measured by that metric."""
    found: Comparison | None = read_tuned(root, benchmark)
    if found is None or metric not in found.pretrained:
        return []
    pair = Head(pretrained=found.pretrained, random=found.random, difference=found.difference)
    known = reference if reference in (PRETRAINED, RANDOM) and found.random else PRETRAINED
    return [
        Row(row.encoder, True, row.estimate, row.difference, row.ahead)
        for row in from_facts(pair, metric, known)
    ]


def _has_a_number(tables: Mapping[int, Table]) -> bool:
    return any(math.isfinite(statistics.value(table)) for table in tables.values())


def _row(encoder: str, tuned: bool, metric: str, estimate: Estimate, gain: Estimate | None) -> Row:
    if gain is None or not math.isfinite(gain.mean):  # no seed in which both have a number
        return Row(encoder, tuned, estimate)
    better = -1 if lower_is_better(metric) else 1
    return Row(encoder, tuned, estimate, gain, sum(better * seed > 0 for seed in gain.seeds))


def _estimate(measures: Measures, metric: str) -> Estimate | None:
    found = measures.get(metric)
    if found is None:
        return None
    seeds = tuple(math.nan if seed is None else seed for seed in found.seeds)
    return Estimate(found.mean, found.low, found.high, seeds)


def _first(reference: str, encoders: Mapping[str, object]) -> Sequence[str]:
    return [reference, *(name for name in encoders if name != reference)]


def _protocol(found: Results) -> dict[str, Any]:
    names = ("split", "protocol", "window", "lookahead_s", "lookahead", "unit")
    return {name: getattr(found, name) for name in names}


def _unknown(what: str, name: str, known: Mapping[str, object]) -> str:
    return f"no {what} {name!r}; there are: {', '.join(known)}"
