"""Which recordings are the same operation: rules of `overlaps.yaml`, and what follows from them.

Data sets copy from each other under other names. A *procedure* is one operation with all of its
copies, found by following the rules from copy to copy. Training on any copy of a procedure that a
benchmark validates or tests on is a leak.

There are three answers and not two: data sets overlap, are disjoint, or nobody has looked. The last
is the answer wherever no rule speaks, and it is never read as clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import Field, model_validator

from unisurg.corpus.sources import Row, read_document, read_row

OVERLAPS = Path(__file__).with_name("overlaps.yaml")
ALL = "all"
EMBEDDED = "theatre"
"""The splits of that name are of the embedded data, which hold no operation of anyone."""

Video = tuple[str, str]
"""Data set, and the name of a video in it."""
Relation = Literal["overlaps", "disjoint", "unknown"]
Part = Literal["val", "test", "unknown"]

_NUMBER = re.compile(r"\{n(?::[^}]*)?\}")


class OverlapsError(ValueError):
    """Rules cannot be used, or a video is not named as its data set names them."""


# ------------------------------------------------------------------ rows of the file


class Dataset(Row):
    """How a data set calls its videos; without `names`, rules and callers use its own names."""

    title: str = Field(description="the name by which people know it", min_length=1)
    names: tuple[Annotated[str, Field(pattern=r"^[^{}]*\{n(:\d*d)?\}[^{}]*$")], ...] = Field(
        (), description='a list of names with their number as {n}, as "video{n:02d}"'
    )
    within: tuple[str, ...] = Field(
        (), description="a list of regular expressions, whose group is what a split may list"
    )

    @model_validator(mode="after")
    def _expressions_are_sound(self) -> Dataset:
        for pattern in self.within:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"field 'within': {pattern!r}: {error}; mend it") from None
            if groups != 1:
                raise ValueError(f"field 'within': {pattern!r} has {groups} groups; give it one")
        return self


class _Fact(Row):
    source: str = Field(description="who says so: a citation or address", min_length=1)
    checked: date = Field(description="the day it was last held against the source, 2026-11-26")
    note: str = Field("", description="what else should be known, in words")


class Shared(_Fact):
    """Data sets a and b hold the same operations."""

    a: str = Field(description="a data set")
    b: str = Field(description="another data set")
    numbers: str | None = Field(
        None,
        description='numbers that are one video in both, as "1 4-6"',
        pattern=r"^\d+(-\d+)?( \d+(-\d+)?)*$",
    )
    pairs: dict[int | str, int | str] | None = Field(
        None, description="video of a: video of b", min_length=1
    )
    count: int | None = Field(None, description="how many the source counts", gt=0)
    complete: bool = Field(description="true where the source says that no others are shared")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Shared:
        if self.a == self.b:
            raise ValueError("field 'b': is the same as a; name another data set")
        if self.numbers is not None and self.pairs is not None:
            raise ValueError("field 'pairs': there are numbers already; leave one of them out")
        if self.complete and not self.videos:
            raise ValueError("field 'complete': no video is named; write false, or name them")
        if self.videos and (self.count or 0) > len(self.videos):
            named = len(self.videos)
            raise ValueError(
                f"field 'count': {self.count}, but {named} are named; mend one of them"
            )
        return self

    @property
    def videos(self) -> tuple[tuple[int | str, int | str], ...]:
        """Video of a and video of b, pair by pair; () where they are not published."""
        if self.pairs is not None:
            return tuple(self.pairs.items())
        return tuple((n, n) for n in _numbers(self.numbers or ""))


class Among(_Fact):
    """Pairs of data sets: each of a with each of b, or, without b, those of a with each other."""

    a: tuple[str, ...] = Field(description="a list of data sets", min_length=1)
    b: tuple[str, ...] | Literal["all"] | None = Field(
        None, description="a list of data sets, all, or leave it out"
    )

    @model_validator(mode="after")
    def _holds_a_pair(self) -> Among:
        if self.b is None and len(set(self.a)) < 2:
            raise ValueError("field 'b': is left out, but a is no two data sets; write b, or all")
        return self

    def covers(self, one: str, other: str) -> bool:
        """Whether the pair is one of these."""
        if self.b is None:
            return one in self.a and other in self.a
        return any(
            left in self.a and (self.b == ALL or right in self.b)
            for left, right in ((one, other), (other, one))
        )


class Leak(_Fact):
    """A published model that has seen what it was tested on."""

    model: str = Field(description="the model")
    tested_on: str = Field(description="a data set")
    fact: str = Field(description="what it has seen, in words")


SECTIONS: dict[str, type[_Fact]] = {
    "shared": Shared,
    "disjoint": Among,
    "unknown": Among,
    "leaks": Leak,
}
Placed = tuple[str, Any]
"""Where a row stands, for messages, and the row."""


# ------------------------------------------------------------------ benchmarks, as read here


class HasSplits(Protocol):
    """What is read of a row of `unisurg.benchmarks.REGISTRY`."""

    @property
    def splits(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Listed(Protocol):
    """A split that names what it holds; any other depends on files of a copy."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Held:
    """A part of a benchmark that holds an operation.

    `part` is `unknown` where only a copy's files can tell it, or where no split knows the name.
    `carved` says that a val was taken out of what the owners train on, to choose probes: training
    on it spoils the choice and not the test.
    """

    benchmark: str
    case: str
    split: str
    part: Part
    carved: bool = False


