"""Promoted or refused, and why: as data, and as a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unisurg.promotion.gate import Row


@dataclass(frozen=True)
class Decision:
    """`reasons` are sentences: what speaks against it where it is refused, else what speaks for it.

    `at` is when (ISO 8601, UTC), `commit` the checkout's, versions are those of the registry.
    """

    promoted: bool
    reasons: tuple[str, ...]
    benchmarks: tuple[Row, ...]
    champion_version: int | None
    challenger_version: int
    model: str
    margin: float
    at: str
    commit: str | None

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "benchmarks": [row.as_dict() for row in self.benchmarks]}

    def headline(self) -> str:
        who = f"{self.model} version {self.challenger_version}"
        if self.champion_version is None:
            did = "is the first champion" if self.promoted else "was refused; there is no champion"
            return f"{who} {did}"
        did = "is champion now, after" if self.promoted else "was refused; the champion remains"
        return f"{who} {did} version {self.champion_version}"

    def markdown(self) -> str:
        """The decision as a page: reasons, then a row per benchmark."""
        reasons = "\n".join(f"- {reason}" for reason in self.reasons)
        parts = [f"# {self.headline()}", f"{self.at}, commit {self.commit or 'unknown'}.", reasons]
        if self.benchmarks:
            parts.append(table(self.benchmarks))
            parts.append(
                "Differences are challenger minus champion with their 95 % interval over test"
                f" cases. Not worse: the interval rules out a loss of more than {self.margin:g}."
            )
        return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| benchmark | metric | champion | challenger | difference | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        before = "-" if row.champion is None else f"{row.champion:.3f}"
        change = "-"
        if row.difference is not None:
            change = f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        cells = (row.name, row.metric, before, f"{row.challenger:.3f}", change, row.verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
