"""What a benchmark is: a row of facts, named splits as data, a reader of its official layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


class BenchmarkError(ValueError):
    """A copy of a data set cannot be used; the message names the file, the line and the remedy."""

    def __init__(self, path: Path, problem: str, remedy: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}; {remedy}")


@dataclass(frozen=True)
class VideoCase:
    """One labelled video; `labels[i]` is the class index of second i, shape (S,) int64."""

    case: str
    video: Path
    split: Part
    labels: np.ndarray


@dataclass(frozen=True)
class PictureCase:
    """One labelled picture and its mask; `size` is (height, width) of both, in pixels."""

    case: str
    image: Path
    mask: Path
    split: Part
    size: tuple[int, int]


Case = VideoCase | PictureCase


class Split(Protocol):
    """A rule that puts every case of a data set into train, val or test."""

    @property
    def note(self) -> str:
        """Where the rule comes from, in one sentence."""

    @property
    def refit(self) -> bool:
        """Whether the chosen probe is trained again on train + val before the test."""

    def assign(self, cases: Sequence[str], root: Path) -> dict[str, Part]:
        """Part of each case, in the order of the cases; a case that is not in use is left out."""


@dataclass(frozen=True)
class NamedSplit:
    """A split that lists its cases by name."""

    note: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    refit: bool = False

    def assign(self, cases: Sequence[str], root: Path) -> dict[str, Part]:
        wanted: dict[str, Part] = {}
        for part, names in zip(PARTS, (self.train, self.val, self.test), strict=True):
            wanted.update(dict.fromkeys(names, part))
        missing = sorted(set(wanted) - set(cases))
        if missing:
            raise BenchmarkError(
                root,
                f"{len(missing)} of the split's {len(wanted)} cases are missing: "
                f"{', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}",
                "complete the copy or choose another split",
            )
        return {case: wanted[case] for case in cases if case in wanted}


@dataclass(frozen=True)
class ShareSplit:
    """A split by shares of the cases in natural order: first train, then val, the rest test."""

    note: str
    train: float
    val: float
    refit: bool = False

    def assign(self, cases: Sequence[str], root: Path) -> dict[str, Part]:
        count = len(cases)
        first, second = round(self.train * count), round((self.train + self.val) * count)
        if not 0 < first < second < count:
            raise BenchmarkError(
                root,
                f"{count} cases cannot be split into train, val and test",
                "at least 4 cases are needed",
            )
        ordered = sorted(cases, key=natural)
        return {
            case: "train" if i < first else "val" if i < second else "test"
            for i, case in enumerate(ordered)
        }


@dataclass(frozen=True)
class FolderSplit:
    """A split that the folders of the data set make; val is the last share of the train folder."""

    note: str
    val: float
    refit: bool = False

    def assign(self, cases: Sequence[str], root: Path) -> dict[str, Part]:
        """Cases are named `train-STEM` or `test-STEM`."""
        train = sorted((c for c in cases if c.startswith("train-")), key=natural)
        kept = round((1 - self.val) * len(train))
        if not 0 < kept < len(train):
            raise BenchmarkError(
                root, f"{len(train)} training pictures", "at least 2 are needed, 1 for validation"
            )
        val = set(train[kept:])
        return {
            case: "val" if case in val else "train" if case.startswith("train-") else "test"
            for case in cases
        }


@dataclass(frozen=True)
class Benchmark:
    """One row of the table of benchmarks.

    `main` is the exact name of the metric by which probes are chosen on validation cases and
    encoders are compared; `reader` reads the official layout below a root.
    """

    name: str
    title: str
    task: Literal["phase", "segmentation"]
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    unit: Literal["video", "picture"]
    main: str
    licence: str
    access: str
    reader: Callable[[Path, Split], list[Case]]

    def read(self, root: Path, split: str) -> list[Case]:
        """Cases of the named split, in natural order of their names.

        Raises:
            BenchmarkError: naming the file and the line that cannot be used, and the remedy.
        """
        root = Path(root)
        if not root.is_dir():
            raise BenchmarkError(root, "no such folder", f"to get the data: {self.access}")
        return self.reader(root, self.split(split, root))

    def split(self, name: str, root: Path = Path()) -> Split:
        """The split of that name."""
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise BenchmarkError(
                root, f"{self.name} has no split {name!r}", f"choose one of: {known}"
            )
        return self.splits[name]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which `video2` comes before `video10` and numbers before letters."""
    return [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece)
        for piece in re.split(r"(\d+)", name)
        if piece
    ]
