"""What a search leaves: `best.yaml`, which `pretrain.tuned` may name, and `trials.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from unisurg.models.writing import replacing
from unisurg.tuning.space import Space, Values
from unisurg.tuning.study import Row, scored

BEST = "best.yaml"
TRIALS = "trials.csv"
HEAD = """\
# Written by `unisurg tune`. Its `values` are used where params.yaml says
# `pretrain.tuned: {path}`. Scores are of validation cases.
"""


class NothingFound(RuntimeError):
    """No trial came to its end; the message says what became of them."""


@dataclass(frozen=True)
class Again:
    """Scores of best and default, each trained once more with every one of `seeds`.

    NaN where a training was refused, which is ahead of nothing.
    """

    seeds: tuple[int, ...] = ()
    best: tuple[float, ...] = ()
    default: tuple[float, ...] = ()


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        values: of the best trial, by their names in params.yaml; none where that is the default.
        score: of the best trial.
        default: score of the default; None where it did not come to its end.
        front: numbers of the trials that none beats in score and seconds both, of such a search.
    """

    metric: str
    values: Values
    best: Row
    score: float
    default: float | None
    again: Again
    front: tuple[int, ...]

    @property
    def beats_default(self) -> bool:
        return self.default is None or self.score > self.default

    @property
    def verdict(self) -> str:
        """In words that say no more than the scores do."""
        if self.best.default or not self.beats_default:
            return "No trial beats the default on the validation score."
        said = f"Trial {self.best.number} beats the default on the validation score"
        if self.default is None:
            return f"{said}, which did not come to its end."
        said += f": {self.score:.4f} against {self.default:.4f}."
        ahead = sum(b > d for b, d in zip(self.again.best, self.again.default, strict=True))
        count = len(self.again.seeds)
        if not count:
            return f"{said} As the best of many it looks better than it is."
        return f"{said} Trained again with other seeds it is ahead in {ahead} of {count}."


def chosen(rows: Sequence[Row]) -> tuple[Row, float]:
    """The trial with the highest score, of equals the first, and that score.

    Raises:
        NothingFound: none has one.
    """
    done = scored(rows)
    if not done:
        reasons = "; ".join(f"trial {row.number}: {row.reason or row.state}" for row in rows)
        raise NothingFound(f"no trial came to its end ({reasons})")
    return max(done, key=lambda one: (one[1], -one[0].number))


def write_best(
    folder: Path, found: Found, rows: Sequence[Row], space: Space, commit: str | None
) -> None:
    states = [row.state for row in rows]
    facts: dict[str, Any] = {
        "values": found.values,
        "metric": found.metric,
        "score": found.score,
        "default": found.default,
        "beats_default": found.beats_default,
        "verdict": found.verdict,
        "trial": found.best.number,
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "again": {name: list(scores) for name, scores in asdict(found.again).items()},
        "front": list(found.front),
        "space": {name: [d.low, d.high] for name, d in space.items()},
        "commit": commit,
    }
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=96)
    with replacing(folder / BEST) as file:
        file.write((HEAD.format(path=folder / BEST) + text).encode())


def write_trials(folder: Path, rows: Sequence[Row], space: Mapping[str, object]) -> None:
    """A row per trial: what became of it, its score, its seconds, its point, why it was stopped."""
    head = ["trial", "state", "default", "score", "seconds", *space, "reported", "reason"]
    (folder / TRIALS).parent.mkdir(parents=True, exist_ok=True)
    with (folder / TRIALS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in rows:
            point = [_short(row.point.get(name)) for name in space]
            reported = " ".join(f"{step}:{score:.4f}" for step, score in row.reported.items())
            facts = [row.number, row.state, int(row.default), _short(row.score)]
            writer.writerow([*facts, _short(row.seconds), *point, reported, row.reason])


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