# ------------------------------------------------------------------ the rules, and what follows


@dataclass(frozen=True)
class Overlaps:
    """All rules, by `load`."""

    datasets: Mapping[str, Dataset]
    shared: tuple[Shared, ...]
    disjoint: tuple[Among, ...]
    unknown: tuple[Among, ...]
    leaks: tuple[Leak, ...]

    def name(self, dataset: str, video: str | int) -> str:
        """The video's name as its data set writes it: `video07` for 7, `video7` and `VIDEO007`.

        Raises:
            OverlapsError: the data set numbers its videos, and this is not such a name.
        """
        known = self.datasets.get(dataset)
        if known is None or not known.names:
            return str(video)
        for pattern in ("{n}", *known.names):
            match = _expression(pattern).fullmatch(str(video))
            if match:
                return known.names[0].format(n=int(match[1]))
        example = known.names[0].format(n=7)
        raise OverlapsError(
            f"{dataset} has no video {str(video)!r}: its videos are named like {example}; "
            "restore the name, or call the data set by another one if it is not this one"
        )

    def expressions(self, dataset: str) -> tuple[str, ...]:
        """Regular expressions of the names of its videos; () where nobody knows how they go."""
        known = self.datasets.get(dataset)
        if known is None:
            return ()
        numbered = tuple(f"(?i:{_expression(pattern).pattern})" for pattern in known.names)
        return numbered or known.within

    def procedure_of(self, dataset: str, video: str | int) -> str:
        """`dataset/video` of the operation's smallest copy, itself where no rule names it.

        Raises:
            OverlapsError: as `name`.
        """
        own = dataset, self.name(dataset, video)
        return "/".join(self._smallest.get(own, own))

    def copies(self, dataset: str, video: str | int) -> tuple[Video, ...]:
        """The video and all other copies of its operation, the smallest first.

        Raises:
            OverlapsError: as `name`.
        """
        own = dataset, self.name(dataset, video)
        return self._copies.get(self._smallest.get(own, own), (own,))

    def relation(self, one: str, other: str) -> Relation:
        """Whether two data sets share operations; `unknown` unless a rule, or several, say it."""
        pair = frozenset((one, other))
        if one == other or pair in self._overlapping:
            return "overlaps"
        return "disjoint" if any(row.covers(one, other) for row in self.disjoint) else "unknown"

    def settled(self, one: str, other: str) -> bool:
        """Whether the names of videos tell all that two data sets share.

        Not so where their relation is unknown, where nobody has published which operations they
        share, or where only some are known: these pairs need a comparison of the pictures.
        """
        if one == other or self.relation(one, other) == "disjoint":
            return True
        return any(row.complete for row in self.shared if {row.a, row.b} == {one, other})

    def unsettled(self, dataset: str, benchmarks: Mapping[str, HasSplits]) -> tuple[str, ...]:
        """Benchmarks from which the data set is only kept apart by a comparison of the pictures."""
        return tuple(name for name in benchmarks if not self.settled(dataset, name))

    def unnamed(self, dataset: str, benchmarks: Mapping[str, HasSplits]) -> tuple[str, ...]:
        """Benchmarks that share operations with the data set, and nobody has published which.

        Any of its recordings may be one of theirs.
        """
        shared = [{row.a, row.b} for row in self.shared if not row.videos]
        unsettled = self.unsettled(dataset, benchmarks)
        return tuple(name for name in unsettled if {dataset, name} in shared)

    def held_out(
        self,
        dataset: str,
        video: str | int,
        benchmarks: Mapping[str, HasSplits],
        splits: Mapping[str, str] | None = None,
    ) -> tuple[Held, ...]:
        """Parts of benchmarks that validate or test on a copy of the video, or may do so.

        Nothing in it does not mean clean: that, only together with `unsettled` empty, or with a
        comparison of the pictures with every benchmark that `unsettled` names.

        Args:
            benchmarks: `unisurg.benchmarks.REGISTRY`, or some of it.
            splits: the split of a benchmark that will be reported; of a benchmark that it leaves
                out, every split but the embedded data's counts.

        Raises:
            OverlapsError: as `name`, or `splits` names a split that a benchmark does not have.
        """
        found = []
        for name, case in self.copies(dataset, video):
            if name in benchmarks:
                for split in _reported(name, benchmarks[name].splits, (splits or {}).get(name)):
                    part = self._part(name, case, split, benchmarks[name].splits)
                    if part is not None:
                        refit = bool(benchmarks[name].splits[split].refit)
                        found.append(Held(name, case, split, part, part == "val" and refit))
        return tuple(found)

    def _part(self, dataset: str, case: str, split: str, splits: Mapping[str, Any]) -> Part | None:
        """The part of the split that holds the case out; None where it does not."""
        rule = _rule(splits[split])
        if not isinstance(rule, Listed):
            return "unknown"
        names = self._names_in_splits(dataset, case)
        if not names.isdisjoint(rule.test):
            return "test"
        if not names.isdisjoint(rule.val):
            return "val"
        return None if any(_lists(other, names) for other in splits.values()) else "unknown"

    def _names_in_splits(self, dataset: str, case: str) -> set[str]:
        """The case's name, and what of it a split may list in its place: a segment, a trial."""
        patterns = self.datasets[dataset].within if dataset in self.datasets else ()
        matches = (re.fullmatch(pattern, case) for pattern in patterns)
        return {case, *(match[1] for match in matches if match)}

    @cached_property
    def _smallest(self) -> dict[Video, Video]:
        return closure(
            ((row.a, self.name(row.a, one)), (row.b, self.name(row.b, other)))
            for row in self.shared
            for one, other in row.videos
        )

    @cached_property
    def _copies(self) -> dict[Video, tuple[Video, ...]]:
        groups: dict[Video, list[Video]] = {}
        for video, smallest in self._smallest.items():
            groups.setdefault(smallest, []).append(video)
        return {smallest: tuple(sorted(group, key=_order)) for smallest, group in groups.items()}

    @cached_property
    def _overlapping(self) -> frozenset[frozenset[str]]:
        """Pairs of data sets that a rule names, or that meet in an operation."""
        met = {frozenset((row.a, row.b)) for row in self.shared}
        for group in self._copies.values():
            met |= {frozenset(pair) for pair in combinations({name for name, _ in group}, 2)}
        return frozenset(met)


