"""Published results beside ours: rows of `published.csv`, as printed, with their source."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Published:
    """One printed number.

    `value` is the share in 0..1 that the print means; or, where `share` is False, the number in the
    unit that `metric` names, such as millimetres or points of a scale.
    """

    benchmark: str
    metric: str
    model: str
    value: float
    source: str
    share: bool

    @property
    def text(self) -> str:
        """The number as a table shows it: a share in %, another one as it is."""
        return f"{100 * self.value:.1f}" if self.share else f"{self.value:g}"


def published(benchmark: str) -> list[Published]:
    """Rows of a benchmark in the order of the file; protocols differ, so the source matters."""
    text = resources.files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return [_row(row) for row in csv.DictReader(text.splitlines()) if row["benchmark"] == benchmark]


def _row(row: dict[str, str]) -> Published:
    scale = {"percent": 100.0, "share": 1.0, "plain": 1.0}[row["scale"]]
    return Published(
        row["benchmark"],
        row["metric"],
        row["model"],
        float(row["value"]) / scale,
        row["source"],
        share=row["scale"] != "plain",
    )
