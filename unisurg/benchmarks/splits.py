"""Splits as data: rules that put whole groups of cases into train, val or test.

A group is what must not be shared between parts: an operation, a recording, a YouTube video. Most
data sets have one case per group. A rule sees the names of the groups alone, so no rule can part
the cases of a group; a published split that does so is `ByCase`, and its name says `leaky`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from unisurg.benchmarks.findings import Findings

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


class Split(Protocol):
    """A rule that puts every group of a data set into train, val or test."""

    @property
    def note(self) -> str:
        """Where the rule comes from, in one sentence."""

    @property
    def refit(self) -> bool:
        """Whether the chosen probe is trained again on train + val before the test."""

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        """Part of each group, in the order of the groups; a group that is not in use is left out.

        Args:
            stated: groups, each with the part that the copy's own files put it into, or None.

        Raises:
            BenchmarkError: in strict reading, where the rule does not fit the copy.
        """


@dataclass(frozen=True)
class NamedSplit:
    """A split that lists its groups by name; all must be there but those that it `may_lack`."""

    note: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    refit: bool = False
    may_lack: tuple[str, ...] = ()

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        wanted: dict[str, Part] = {}
        for part, names in zip(PARTS, (self.train, self.val, self.test), strict=True):
            wanted.update(dict.fromkeys(names, part))
        missing = sorted(set(wanted) - set(stated), key=natural)
        findings.missing += missing
        if missing:
            tell = findings.warning if set(missing) <= set(self.may_lack) else findings.error
            tell(
                findings.root,
                f"{len(missing)} of the split's {len(wanted)} cases are missing: {listed(missing)}",
                "complete the copy or choose another split",
            )
        return {name: wanted[name] for name in stated if name in wanted}


@dataclass(frozen=True)
class ShareSplit:
    """A split by shares of the groups in natural order: first train, then val, the rest test."""

    note: str
    train: float
    val: float
    refit: bool = False

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        count = len(stated)
        first, second = round(self.train * count), round((self.train + self.val) * count)
        if not 0 < first < second < count:
            findings.error(
                findings.root,
                f"{count} cases cannot be split into train, val and test",
                "at least 4 cases are needed",
            )
            return {}
        ordered = sorted(stated, key=natural)
        return {
            name: "train" if i < first else "val" if i < second else "test"
            for i, name in enumerate(ordered)
        }


THEATRE = ShareSplit(
    note="for the embedded data: the first half of the videos trains, the last third tests.",
    train=1 / 2,
    val=1 / 6,
)


@dataclass(frozen=True)
class StatedSplit:
    """The split that the copy's own files state.

    `val` above 0 is for data sets without a validation list: that share of the training groups,
    the last in natural order, becomes val.
    """

    note: str
    val: float = 0.0
    refit: bool = False

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        parts = {name: part for name, part in stated.items() if part is not None}
        if not self.val:
            return parts
        train = sorted((name for name, part in parts.items() if part == "train"), key=natural)
        kept = round((1 - self.val) * len(train))
        if not 0 < kept < len(train):
            findings.error(
                findings.root,
                f"{len(train)} training cases",
                "at least 2 are needed, 1 for validation",
            )
        return parts | dict.fromkeys(train[kept:], "val")


@dataclass(frozen=True)
class ByCase:
    """A published rule that is applied to single cases, so that groups may leak between parts."""

    rule: Split

    @property
    def note(self) -> str:
        return self.rule.note

    @property
    def refit(self) -> bool:
        return self.rule.refit

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        return self.rule.assign(stated, findings)


def split_cases(
    groups: Mapping[str, str],
    split: Split,
    findings: Findings,
    stated: Mapping[str, Part] | None = None,
) -> dict[str, Part]:
    """Part of each case in use, in natural order of the cases.

    Args:
        groups: group of each case.
        stated: part of each case by the copy's own files, where they say one.

    Raises:
        BenchmarkError: in strict reading, where the files state two parts for one group, or the
            split does not fit the copy.
    """
    stated = stated or {}
    unit = {case: case for case in groups} if isinstance(split, ByCase) else groups
    told: dict[str, Part | None] = dict.fromkeys(unit.values())
    for case, name in unit.items():
        part = stated.get(case)
        if told[name] not in (None, part):
            findings.error(
                findings.root,
                f"{name} is in {told[name]} and in {part}",
                "what belongs together must be in one part: put it into one",
            )
        told[name] = told[name] or part
    parts = split.assign(told, findings)
    extra = sorted((case for case in groups if unit[case] not in parts), key=natural)
    findings.extra += extra
    if extra:
        findings.note(
            findings.root,
            f"{len(extra)} cases are in no part of the split: {listed(extra)}",
            "they are not used",
        )
    return {case: parts[unit[case]] for case in sorted(groups, key=natural) if unit[case] in parts}


def require_parts(parts: Collection[Part], findings: Findings) -> None:
    """Report the parts of a split that are not among `parts`."""
    for part in PARTS:
        if part not in parts:
            findings.error(
                findings.root,
                f"no case is in {part}",
                "complete the copy or choose another split",
            )


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which `video2` comes before `video10` and numbers before letters."""
    return [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece)
        for piece in re.split(r"(\d+)", name)
        if piece
    ]


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first few names in natural order, for a message."""
    ordered: Sequence[str] = sorted(names, key=natural)
    return ", ".join(ordered[:most]) + (" ..." if len(ordered) > most else "")
