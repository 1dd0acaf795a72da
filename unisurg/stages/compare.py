"""Encoders side by side, for people and programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from unisurg.evaluation.compare import CompareError, Row, SideBySide, compare, measured
from unisurg.evaluation.reported import ReportedError, known, spanned, unit_of, written
from unisurg.evaluation.statistics import Estimate
from unisurg.settings import Settings
from unisurg.stages import aligned


def run(
    settings: Settings,
    benchmark: str | None,
    metric: str | None,
    reference: str,
    kind: str | None,
    as_json: bool,
) -> None:
    """Print one benchmark as a table, or without a name all that have results, a line each.

    Raises:
        ReportedError, CompareError: nothing to compare; naming the command or the names there are.
    """
    root = Path()
    if benchmark:
        side = compare(root, benchmark, settings, metric, reference, kind)
        print(json.dumps(side.as_dict(), indent=2) if as_json else table(side))
        return
    found = []
    for name in measured(root, settings):
        try:
            found.append(compare(root, name, settings, metric, reference, kind))
        except CompareError as error:
            print(f"unisurg: {name} is left out: {error}", file=sys.stderr)
    if not found:
        raise ReportedError("metrics: nothing to compare; `dvc repro` makes every result")
    print(json.dumps([s.as_dict() for s in found], indent=2) if as_json else lines(found))


def table(side: SideBySide) -> str:
    """A heading that names every rule, and a row per encoder."""
    heading = (
        f"{side.benchmark}, {side.metric}, {side.kind} head; split {side.split},"
        f" {side.test_cases} test {side.unit}s; protocol {side.protocol}, {side.window} windows"
    )
    if side.lookahead:
        heading += f", LOOKAHEAD {side.lookahead}"
    value = ", ".join(part for part in (unit_of(side.metric), "95 % interval") if part)
    head = ["encoder", value, "seeds", f"minus {side.reference}", "seeds ahead"]
    rows = [_cells(side.metric, row) for row in side.rows]
    return f"{heading}\n{aligned([head, *rows])}"


def lines(found: Sequence[SideBySide]) -> str:
    """A line per benchmark: every frozen encoder, and how it differs from the reference."""
    rows = [["benchmark", "metric", "% or its unit, and minus the reference [95 % interval]"]]
    for side in found:
        frozen = [row for row in side.rows if not row.tuned]
        told = "; ".join(_brief(side.metric, row) for row in frozen)
        rows.append([side.benchmark, side.metric, told])
    return aligned(rows)


def _brief(metric: str, row: Row) -> str:
    brief = f"{row.encoder} {written(metric, row.estimate.mean)}"
    if row.difference is None:
        return brief
    return f"{brief} ({_interval(metric, row.difference, '+')})"


def _cells(metric: str, row: Row) -> list[str]:
    gain = row.difference
    return [
        f"{row.encoder}, fine-tuned" if row.tuned else row.encoder,
        _interval(metric, row.estimate),
        " ".join(written(metric, seed) for seed in row.estimate.seeds),
        "-" if gain is None else _interval(metric, gain, "+"),
        "-" if gain is None else f"{row.ahead} of {len(known(gain.seeds))}",
    ]


def _interval(metric: str, found: Estimate, sign: str = "") -> str:
    return spanned(metric, found.mean, found.low, found.high, sign)
