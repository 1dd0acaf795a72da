"""Files of `Frame Phase` rows, as Cholec80, M2CAI16 and AutoLaparo ship them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unisurg.benchmarks.findings import Findings
from unisurg.benchmarks.tables import read_lines, whole

HEADER = ["Frame", "Phase"]


@dataclass(frozen=True)
class FramePhases:
    """Rows of one file: line numbers (R,), frame numbers (R,), phases as written, R of them."""

    path: Path
    lines: np.ndarray
    frames: np.ndarray
    phases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.phases)

    def line_of(self, phase: str) -> int:
        """Line of the first row with that phase."""
        return int(self.lines[self.phases.index(phase)])


def read_frame_phases(
    path: Path, findings: Findings, delimiter: str | None = None
) -> FramePhases | None:
    """Rows below the header `Frame Phase`.

    Args:
        delimiter: between the two fields; None is any run of blanks and tabs.

    Returns:
        None where a row cannot be read or there is none, which are findings.
    """
    lines = read_lines(path, findings)
    if not lines:
        return None
    name = "<TAB>" if delimiter == "\t" else " "
    if lines[0].split(delimiter) != HEADER:
        findings.error(
            path,
            f"the header is {lines[0]!r}, expected 'Frame{name}Phase'",
            "get the original file",
            1,
        )
        return None
    rows = [_row(path, n, line, delimiter, findings) for n, line in enumerate(lines[1:], start=2)]
    whole_rows = [row for row in rows if row is not None]
    if not rows:
        findings.error(path, "no rows below the header", "get the original file")
    if not rows or len(whole_rows) < len(rows):
        return None
    numbers, frames, phases = zip(*whole_rows, strict=True)
    return FramePhases(path, np.array(numbers), np.array(frames), phases)


def _row(
    path: Path, number: int, line: str, delimiter: str | None, findings: Findings
) -> tuple[int, int, str] | None:
    fields = line.split(delimiter)
    frame = whole(fields[0].strip()) if fields else None
    if not line.strip():
        findings.error(path, "an empty row", "remove it or get the original", number)
    elif len(fields) != 2:
        parted = "a tab" if delimiter == "\t" else "blanks or a tab"
        findings.error(
            path, f"{len(fields)} fields, expected 2 parted by {parted}", "repair the row", number
        )
    elif frame is None:
        findings.error(path, f"frame {fields[0]!r} is no number", "repair the row", number)
    else:
        return number, frame, fields[1].strip()
    return None


def check_frames(rows: FramePhases, first: int, remedy: str, findings: Findings) -> bool:
    """Whether the frames count first, first + 1, ...; every jump is a finding.

    A file with another, constant step is told once instead of once a row.
    """
    expected = np.concatenate([[first], rows.frames[:-1] + 1])
    (wrong,) = np.nonzero(rows.frames != expected)
    steps = np.unique(np.diff(rows.frames))
    if len(wrong) > 2 and len(steps) == 1:
        wrong = wrong[wrong > 0][:1]
    for i in wrong:
        findings.error(
            rows.path,
            f"frame '{rows.frames[i]}' where {expected[i]} was expected",
            remedy,
            int(rows.lines[i]),
        )
    return not len(wrong)


def class_indices(
    rows: FramePhases, index: Mapping[str, int], remedy: str, findings: Findings
) -> np.ndarray | None:
    """Class index of every row, shape (R,) int64; None where a phase is unknown, a finding each.

    A run of the same unknown phase is told once, at its first row.
    """
    previous = None
    for line, phase in zip(rows.lines, rows.phases, strict=True):
        if phase not in index and phase != previous:
            findings.error(rows.path, f"unknown phase {phase!r}", remedy, int(line))
        previous = phase
    if not set(rows.phases) <= set(index):
        return None
    return np.array([index[phase] for phase in rows.phases], np.int64)
