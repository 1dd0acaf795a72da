"""What a flow shows of itself in Prefect: a summary, a table, a link."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unisurg.evaluation.reported import unit_of, written

Row = Mapping[str, str]


def markdown_table(rows: Sequence[Row]) -> list[str]:
    """Rows with the same columns as lines of Markdown; none of no rows."""
    if not rows:
        return []
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(row[column] for column in head)} |" for row in rows]


def metric_rows(paths: Iterable[Path]) -> list[Row]:
    """A row for the main metric of every file of metrics that is there, per encoder."""
    return [row for path in paths if path.is_file() for row in _main_metric(path)]


def _main_metric(path: Path) -> list[Row]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else {}
    if not isinstance(content, dict) or "main" not in content:
        return []
    main = content["main"]
    return [
        {
            "file": path.name,
            "metric": f"{main}, {encoder}",
            "value": _spelled(main, content[encoder][main]),
        }
        for encoder in ("pretrained", "random", "difference")
        if main in content.get(encoder, {})
    ]


def _spelled(metric: str, estimate: Mapping[str, float]) -> str:
    """`18.5 % [14.7, 22.6]`; without the interval where there is none."""
    value = f"{written(metric, estimate['mean'])} {unit_of(metric)}".strip()
    if "low" not in estimate:
        return value
    low, high = (written(metric, estimate[bound]) for bound in ("low", "high"))
    return f"{value} [{low}, {high}]"


def show(key: str, markdown: str, table: Sequence[Row] = (), page: Path | None = None) -> None:
    """Leave artifacts with the flow's run: `key`, `key-table` and `key-page`, where there are such.

    Args:
        page: a local HTML page; the link opens on the machine where the flow ran.
    """
    from prefect.artifacts import (
        create_link_artifact,
        create_markdown_artifact,
        create_table_artifact,
    )

    create_markdown_artifact(markdown, key=key)
    if table:
        create_table_artifact([dict(row) for row in table], key=f"{key}-table")
    if page is not None and page.is_file():
        create_link_artifact(page.as_uri(), page.name, key=f"{key}-page")
