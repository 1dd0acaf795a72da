"""The page on the rules that the tables of a curation keep: every table, every rule, one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unisurg.corpus.expectations.outcome import Report, Rule
from unisurg.report.blocks import Section, Table, Text
from unisurg.report.filling import filled

PAGE = "index.html"


def write_page(report: Report, folder: Path) -> Path:
    """Write `index.html`, which needs nothing beside it; equal reports give equal bytes."""
    path = folder / PAGE
    path.write_text(page(report), encoding="utf-8")
    return path


def page(report: Report) -> str:
    tables: dict[str, list[Rule]] = {}
    for rule in report.rules:
        tables.setdefault(rule.table, []).append(rule)
    broken = list(dict.fromkeys(rule.table for rule in report.broken))
    said = f"{len(report.rules)} rules on {len(tables)} tables were checked"
    verdict = f"{len(report.broken)} are broken: {', '.join(broken)}." if broken else "All hold."
    return filled(
        kicker="UniSurg · validation",
        title="Do the tables of the curation keep their rules?",
        about=f"{said} with Great Expectations. {verdict} A broken rule stops every stage behind"
        " the corpus. Recordings go by opaque ids; `unisurg recordings ID` tells the file.",
        sections=[
            *([Section("broken", "Broken rules", list(_broken(report.broken)))] if broken else []),
            *(_section(name, own) for name, own in tables.items()),
        ],
    )


def _broken(rules: Sequence[Rule]) -> list[Text | Table]:
    blocks: list[Text | Table] = []
    for rule in rules:
        where = f"{rule.table}, {rule.column}" if rule.column else rule.table
        blocks.append(Text(f"{where}: {rule.rule}. Found instead: {rule.observed}.", "loud"))
        if rule.failed_rows:
            head = list(rule.failed_rows[0])
            rows = [[str(row[name]) for name in head] for row in rule.failed_rows]
            blocks.append(Table(head, rows, f"The first {len(rows)} rows.", narrow=True))
    return blocks


def _section(name: str, rules: Sequence[Rule]) -> Section:
    rows = [
        [
            "✓ holds" if rule.success else "✗ broken",
            rule.column,
            rule.rule,
            f"{rule.rows:,}",
            rule.observed,
        ]
        for rule in rules
    ]
    strong = frozenset(i for i, rule in enumerate(rules) if not rule.success)
    head = ["", "column", "rule", "rows", "found instead"]
    caption = "Rows: of the table, or one for each of its columns, videos or files."
    return Section(
        name.replace("/", "-"), name, [Table(head, rows, caption, frozenset({3}), strong)]
    )