def closure(same: Iterable[tuple[Video, Video]]) -> dict[Video, Video]:
    """The smallest video that each one is the same as, over any number of steps.

    A union-find whose roots are the smallest members, so that the order of the pairs is of no
    consequence. Smallest is by data set, then by name with its numbers as numbers.
    """
    parent: dict[Video, Video] = {}

    def root(video: Video) -> Video:
        parent.setdefault(video, video)
        while parent[video] != video:
            parent[video] = parent[parent[video]]
            video = parent[video]
        return video

    for one, other in same:
        low, high = sorted((root(one), root(other)), key=_order)
        parent[high] = low
    return {video: root(video) for video in list(parent)}


def load(path: Path | None = None, extra: Path | None = None) -> Overlaps:
    """The rules of the package, or of another file, and of a file of your own beside them.

    Raises:
        OverlapsError: for every wrong field of a file at once; or for a contradiction of rules.
    """
    datasets: dict[str, Dataset] = {}
    rules: dict[str, list[Placed]] = {section: [] for section in SECTIONS}
    for file in (path or OVERLAPS, extra):
        if file is None:
            continue
        named, placed = _read(file)
        for name in sorted(datasets.keys() & named.keys()):
            raise OverlapsError(f"{file}: row {name!r}: there is such a data set; remove the row")
        datasets |= named
        for section, rows in placed.items():
            rules[section] += rows
    _check_names(datasets, rules)
    overlaps = Overlaps(
        datasets, **{name: tuple(row for _, row in rows) for name, rows in rules.items()}
    )
    _check_sense(overlaps, rules)
    return overlaps


