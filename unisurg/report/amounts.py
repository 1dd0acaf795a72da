"""Lengths of video and sizes of files, in a unit that suits the largest of a page."""

from __future__ import annotations

from dataclasses import dataclass

HOURS_FROM_S = 10 * 3600.0
"""Of all that came in; a smaller corpus is told in minutes."""


@dataclass(frozen=True)
class Unit:
    """A unit of time: its name in the plural, and its length."""

    name: str
    seconds: float

    def of(self, seconds: float, digits: int = 1) -> str:
        """A number of the unit, as in `1,204.5`."""
        return f"{seconds / self.seconds:,.{digits}f}"


MINUTES, HOURS = Unit("minutes", 60.0), Unit("hours", 3600.0)


def unit_for(total_s: float) -> Unit:
    return HOURS if total_s >= HOURS_FROM_S else MINUTES


def clock(seconds: float) -> str:
    """A time within a recording, as in `1:02:07`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def counted(n: int, what: str) -> str:
    """As in `1 clip`, `2,000 clips`."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.1f}"


def share(part: float, whole: float) -> str:
    """In per cent; of nothing, a dash."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
