"""What is wrong with a copy of a data set: by file and line, with the remedy.

One reader serves both uses. In strict reading the first error is raised, so nothing is trained on
a doubtful copy; in a check every finding is kept, so that a person mends them all in one go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
# A file of another kind has a fault in each of its 50,000 rows.
MOST = 100


class BenchmarkError(ValueError):
    """A copy of a data set cannot be used; the message names the file, the line and the remedy."""

    def __init__(self, path: Path, problem: str, remedy: str, line: int | None = None) -> None:
        super().__init__(str(Finding("error", path, line, problem, remedy)))
        self.path, self.problem, self.remedy, self.line = path, problem, remedy, line


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know of a copy.

    An `error` makes the copy unusable, a `warning` differs from what the owners publish, a `note`
    tells which of several known layouts was recognised. `line` counts from 1.
    """

    severity: Severity
    path: Path
    line: int | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line is not None else f"{self.path}"
        return f"{where}: {self.problem}; {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass
class Findings:
    """Collects findings on the copy at `root`; a strict one raises the first error instead.

    A reader reports through `error`, leaves out what it could not read and goes on. Nothing is told
    twice, and of one file at most `MOST` findings of a severity; `summary` counts the others.
    `missing` and `extra` name the cases that a split asks for and the copy lacks, and the other way
    round.
    """

    root: Path
    strict: bool = True
    found: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    _seen: set[Finding] = field(default_factory=set, init=False, repr=False)
    _told: Counter[tuple[Path, Severity]] = field(default_factory=Counter, init=False, repr=False)

    def error(self, path: Path, problem: str, remedy: str, line: int | None = None) -> None:
        """The copy cannot be used.

        Raises:
            BenchmarkError: in strict reading.
        """
        if self.strict:
            raise BenchmarkError(path, problem, remedy, line)
        self._tell(Finding("error", path, line, problem, remedy))

    def warning(self, path: Path, problem: str, remedy: str, line: int | None = None) -> None:
        """The copy can be used, but is not what the owners publish."""
        self._tell(Finding("warning", path, line, problem, remedy))

    def note(self, path: Path, problem: str, remedy: str, line: int | None = None) -> None:
        """Which of several known layouts this copy has."""
        self._tell(Finding("note", path, line, problem, remedy))

    @property
    def summary(self) -> list[Finding]:
        """What was found, and for every file how much more there is."""
        more = [
            Finding(severity, path, None, f"{count - MOST} more like these", "mend those first")
            for (path, severity), count in self._told.items()
            if count > MOST
        ]
        return [*self.found, *more]

    @property
    def usable(self) -> bool:
        """Whether no error was found."""
        return all(finding.severity != "error" for finding in self.found)

    def _tell(self, finding: Finding) -> None:
        if finding in self._seen:
            return
        self._seen.add(finding)
        self._told[finding.path, finding.severity] += 1
        if self._told[finding.path, finding.severity] <= MOST:
            self.found.append(finding)
