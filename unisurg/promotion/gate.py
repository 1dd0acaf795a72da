"""The gate: is the challenger not worse than the champion anywhere, and better somewhere?

Of every benchmark the difference of the main metric, challenger minus champion, is taken by a
bootstrap over test cases, paired by case and by seed (`unisurg.evaluation.statistics`). Turned so
that more is better, with its 95 % interval [low, high] and a stated margin,

    not worse   low >= -margin   (non-inferiority)
    better      low > 0

and the challenger passes if it is not worse on every benchmark and better on at least one. What
cannot be paired is not compared: another split, protocol, metric, head, or other cases are reasons
to refuse, by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from unisurg.evaluation import statistics
from unisurg.evaluation.reported import lower_is_better
from unisurg.evaluation.statistics import Estimate
from unisurg.promotion.evidence import Measured

Verdict = Literal["better", "not worse", "worse", "not compared"]
SAME = ("split", "protocol", "window", "frames", "fps", "main", "kind")


@dataclass(frozen=True)
class Row:
    """One benchmark of the gate.

    `champion` and `challenger` are means over seeds; `difference`, `low` and `high` are challenger
    minus champion, in the metric's own direction. None is what there is not.
    """

    name: str
    metric: str
    champion: float | None
    challenger: float
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def alone(name: str, challenger: Measured) -> Row:
    """A challenger whom no champion meets."""
    metric, mean = challenger.results.main, _mean(challenger)
    sentence = f"{name}: {metric} is {mean:.3f}, and there is no champion to compare with."
    return Row(name, metric, None, mean, None, None, None, "not compared", sentence)


def unmeasured(name: str, whom: str, challenger: Measured) -> Row:
    """A benchmark on which the champion was not measured."""
    sentence = f"{name}: not compared, since the {whom} was not measured on it."
    metric, mean = challenger.results.main, _mean(challenger)
    return Row(name, metric, None, mean, None, None, None, "not compared", sentence)


def against(
    name: str, champion: Measured, challenger: Measured, margin: float, draws: int, seed: int
) -> Row:
    """The challenger against the champion on one benchmark.

    Args:
        margin: in the metric's unit; how much may be lost.
        draws: of cases, for the interval.
        seed: of the draws.
    """
    metric = challenger.results.main
    means = _mean(champion), _mean(challenger)
    unequal = list(_unequal(champion, challenger))
    if unequal:
        sentence = f"{name}: not compared, since {'; '.join(unequal)}."
        return Row(name, metric, *means, None, None, None, "not compared", sentence)
    gain = _difference(champion, challenger, draws, seed)
    if not math.isfinite(gain.low):
        sentence = f"{name}: not compared, since {metric} has no number on these cases."
        return Row(name, metric, *means, None, None, None, "not compared", sentence)
    verdict = judged(gain, margin, lower_is_better(metric))
    change = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    said = {
        "better": "better",
        "not worse": f"not worse by more than the margin of {margin:g}, and not better",
        "worse": f"a loss of more than the margin of {margin:g} is not ruled out",
    }[verdict]
    sentence = (
        f"{name}: {metric} goes from {means[0]:.3f} to {means[1]:.3f}, a difference of {change}"
        f" over {len(challenger.cases)} test cases: {said}."
    )
    return Row(name, metric, *means, gain.mean, gain.low, gain.high, verdict, sentence)


def judged(difference: Estimate, margin: float, lower_better: bool) -> Verdict:
    """What an interval says of a difference that there is."""
    low = -difference.high if lower_better else difference.low
    if low > 0:
        return "better"
    return "not worse" if low >= -margin else "worse"


def objections(rows: Sequence[Row]) -> list[str]:
    """Why the gate stays shut, a sentence each; none where it opens."""
    found = [row.sentence for row in rows if row.verdict in ("worse", "not compared")]
    if not any(row.verdict == "better" for row in rows):
        lows = ", ".join(f"{row.name} {_interval(row)}" for row in rows if row.low is not None)
        found.append(
            "Better on no benchmark: an interval of the difference must leave out 0 on at least"
            f" one{f', and they are {lows}' if lows else ''}."
        )
    return found


def _interval(row: Row) -> str:
    return f"[{row.low:+.3f}, {row.high:+.3f}]"


def _mean(measured: Measured) -> float:
    return measured.results.pretrained[measured.results.main].mean


def _unequal(champion: Measured, challenger: Measured) -> Iterator[str]:
    """In what the two measurements differ beside the model."""
    for fact in SAME:
        before, now = getattr(champion.results, fact), getattr(challenger.results, fact)
        if before != now:
            yield f"{fact} was {before} and is {now}"
    if champion.cases != challenger.cases:
        gone = sorted(set(champion.cases) - set(challenger.cases))
        new = sorted(set(challenger.cases) - set(champion.cases))
        lists = {"without": gone, "with": new}
        told = [f"{how} {', '.join(names)}" for how, names in lists.items() if names]
        yield f"the test cases are others ({'; '.join(told) or 'in another order'})"
    elif champion.groups != challenger.groups:
        yield "the test cases belong to other groups"
    if not set(champion.tables) & set(challenger.tables):
        yield f"no seed is shared ({_seeds(champion)} and {_seeds(challenger)})"
    replicates = any(table.ndim == 1 for table in challenger.tables.values())
    if replicates and champion.draws != challenger.draws:
        yield f"seed and draws of the bootstrap were {champion.draws} and are {challenger.draws}"


def _seeds(measured: Measured) -> str:
    return ", ".join(map(str, measured.tables))


def _difference(champion: Measured, challenger: Measured, draws: int, seed: int) -> Estimate:
    shared = [seed for seed in challenger.tables if seed in champion.tables]
    return statistics.difference(
        [challenger.tables[seed] for seed in shared],
        [champion.tables[seed] for seed in shared],
        statistics.draw_groups(challenger.groups, draws, seed),
    )
