"""Videos of operations that benchmarks validate or test on -> out; and the evidence, in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unisurg.benchmarks import REGISTRY, Benchmark
from unisurg.corpus import tables
from unisurg.corpus.intervals import State
from unisurg.corpus.known import known_overlaps
from unisurg.corpus.leakage import COVERAGE, HeldOutOf, leak_folder, leak_rules, read_coverage
from unisurg.corpus.mapping import runner_of
from unisurg.corpus.overlaps import EMBEDDED, Listed, Overlaps
from unisurg.corpus.seconds import by_state
from unisurg.settings import Settings
from unisurg.stages import SCRATCH, identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, raw: Path, home: Path) -> None:
    with track_stage("leak", settings) as tracked:
        output = home / "leak"
        painted = leak_folder(
            home / "scan",
            home / "dedup",
            output,
            SCRATCH,
            leak_rules(settings.duplicates, settings.leaks),
            settings.leaks.indices,
            held_out_of_all(known_overlaps(raw), settings.leaks.require),
            runner_of(**dict(settings.runner)),
        )
        hits, covered = tables.of(output, "leak_hits"), read_coverage(output)
        leaked_s = by_state(painted).get(State.LEAK, 0.0)
        tracked.metrics(0, {"hits": len(hits), "seconds.leak": leaked_s})
        states = covered["state"].value_counts().sort_index()
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        print(f"leak: {len(hits)} hits take out {leaked_s:.0f} s; of the benchmarks {told}")
        for name in ("leak_hits.parquet", COVERAGE):
            tracked.artifact(output / name)
        tracked.write_identity(identity_path("leak", output))


def held_out_of_all(known: Overlaps, require: Literal["all"] | Sequence[str] = ()) -> HeldOutOf:
    """What all benchmarks hold out, in every split but the embedded data's.

    Args:
        require: benchmarks that must be checked by content, as `leaks.require`.
    """
    return HeldOutOf(
        held_out=partial(_held_out, known),
        expected={name: cases_of(row, known) for name, row in REGISTRY.items()},
        possible=partial(_possible, known),
        named=partial(_named, known),
        required=tuple(REGISTRY) if require == "all" else require,
    )


def _held_out(known: Overlaps, dataset: str, video: str) -> Sequence[Any]:
    """What holds a recording out. One without a name, of a data set that shares operations with a
    benchmark, may be any of them."""
    if video:
        return known.held_out(dataset, video, REGISTRY)
    return [name for name in REGISTRY if known.relation(dataset, name) == "overlaps"]


def _possible(known: Overlaps, dataset: str, video: str) -> Sequence[str]:
    """What may hold any recording of a data set out, whatever its name."""
    return known.unnamed(dataset, REGISTRY)


def _named(known: Overlaps, dataset: str) -> Sequence[str]:
    """Benchmarks that share nothing with a data set but what names tell."""
    return [name for name in REGISTRY if known.settled(dataset, name)]


def cases_of(benchmark: Benchmark, known: Overlaps) -> set[str]:
    """Validation and test cases, where the splits name them; none where only a copy's files do."""
    dataset = known.datasets.get(benchmark.name)
    splits = benchmark.splits.items()
    rules = [getattr(split, "rule", split) for name, split in splits if name != EMBEDDED]
    listed = [rule for rule in rules if isinstance(rule, Listed)]
    if (dataset and dataset.within) or len(listed) < len(rules):
        return set()
    without_labels = {case for rule in listed for case in getattr(rule, "may_lack", ())}
    return {case for rule in listed for case in (*rule.val, *rule.test)} - without_labels