def _read(path: Path) -> tuple[dict[str, Dataset], dict[str, list[Placed]]]:
    """Data sets and rows of one file, each row with its place."""
    document = read_document(path, ("datasets", *SECTIONS), OverlapsError)
    complaints: list[str] = []

    def row(model: type[Row], content: Any, place: str) -> Any:
        try:
            return read_row(model, content, place, OverlapsError)
        except OverlapsError as error:
            complaints.append(str(error))
            return None

    for section in document:
        if not isinstance(document[section], dict if section == "datasets" else list):
            raise OverlapsError(f"{path}: field {section!r}: holds no rows; write or remove them")
    datasets = {
        str(name): row(Dataset, content, f"{path}: row {name!r}")
        for name, content in document.get("datasets", {}).items()
    }
    places = {
        section: [
            (place := f"{path}: row {number} of {section}", row(model, content, place))
            for number, content in enumerate(document.get(section, ()), start=1)
        ]
        for section, model in SECTIONS.items()
    }
    if complaints:
        raise OverlapsError("\n".join(complaints))
    return datasets, places


def _check_names(datasets: Mapping[str, Dataset], rules: Mapping[str, Sequence[Placed]]) -> None:
    """Every data set that a rule names must be known: a rule on a misspelt one would not bite."""
    for place, row in (placed for rows in rules.values() for placed in rows):
        for field in ("a", "b", "tested_on"):
            value = getattr(row, field, None)
            for name in (value,) if isinstance(value, str) else value or ():
                if name not in datasets and not (name == ALL and not isinstance(row, Shared)):
                    raise OverlapsError(
                        f"{place}, field {field!r}: no data set {name!r}; mend the name, or add it "
                        "to `datasets`"
                    )


def _check_sense(overlaps: Overlaps, rules: Mapping[str, Sequence[Placed]]) -> None:
    """Videos must be named as their data sets name them, and nothing be shared and disjoint."""
    for place, row in rules["shared"]:
        for field, side in (("a", 0), ("b", 1)):
            for pair in row.videos:
                try:
                    overlaps.name(getattr(row, field), pair[side])
                except OverlapsError as error:
                    said = "pairs" if row.pairs is not None else "numbers"
                    raise OverlapsError(f"{place}, field {said!r}: {error}") from None
    for place, row in rules["disjoint"]:
        for pair in overlaps._overlapping:
            one, other = sorted(pair)
            if row.covers(one, other):
                raise OverlapsError(
                    f"{place}, field 'a': {one} and {other} share operations by other rules; "
                    "remove the pair here, or the rule that is wrong"
                )


def _numbers(text: str) -> list[int]:
    """Numbers of "1 4-6": 1, 4, 5, 6.

    Raises:
        ValueError: a number twice, or a range that runs backwards.
    """
    found: list[int] = []
    for piece in text.split():
        first, _, last = piece.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or set(numbers) & set(found):
            raise ValueError(f"field 'numbers': {piece} runs backwards or is there twice; mend it")
        found += numbers
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    """What matches names of the pattern, whatever their case and zeros; its group is the number."""
    before, after = map(re.escape, _NUMBER.split(pattern))
    return re.compile(f"{before}0*(\\d+){after}", re.IGNORECASE)


def _order(video: Video) -> tuple[str, list[tuple[int, int, str]]]:
    """Sort key: by data set, then by name with its numbers as numbers."""
    pieces = [piece for piece in re.split(r"(\d+)", video[1]) if piece]
    return video[0], [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces]


def _rule(split: Any) -> Any:
    """The split itself, or the one that it applies to single cases or to surgeons."""
    return getattr(split, "rule", split)


def _lists(split: Any, names: set[str]) -> bool:
    """Whether the split is a list that names one of them."""
    rule = _rule(split)
    return isinstance(rule, Listed) and not names.isdisjoint((*rule.train, *rule.val, *rule.test))


def _reported(benchmark: str, splits: Mapping[str, Any], chosen: str | None) -> list[str]:
    if chosen is not None and chosen not in splits:
        known = ", ".join(splits)
        raise OverlapsError(f"{benchmark} has no split {chosen!r}; choose one of: {known}")
    return [name for name in ([chosen] if chosen else splits) if name != EMBEDDED]
