"""A look at one copy of a data set: counts, labels, rates, and everything that is wrong with it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    LABEL_TOLERANCE_S,
    PARTS,
    Benchmark,
    BenchmarkError,
    ByCase,
    Case,
    ClipCase,
    Counts,
    DepthCase,
    Findings,
    Part,
    PictureCase,
    SkillCase,
    TripletCase,
    VideoCase,
    listed,
    natural,
    require_parts,
)
from unisurg.benchmarks.media import pictures, video_facts
from unisurg.benchmarks.polyps import read_mask

UNITS = {
    "video": "labelled moments",
    "clip": "clips",
    "picture": "pixels",
    "trial": "trials",
    "sequence": "frames",
}
# 29.97 is sold as 30.
RATE_TOLERANCE = 0.005


@dataclass(frozen=True)
class Check:
    """What a copy holds: names of cases and labels by class per part, frame rates, findings."""

    benchmark: Benchmark
    split: str
    cases: Mapping[Part, Sequence[str]]
    labels: Mapping[Part, Mapping[str, int]]
    ignored: Mapping[Part, int]
    fps: Mapping[float, int]
    findings: Findings

    @property
    def usable(self) -> bool:
        return self.findings.usable

    def as_dict(self) -> dict[str, Any]:
        """One JSON object; `labels` per class are counted in the `unit`."""
        found = self.findings
        return {
            "benchmark": self.benchmark.name,
            "root": str(found.root),
            "split": self.split,
            "note": self.benchmark.splits[self.split].note,
            "usable": self.usable,
            "unit": UNITS[self.benchmark.unit],
            "cases": {part: len(names) for part, names in self.cases.items()},
            "names": {part: list(names) for part, names in self.cases.items()},
            "labels": {part: dict(counts) for part, counts in self.labels.items()},
            "ignored": dict(self.ignored),
            "fps": {f"{rate:g}": count for rate, count in self.fps.items()},
            "published": _published(self.benchmark.counts),
            "missing": sorted(set(found.missing), key=natural),
            "extra": sorted(set(found.extra), key=natural),
            "findings": [finding.as_dict() for finding in found.summary],
        }

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def as_text(self) -> str:
        """The same for people."""
        rows = [["", *PARTS], ["cases", *(str(len(self.cases[part])) for part in PARTS)]]
        counts = self.benchmark.counts
        if counts is not None and counts.split == self.split and counts.cases:
            rows.append(["(published)", *(str(counts.cases.get(part, "-")) for part in PARTS)])
        for name in self.benchmark.classes:
            rows.append([name, *(str(self.labels[part][name]) for part in PARTS)])
        if any(self.ignored.values()):
            rows.append(["(ignored)", *(str(self.ignored[part]) for part in PARTS)])
        rates = ", ".join(f"{rate:g} ({count})" for rate, count in self.fps.items())
        return "\n".join(
            [
                f"{self.benchmark.title}: {self.findings.root}",
                f"split {self.split}: {self.benchmark.splits[self.split].note}",
                *(f"  {part}: {listed(self.cases[part]) or 'none'}" for part in PARTS),
                *_aligned(rows),
                f"labels are {UNITS[self.benchmark.unit]}; fps {rates or 'unknown'}",
                *(f"{found.severity}: {found}" for found in self.findings.summary),
                "usable" if self.usable else "not usable",
            ]
        )


def check(benchmark: Benchmark, root: Path, split: str) -> Check:
    """Read every label and every video's header of a copy.

    Raises:
        BenchmarkError: there is no such split; all else is a finding.
    """
    findings = Findings(Path(root), strict=False)
    cases = benchmark.audit(split, findings)
    by_part = {part: [case for case in cases if case.split == part] for part in PARTS}
    counted = {part: _histogram(benchmark, own, findings) for part, own in by_part.items()}
    result = Check(
        benchmark=benchmark,
        split=split,
        cases={part: [case.case for case in of_part] for part, of_part in by_part.items()},
        labels={part: counts for part, (counts, _) in counted.items()},
        ignored={part: ignored for part, (_, ignored) in counted.items()},
        fps=_rates(cases, findings),
        findings=findings,
    )
    if cases or findings.usable:
        require_parts([case.split for case in cases], findings)
    _note_absent_classes(result)
    _check_groups(benchmark, split, cases, findings)
    if benchmark.counts is not None and benchmark.counts.split == split:
        _check_published(result, benchmark.counts)
    return result


def _histogram(
    benchmark: Benchmark, cases: Sequence[Case], findings: Findings
) -> tuple[dict[str, int], int]:
    """Labels per class, and how many are ignored."""
    counts = np.zeros(len(benchmark.classes), np.int64)
    ignored = 0
    for case in cases:
        labels = _labels(case, findings)
        ignored += int((labels == IGNORED).sum())
        counts += np.bincount(labels[labels != IGNORED], minlength=len(counts))
    return dict(zip(benchmark.classes, counts.tolist(), strict=True)), ignored


def _labels(case: Case, findings: Findings) -> np.ndarray:
    if isinstance(case, VideoCase):
        return case.labels
    if isinstance(case, ClipCase):
        return np.array([case.label])
    if isinstance(case, TripletCase):
        unseen = np.full((case.labels[:, 0] == IGNORED).sum(), IGNORED)
        return np.concatenate([np.nonzero(case.labels == 1)[1], unseen])
    if isinstance(case, SkillCase):
        return np.array([case.level])
    if isinstance(case, DepthCase):
        return np.zeros(len(case.depths), np.int64)
    try:
        return read_mask(case.mask).ravel().astype(np.int64)
    except BenchmarkError as error:
        findings.error(error.path, error.problem, error.remedy)
        return np.zeros(0, np.int64)


def _rates(cases: Iterable[Case], findings: Findings) -> dict[float, int]:
    """How many videos have which rate; videos that do not fit their labels become findings."""
    rates: Counter[float] = Counter()
    seen: dict[Path, tuple[float, float] | None] = {}
    for case in cases:
        for video in _videos(case):
            if video not in seen:
                seen[video] = _rate_and_seconds(case, video, findings)
            facts = seen[video]
            if facts is not None:
                rates[round(facts[0], 3)] += 1
                _check_duration(case, video, *facts, findings)
    return dict(sorted(rates.items()))


def _videos(case: Case) -> tuple[Path, ...]:
    if isinstance(case, SkillCase):
        return case.videos
    return () if isinstance(case, PictureCase | DepthCase) else (case.video,)


def _rate_and_seconds(case: Case, video: Path, findings: Findings) -> tuple[float, float] | None:
    if video.is_dir():
        if not isinstance(case, VideoCase | TripletCase):
            return None
        return case.fps, len(pictures(video)) / case.fps
    facts = video_facts(video, findings)
    return None if facts is None else (facts.fps, facts.seconds)


def _check_duration(
    case: Case, video: Path, fps: float, seconds: float, findings: Findings
) -> None:
    if isinstance(case, PictureCase | DepthCase):
        return
    if isinstance(case, ClipCase):
        if case.end_s is not None and seconds and case.end_s > seconds + LABEL_TOLERANCE_S:
            findings.error(
                video,
                f"lasts {seconds:.0f} s, but clip {case.case} ends at {case.end_s:g} s",
                "the video is cut or another one: restore it",
            )
        return
    if abs(fps - case.fps) > RATE_TOLERANCE * case.fps:
        findings.warning(
            video,
            f"has {fps:g} fps, the data set has {case.fps:g}",
            "it was encoded again; labels are found by time, so it can be used",
        )
    labelled = len(case.gestures if isinstance(case, SkillCase) else case.labels) * case.every_s
    # Gestures may end before the video does, or not be told at all.
    short = 0.0 if isinstance(case, SkillCase) else seconds - labelled
    if seconds and max(labelled - seconds, short) > LABEL_TOLERANCE_S:
        findings.error(
            video,
            f"lasts {seconds:.0f} s but has labels for {labelled:.0f} s",
            "the annotation is of another video, or the video is cut: restore the pair",
        )


def _note_absent_classes(result: Check) -> None:
    for part in PARTS:
        if not result.cases[part]:
            continue
        absent = [name for name, count in result.labels[part].items() if not count]
        if absent:
            result.findings.note(
                result.findings.root,
                f"{len(absent)} of the classes do not occur in {part}: {', '.join(absent[:8])}",
                "per-class metrics leave them out",
            )


def _check_groups(
    benchmark: Benchmark, split: str, cases: Iterable[Case], findings: Findings
) -> None:
    """What belongs together must be in one part, unless the split is known to leak."""
    parts: dict[str, set[Part]] = defaultdict(set)
    for case in cases:
        parts[case.group].add(case.split)
    torn = [group for group, found in parts.items() if len(found) > 1]
    if torn:
        leaky = isinstance(benchmark.splits[split], ByCase)
        tell = findings.warning if leaky else findings.error
        tell(
            findings.root,
            f"{len(torn)} groups are in more than one part: {listed(torn)}",
            "the test is not independent of the training: choose a split by group",
        )


def _check_published(result: Check, counts: Counts) -> None:
    """Hold the copy against what the owners publish; a label may round up once per case."""
    cases: dict[Part, int] = {part: len(names) for part, names in result.cases.items()}
    labels: dict[Part, int] = {part: sum(n.values()) for part, n in result.labels.items()}
    if "val" not in counts.cases:
        for counted in (cases, labels):
            counted["train"] += counted.pop("val")
    for part, published in counts.cases.items():
        if cases[part] != published:
            _differs(result, f"{cases[part]} cases in {part}, published are {published}", counts)
    what = UNITS[result.benchmark.unit]
    total = sum(labels.values()) + sum(result.ignored.values())
    if counts.total is not None and abs(total - counts.total) > sum(cases.values()):
        _differs(result, f"{total} {what}, published are {counts.total}", counts)
    for part, published in (counts.labels or {}).items():
        if abs(labels[part] - published) > cases[part]:
            _differs(result, f"{labels[part]} {what} in {part}, published are {published}", counts)


def _differs(result: Check, problem: str, counts: Counts) -> None:
    result.findings.warning(
        result.findings.root,
        problem,
        f"results are not comparable with published ones (counts: {counts.source})",
    )


def _published(counts: Counts | None) -> dict[str, Any] | None:
    if counts is None:
        return None
    return {
        "split": counts.split,
        "cases": dict(counts.cases),
        "classes": counts.classes,
        "fps": counts.fps,
        "labels": None if counts.labels is None else dict(counts.labels),
        "total": counts.total,
        "source": counts.source,
    }


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    width = max(len(row[0]) for row in rows)
    return [f"{row[0]:<{width}}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows]
