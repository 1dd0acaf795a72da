"""Measure whether the protocol `fast` may stand in for `dense`, and say so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unisurg.evaluation.neutrality import Pair, Verdict, judge, measure
from unisurg.settings import Settings
from unisurg.stages import aligned

SCRATCH = Path(".scratch/neutrality")
DEFAULT = ("cholec80", "autolaparo")
HEAD = (
    "benchmark", "encoder", "accuracy dense", "fast", "difference", "half-width", "(b)",
    "main dense", "fast",
)  # fmt: skip


def run(
    settings: Settings, benchmarks: Sequence[str] | None, encoder: Path, output: Path | None
) -> None:
    """Measure, print the table and the verdict, and write all of it to `output` as JSON.

    Raises:
        NeutralityError: the rule cannot be measured on these benchmarks.
    """
    names = benchmarks or [name for name in DEFAULT if name in settings.benchmarks]
    verdict = judge(measure(names, settings, encoder, SCRATCH))
    print(as_text(verdict))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(as_facts(verdict), indent=2) + "\n", encoding="utf-8")


def as_text(verdict: Verdict) -> str:
    """A row per benchmark and encoder in %, the rankings, and the verdict in a sentence."""
    lines = [aligned([HEAD, *map(_cells, verdict.pairs)])]
    for ranking in verdict.rankings:
        said = "the same" if ranking.same else "NOT the same"
        lines.append(
            f"{ranking.benchmark}: (a) ranking {said}: dense {' > '.join(ranking.dense)};"
            f" fast {' > '.join(ranking.fast)}"
        )
    names = " and ".join(ranking.benchmark for ranking in verdict.rankings)
    may = "may stand in" if verdict.neutral else "may not stand in"
    lines.append(f"fast {may} for dense for development on {names}; final tables are dense")
    return "\n".join(lines)


def as_facts(verdict: Verdict) -> dict[str, Any]:
    """Everything measured, and each part of the rule."""
    return {
        "neutral": verdict.neutral,
        "pairs": [
            {**asdict(pair), "half_width": pair.half_width, "close": pair.close}
            for pair in verdict.pairs
        ],
        "rankings": [{**asdict(ranking), "same": ranking.same} for ranking in verdict.rankings],
    }


def _cells(pair: Pair) -> tuple[str, ...]:
    numbers = (pair.dense.mean, pair.fast.mean)
    return (
        pair.benchmark,
        pair.encoder,
        *(f"{100 * number:.1f}" for number in numbers),
        f"{100 * (pair.fast.mean - pair.dense.mean):+.1f}",
        f"{100 * pair.half_width:.1f}",
        "holds" if pair.close else "broken",
        f"{100 * pair.dense_main:.1f}",
        f"{100 * pair.fast_main:.1f}",
    )
