"""What may be expected of a table, as plain data: `check` tells Great Expectations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Number = int | float


@dataclass(frozen=True)
class Between:
    """A column's values lie in [low, high]; a bound of None is none, and a NaN passes."""

    column: str
    low: Number | None
    high: Number | None
    rule: str


@dataclass(frozen=True)
class Among:
    """A column's values are some of these."""

    column: str
    values: tuple[str | bool | int, ...]
    rule: str


@dataclass(frozen=True)
class Present:
    """Every row has a value, and a number is no NaN."""

    column: str
    rule: str = "has a value"


@dataclass(frozen=True)
class Unique:
    """No two rows agree in all of these columns."""

    columns: tuple[str, ...]
    rule: str = "no value twice"


@dataclass(frozen=True)
class Rows:
    """There are at least so many rows."""

    least: int
    rule: str


Expected = Between | Among | Present | Unique | Rows


@dataclass(frozen=True)
class Suite:
    """A table, by which of its columns a row is named to whoever must mend it, and its rules."""

    table: str
    """`folder/table`; several suites may look at one table in different ways."""
    rows: pd.DataFrame
    named_by: tuple[str, ...]
    expected: tuple[Expected, ...]


def none_of(column: str, rule: str) -> Among:
    """A column tells in words what is wrong with a row; empty where nothing is."""
    return Among(column, ("",), rule)


def true(column: str, rule: str) -> Among:
    return Among(column, (True,), rule)
