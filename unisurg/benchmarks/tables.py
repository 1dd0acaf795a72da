"""Text files of labels, line by line, so that every fault is told with its line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from unisurg.benchmarks.findings import Findings

Row = tuple[int, dict[str, str]]


def read_lines(path: Path, findings: Findings) -> list[str]:
    """Lines of a UTF-8 file, without a byte-order mark and with any line ends.

    Empty when the file cannot be read, which is a finding; an empty line at the end is no line.
    """
    try:
        # utf-8-sig drops a byte-order mark; splitting on "\n" alone would keep Windows' returns.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        findings.error(path, f"cannot be read as text ({error})", "get the original file")
        return []
    if not lines:
        findings.error(path, "an empty file", "get the original file", 1)
    return lines


def read_rows(
    path: Path, columns: Sequence[str], findings: Findings, delimiter: str = ","
) -> list[Row]:
    """Rows of a table, each with its line number, by column.

    The header must be exactly `columns`, in that order. A row with another number of fields is a
    finding and left out; fields are stripped of blanks around them.
    """
    lines = read_lines(path, findings)
    if not lines:
        return []
    table = csv.reader(lines, delimiter=delimiter)
    header = [field.strip() for field in next(table)]
    if header != list(columns):
        expected = delimiter.join(columns)
        findings.error(
            path, f"the header is {lines[0]!r}, expected {expected!r}", "get the original file", 1
        )
        return []
    rows: list[Row] = []
    for fields in table:
        if len(fields) == len(columns):
            rows.append((table.line_num, dict(zip(columns, map(str.strip, fields), strict=True))))
        else:
            findings.error(
                path,
                f"{len(fields)} fields, expected {len(columns)}",
                "repair the row",
                table.line_num,
            )
    if len(lines) == 1:
        findings.error(path, "no rows below the header", "get the original file")
    return rows


def whole(text: str) -> int | None:
    """The integer that the text is, or None."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() else None
