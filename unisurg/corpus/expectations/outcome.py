"""What became of the rules: which hold, which are broken, and by which rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ROWS_NAMED = 20


@dataclass(frozen=True)
class Rule:
    """The outcome of one rule on one column of one table."""

    table: str
    """`folder/table`, as in `leak/intervals`."""
    rule: str
    column: str
    rows: int
    """How many were looked at: those of the table, or one per column, video or file of it."""
    success: bool
    observed: str
    """What was found instead, empty where the rule holds."""
    failed_rows: list[dict[str, Any]]
    """The first ROWS_NAMED offending rows: what they are named by, and the value that offends."""


@dataclass(frozen=True)
class Report:
    rules: list[Rule]

    @property
    def broken(self) -> list[Rule]:
        return [rule for rule in self.rules if not rule.success]

    @property
    def success(self) -> bool:
        return not self.broken

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {"success": self.success, "rules": [asdict(rule) for rule in self.rules]}


class ValidationFailed(RuntimeError):
    """The corpus breaks a rule; the message names the rules and the offending rows."""

    def __init__(self, report: Report) -> None:
        head = f"{len(report.broken)} of {len(report.rules)} rules do not hold:"
        remedy = "Curate again, with the settings that are used to validate."
        super().__init__("\n".join([head, *map(_told, report.broken), remedy]))
        self.report = report


def _told(rule: Rule) -> str:
    where = f"{rule.table}.{rule.column}" if rule.column else rule.table
    rows = ["    " + ", ".join(f"{key} {row[key]}" for key in row) for row in rule.failed_rows]
    return "\n".join([f"  {where}: {rule.rule}: broken by {rule.observed}", *rows])
