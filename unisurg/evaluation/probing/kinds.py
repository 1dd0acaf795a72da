"""Which kinds of heads a family of tasks has; all are fitted and chosen in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from unisurg.evaluation.probing.attentive import TokenHeads
from unisurg.evaluation.probing.fitting import Head, Judge, OnMetrics
from unisurg.evaluation.probing.knn import NeighbourHeads
from unisurg.evaluation.probing.linear import LinearHeads
from unisurg.evaluation.probing.samples import Samples
from unisurg.evaluation.probing.temporal import TemporalHeads
from unisurg.evaluation.probing.trial import TrialHeads
from unisurg.evaluation.store import Index
from unisurg.settings import Probe
from unisurg.tasks.base import Task


class KindError(ValueError):
    """No kind of head of `probe.kinds` can be used on a benchmark."""


class Kind(Protocol):
    """One kind of head."""

    @property
    def name(self) -> str:
        """Name in `probe.kinds` and in the results."""

    @property
    def seeded(self) -> bool:
        """Whether the seed shapes the heads, rather than clips and grid alone."""

    def grid(self, known: Samples) -> list[Any]:
        """Points of the grid of hyper-parameters, for clips like those."""

    def fit(
        self,
        known: Samples,
        grid: Sequence[Any],
        seed: int,
        on_epoch: OnMetrics,
        judge: Judge | None,
    ) -> list[Head]:
        """Heads fitted to the clips, in the order of the grid.

        Where heads are trained, `judge` rates them on the way and the worse are given up; without
        it all points of the grid come back. Deterministic in the clips, the grid and the seed.
        """


Builder = Callable[[Any, Index, Probe], Kind]


def _named(heads: Callable[[str, Any, Probe], Kind], name: str) -> Builder:
    return lambda task, index, probe: heads(name, task, probe)


def _temporal(task: Any, index: Index, probe: Probe) -> Kind:
    return TemporalHeads("temporal", task, probe, index.every_s, index.test_every_s)


def _plain(task: Any, index: Index, probe: Probe) -> Kind:
    return TokenHeads("plain", task.plain, probe)


CLIPS: Mapping[str, Builder] = {
    "attentive": _named(TokenHeads, "attentive"),
    "linear": _named(LinearHeads, "linear"),
    "knn": _named(NeighbourHeads, "knn"),
}
KINDS: Mapping[str, Mapping[str, Builder]] = {
    "phase": {**CLIPS, "temporal": _temporal},
    "action": CLIPS,
}
# What a family has whatever is asked for; the first gives its main result.
OWN: Mapping[str, tuple[Builder, ...]] = {
    "segmentation": (_named(TokenHeads, "decoder"),),
    "depth": (_named(TokenHeads, "decoder"),),
    "skill": (_named(TrialHeads, "trial"),),
    "triplet": (_named(TokenHeads, "triplet"), _plain),
}


def kinds_of(task: Task, index: Index, probe: Probe) -> list[Kind]:
    """The kinds of `probe.kinds` that the task's family has; the first gives the main result.

    Pictures have their decoder alone, whatever is asked for. Skill has its trial head,
    triplets theirs and, to hold it against, one with a logit per triplet and no parts.

    Raises:
        KindError: the family has none of them.
    """
    builders = KINDS.get(task.family, {})
    found = [build(task, index, probe) for build in OWN.get(task.family, ())]
    found += [builders[name](task, index, probe) for name in probe.kinds if name in builders]
    if not found:
        raise KindError(
            f"probe.kinds: {index.benchmark} is of family {task.family}, which has no"
            f" {', '.join(probe.kinds)}; add one of {', '.join(builders)}"
        )
    return found
