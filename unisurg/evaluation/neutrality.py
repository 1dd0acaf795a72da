"""May the protocol `fast` stand in for `dense` during development? A rule, and its measurement.

The rule: on at least two benchmarks and three encoders, under the same probe,
(a) both protocols rank the encoders alike by the benchmark's main metric, and
(b) accuracy per video differs by less than half the width of its 95 % interval over videos, taken
    from `dense`.
Whatever the verdict, final tables are measured with `dense`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unisurg.benchmarks import find
from unisurg.evaluation import statistics
from unisurg.evaluation.compare import read_tables
from unisurg.evaluation.extraction import features
from unisurg.evaluation.probing import probe
from unisurg.evaluation.statistics import Estimate
from unisurg.evaluation.store import PRETRAINED, RANDOM
from unisurg.models.checkpoints import random_encoder, save_encoder
from unisurg.settings import Baseline, LabelEfficiency, Protocol, Settings

ACCURACY = "accuracy_per_video"
PROTOCOLS: tuple[Protocol, Protocol] = ("dense", "fast")
LEAST_BENCHMARKS, LEAST_ENCODERS = 2, 3


class NeutralityError(ValueError):
    """The rule cannot be measured on what was asked for; the message says what is needed."""


@dataclass(frozen=True)
class Pair:
    """One encoder on one benchmark under both protocols: accuracy per video and main metric."""

    benchmark: str
    encoder: str
    dense: Estimate
    fast: Estimate
    dense_main: float
    fast_main: float

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval of `dense` over videos."""
        return (self.dense.high - self.dense.low) / 2

    @property
    def close(self) -> bool:
        """Rule (b)."""
        return abs(self.fast.mean - self.dense.mean) < self.half_width


