"""What a page consists of: sections of paragraphs, pictures, tables and folds.

`page.html` knows how each kind looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph, code in backticks; `kind` is `plain`, `note`, `loud` or `missing`."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with what it shows for those who cannot see it."""

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of text: `numeric` columns flush right, `strong` rows in bold; `narrow` as its text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    narrow: bool = False


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown when asked for."""

    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Code:
    text: str


Block = Text | Picture | Table | Fold | Code


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block]

    @property
    def short(self) -> str:
        """What the table of contents calls it."""
        return self.title.partition(":")[0]


def missing(path: object, stage: str) -> Text:
    return Text(f"Not here yet: {path}. `dvc repro {stage}` writes it.", "missing")
