"""What a probe leaves behind: metrics/NAME.json and tables.npz; and which predictions are shown.

NAME.json         facts of the benchmark and its protocol; every metric of the main kind of head
                  with its interval, the differences, the choices; `baselines`, `kinds` and
                  `label_efficiency`
tables.npz        `ENCODER/SEED/METRIC`, a table of the main kind (cases, columns) or (cases,
                  columns, 2), see `unisurg.evaluation.statistics`; `cases`, their names, and
                  `groups`, of which those of one name are drawn together
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks import REGISTRY
from unisurg.benchmarks.base import PARTS
from unisurg.evaluation import statistics
from unisurg.evaluation.probing.choosing import Chosen
from unisurg.evaluation.probing.runs import WHOLE, Run
from unisurg.evaluation.probing.subsets import subset_size
from unisurg.evaluation.statistics import Estimate
from unisurg.evaluation.store import PRETRAINED, RANDOM, Store, StoredCase

Tables = dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """Tables and choices of all runs, and the draws (D, V) of test cases that all tables share."""

    tables: Mapping[Run, Tables]
    chosen: Mapping[Run, Chosen]
    draws: np.ndarray

    @property
    def kinds(self) -> list[str]:
        """Names of the kinds of heads, the main one first."""
        return list(dict.fromkeys(run.kind for run in self.tables))

    @property
    def encoders(self) -> list[str]:
        return list(dict.fromkeys(run.encoder for run in self.tables))

    @property
    def baselines(self) -> list[str]:
        return [name for name in self.encoders if name not in (PRETRAINED, RANDOM)]

    def runs(self, kind: str, encoder: str, share: float = WHOLE) -> list[Run]:
        """The runs of all seeds."""
        wanted = (kind, encoder, share)
        return [run for run in self.tables if (run.kind, run.encoder, run.share) == wanted]

    def of_seeds(self, metric: str, runs: Sequence[Run]) -> list[np.ndarray]:
        return [self.tables[run][metric] for run in runs]

    def estimate(self, metric: str, runs: Sequence[Run]) -> Estimate:
        return statistics.estimate(self.of_seeds(metric, runs), self.draws)

    def difference(self, metric: str, ours: Sequence[Run], theirs: Sequence[Run]) -> Estimate:
        return statistics.difference(
            self.of_seeds(metric, ours), self.of_seeds(metric, theirs), self.draws
        )

    def metrics(self, kind: str, encoder: str) -> dict[str, Any]:
        """Every metric of an encoder by its exact name, for a file."""
        runs = self.runs(kind, encoder)
        return statistics.known(
            (metric, self.estimate(metric, runs)) for metric in self.tables[runs[0]]
        )

    def differences(self, kind: str, encoder: str) -> dict[str, Any]:
        """Of every metric the pretrained encoder minus another one, for a file."""
        ours, theirs = self.runs(kind, PRETRAINED), self.runs(kind, encoder)
        return statistics.known(
            (metric, self.difference(metric, ours, theirs)) for metric in self.tables[ours[0]]
        )

    def choices(self, kind: str, encoder: str) -> dict[str, Any]:
        """Choices by seed; none of a kind that is made of another without a choice."""
        runs = self.runs(kind, encoder)
        return {str(run.seed): self.chosen[run].facts() for run in runs if run in self.chosen}


def results(data: Store, outcome: Outcome) -> dict[str, Any]:
    """The content of metrics/NAME.json, without parts that have no case and choices not made."""
    index = data.index
    parts = {part: cases for part in PARTS if (cases := data.cases(part))}
    main, *others = outcome.kinds
    found: dict[str, Any] = {
        "benchmark": index.benchmark,
        "task": index.task,
        "split": index.split,
        "cases": {part: len(cases) for part, cases in parts.items()},
        "clips": {part: sum(map(_clips, cases)) for part, cases in parts.items()},
        **_overlaps(index.benchmark, [case.case for case in parts["test"]]),
        "unit": index.unit,
        "protocol": index.protocol,
        "window": index.window,
        "lookahead_s": index.lookahead_s,
        "lookahead_frames": index.lookahead_frames,
        "frames": index.frames,
        "fps": index.fps,
        "main": index.main,
        "kind": main,
        **_of_kind(outcome, main),
        "kinds": {kind: _of_kind(outcome, kind) for kind in others},
    }
    if all(run.share == WHOLE for run in outcome.tables):
        return found
    fitted = len(parts["train"]) + (len(parts["val"]) if index.refit else 0)
    return {**found, "label_efficiency": _label_efficiency(outcome, index.main, fitted)}


def _overlaps(benchmark: str, test: Sequence[str]) -> dict[str, list[str]]:
    """Test cases that another data set trains on, by the name under which that is reported."""
    return REGISTRY[benchmark].overlaps_in(test) if benchmark in REGISTRY else {}


def write_results(path: Path, found: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def write_tables(output: Path, cases: Sequence[StoredCase], tables: Mapping[Run, Tables]) -> None:
    """`output/tables.npz`: what paired comparisons of the main kind are made of."""
    main = next(iter(tables)).kind
    arrays = {
        f"{run.encoder}/{run.seed}/{metric}": table
        for run, of_run in tables.items()
        if (run.kind, run.share) == (main, WHOLE)
        for metric, table in of_run.items()
    }
    arrays["cases"] = np.array([case.case for case in cases])
    arrays["groups"] = np.array([case.group for case in cases])
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / "tables.npz", allow_pickle=False, **arrays)


def shown(predictions: Mapping[Run, Sequence[np.ndarray]]) -> dict[str, Sequence[np.ndarray]]:
    """What the first seed of the main kind predicts, by encoder."""
    first = next(iter(predictions))
    return {
        run.encoder: found
        for run, found in predictions.items()
        if (run.kind, run.seed, run.share) == (first.kind, first.seed, WHOLE)
    }


def _of_kind(outcome: Outcome, kind: str) -> dict[str, Any]:
    """Encoders side by side under one kind of head."""
    found: dict[str, Any] = {PRETRAINED: outcome.metrics(kind, PRETRAINED)}
    if RANDOM in outcome.encoders:
        found[RANDOM] = outcome.metrics(kind, RANDOM)
        found["difference"] = outcome.differences(kind, RANDOM)
    if outcome.chosen:
        found["chosen"] = {
            name: outcome.choices(kind, name)
            for name in outcome.encoders
            if name not in outcome.baselines
        }
    found["baselines"] = {name: _baseline(outcome, kind, name) for name in outcome.baselines}
    return found


def _baseline(outcome: Outcome, kind: str, name: str) -> dict[str, Any]:
    found = {
        "metrics": outcome.metrics(kind, name),
        "difference": outcome.differences(kind, name),
    }
    return found | ({"chosen": outcome.choices(kind, name)} if outcome.chosen else {})


def _label_efficiency(outcome: Outcome, metric: str, cases: int) -> list[dict[str, Any]]:
    """The main metric by share of the `cases` that heads are fitted to, ascending, up to all."""
    main = outcome.kinds[0]
    curve = []
    for share in sorted({run.share for run in outcome.tables}):
        ours = outcome.runs(main, PRETRAINED, share)
        point: dict[str, Any] = {
            "fraction": share,
            "cases": subset_size(cases, share),
            PRETRAINED: outcome.estimate(metric, ours).as_dict(),
        }
        if RANDOM in outcome.encoders:
            theirs = outcome.runs(main, RANDOM, share)
            point[RANDOM] = outcome.estimate(metric, theirs).as_dict()
            point["difference"] = outcome.difference(metric, ours, theirs).as_dict()
        curve.append(point)
    return curve


def _clips(case: StoredCase) -> int:
    return len(case.tokens(PRETRAINED))