@dataclass(frozen=True)
class Ranking:
    """Encoders of one benchmark, the best first."""

    benchmark: str
    dense: tuple[str, ...]
    fast: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Rule (a)."""
        return self.dense == self.fast


@dataclass(frozen=True)
class Verdict:
    """What was measured, and what the rule says of it."""

    pairs: tuple[Pair, ...]
    rankings: tuple[Ranking, ...]

    @property
    def neutral(self) -> bool:
        """Whether `fast` may stand in for `dense`."""
        return all(pair.close for pair in self.pairs) and all(r.same for r in self.rankings)


def judge(pairs: Sequence[Pair]) -> Verdict:
    """Apply the rule. Of encoders with equal results the first in the order of `pairs` leads.

    Raises:
        NeutralityError: fewer than two benchmarks, or than three encoders on one of them.
    """
    names = list(dict.fromkeys(pair.benchmark for pair in pairs))
    of = {name: [pair for pair in pairs if pair.benchmark == name] for name in names}
    _require_benchmarks(names)
    for name, rows in of.items():
        if len(rows) < LEAST_ENCODERS:
            raise NeutralityError(
                f"{name}: {len(rows)} encoders; the rule needs {LEAST_ENCODERS}, see `baselines`"
            )
    rankings = tuple(
        Ranking(
            name,
            _ranked({pair.encoder: pair.dense_main for pair in rows}),
            _ranked({pair.encoder: pair.fast_main for pair in rows}),
        )
        for name, rows in of.items()
    )
    return Verdict(tuple(pairs), rankings)


def measure(names: Sequence[str], settings: Settings, encoder: Path, scratch: Path) -> list[Pair]:
    """Both protocols on every benchmark: features, one attentive probe for each encoder, test.

    Encoders are the pretrained one, an untrained one, and the first of `baselines`, or where there
    is none another untrained one. The seed is the first of `probe.seeds`.

    Args:
        encoder: folder of the pretrained encoder.
        scratch: features and results, kept for the next time.

    Raises:
        NeutralityError: fewer than two benchmarks, or one whose cases are no videos.
    """
    _require_benchmarks(names)
    for name in names:
        if name not in settings.benchmarks:
            known = ", ".join(settings.benchmarks)
            raise NeutralityError(f"no benchmark {name!r} in the settings; there are: {known}")
        if find(name, settings.benchmarks[name].root).unit != "video":
            raise NeutralityError(f"{name}: its cases are no videos, so both protocols are one")
    baselines = _third(names, settings, encoder, scratch)
    pairs = []
    for name in names:
        tables = {
            protocol: _tables(name, lean(settings, protocol, baselines), encoder, scratch)
            for protocol in PROTOCOLS
        }
        pairs += _pairs(name, settings, *(tables[protocol] for protocol in PROTOCOLS))
    return pairs


def lean(settings: Settings, protocol: Protocol, baselines: dict[str, Baseline]) -> Settings:
    """The same settings with one protocol, three encoders, one seed and one kind of head."""
    probe = settings.probe
    return settings.model_copy(
        update={
            "features": settings.features.model_copy(
                update={"protocol": protocol, "random_encoders": 1}
            ),
            "baselines": baselines,
            "probe": probe.model_copy(
                update={
                    "kinds": ("attentive",),
                    "seeds": probe.seeds[:1],
                    "smoothing_s": 0,
                    "label_efficiency": LabelEfficiency(benchmarks=(), fractions=()),
                    "baseline": True,
                }
            ),
        }
    )


def _require_benchmarks(names: Sequence[str]) -> None:
    if len(set(names)) < LEAST_BENCHMARKS:
        raise NeutralityError(
            f"{len(set(names))} benchmarks; the rule needs {LEAST_BENCHMARKS}, as in"
            " --benchmarks cholec80 autolaparo"
        )


def _third(
    names: Sequence[str], settings: Settings, encoder: Path, scratch: Path
) -> dict[str, Baseline]:
    """The first baseline, on the benchmarks in question; else a second untrained encoder."""
    for name, baseline in settings.baselines.items():
        return {name: baseline.model_copy(update={"benchmarks": tuple(names)})}
    folder = scratch / f"{RANDOM}-1"
    save_encoder(folder, random_encoder(encoder, 1), {})
    stored = Baseline(model=str(folder), weights="as-stored", benchmarks=tuple(names))
    return {f"{RANDOM}-1": stored}


def _tables(
    name: str, settings: Settings, encoder: Path, scratch: Path
) -> dict[str, dict[str, np.ndarray]]:
    """Tables of accuracy and of the main metric by metric and encoder, under one protocol."""
    folder = scratch / settings.features.protocol / name
    features.extract(name, settings, encoder, output=folder / "features", scratch=scratch / "cache")
    facts = probe.run(
        name,
        settings,
        features=folder / "features",
        metrics_path=folder / f"{name}.json",
        output=folder / "probe",
        on_metrics=lambda step, values: None,
    )
    path, (seed,) = folder / "probe" / "tables.npz", settings.probe.seeds
    return {
        key: {who: of_seeds[seed] for who, of_seeds in read_tables(path, metric).items()}
        for key, metric in (("accuracy", ACCURACY), ("main", facts["main"]))
    }


def _pairs(
    name: str,
    settings: Settings,
    dense: dict[str, dict[str, np.ndarray]],
    fast: dict[str, dict[str, np.ndarray]],
) -> list[Pair]:
    cases = len(dense["accuracy"][PRETRAINED])
    draws = statistics.draw_cases(cases, settings.probe.bootstrap, settings.seed)
    return [
        Pair(
            name,
            encoder,
            statistics.estimate([dense["accuracy"][encoder]], draws),
            statistics.estimate([fast["accuracy"][encoder]], draws),
            statistics.value(dense["main"][encoder]),
            statistics.value(fast["main"][encoder]),
        )
        for encoder in dense["accuracy"]
    ]


def _ranked(values: dict[str, float]) -> tuple[str, ...]:
    return tuple(sorted(values, key=lambda encoder: -values[encoder]))
