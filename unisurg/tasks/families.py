"""Which task a benchmark is: its family, and the metrics that only some benchmarks have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unisurg.settings import Probe
from unisurg.tasks.action import ActionTask
from unisurg.tasks.base import Task
from unisurg.tasks.depth import DepthTask
from unisurg.tasks.phase import Metrics, PhaseTask
from unisurg.tasks.pitvis import pitvis_challenge_per_video
from unisurg.tasks.relaxed import CHOLEC80, M2CAI16, Rule
from unisurg.tasks.segmentation import SegmentationTask
from unisurg.tasks.skill import SkillTask
from unisurg.tasks.triplet import TripletTask
from unisurg.tasks.triplet_parts import parts_of

# Benchmarks whose phases have the order that a relaxed rule is written for.
RELAXED: Mapping[str, Rule] = {"cholec80": CHOLEC80, "autolaparo": CHOLEC80, "m2cai16": M2CAI16}
# Ten seconds are ten labels there: the scripts count labels.
RELAXED_EVERY_S = 1.0
CHALLENGES: Mapping[str, Metrics] = {"pitvis": pitvis_challenge_per_video}


@dataclass(frozen=True)
class Facts:
    """What is known of a benchmark: its family, its name, the number of its classes.

    `size_px` is the side of the pictures that the encoder sees, `labels_every_s` the seconds
    between the labels of a test video (0 where cases are no videos). `names` are those of the
    classes, from which a triplet's parts are read.
    """

    task: str
    benchmark: str
    classes: int
    size_px: int
    labels_every_s: float
    names: tuple[str, ...] = ()


def make_task(facts: Facts, probe: Probe) -> Task:
    """The benchmark's task, its heads as `probe` says."""
    return FAMILIES[facts.task](facts, probe)


def _phase(facts: Facts, probe: Probe) -> PhaseTask:
    at_1_hz = facts.labels_every_s == RELAXED_EVERY_S
    relaxed = RELAXED.get(facts.benchmark) if at_1_hz else None
    challenge = CHALLENGES.get(facts.benchmark)
    return PhaseTask(facts.classes, probe.depth, probe.heads, relaxed, challenge)


def _action(facts: Facts, probe: Probe) -> ActionTask:
    return ActionTask(facts.classes, probe.depth, probe.heads)


def _triplet(facts: Facts, probe: Probe) -> TripletTask:
    return TripletTask(parts_of(facts.names), probe.depth, probe.heads)


def _segmentation(facts: Facts, probe: Probe) -> SegmentationTask:
    return SegmentationTask(facts.size_px)


def _depth(facts: Facts, probe: Probe) -> DepthTask:
    return DepthTask(facts.size_px)


def _skill(facts: Facts, probe: Probe) -> SkillTask:
    return SkillTask(facts.classes, probe.depth, probe.heads)


FAMILIES: Mapping[str, Callable[[Facts, Probe], Task]] = {
    "phase": _phase,
    "action": _action,
    "segmentation": _segmentation,
    "depth": _depth,
    "triplet": _triplet,
    "skill": _skill,
}
