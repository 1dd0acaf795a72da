"""Recordings that are refused: for which reason, and when they are too many.

What a table says of a refusal is said in our own words or the system's, never in those of a library
or of a dying process: they may quote a file's name, and a name may be a patient's. Their words go
into the table of raw names (`unisurg.corpus.raw_names`), which stays where the raw names are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unisurg.corpus import manifest
from unisurg.corpus.child import ChildCrashed, ChildOutOfMemory, ChildTimeout
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import Recording, Unreadable

NAMED_IN_ERROR = 20
STAGES = {
    Reason.EMPTY: "probe",
    Reason.UNREADABLE: "probe",
    Reason.NO_ACCESS: "probe",
    Reason.UNSAFE: "probe",
    Reason.NO_VIDEO_STREAM: "probe",
    Reason.NOT_A_SEQUENCE: "probe",
    Reason.DUPLICATE: "probe",
    Reason.VERIFY_FAILED: "verify",
    Reason.NOT_DEIDENTIFIED: "deidentify",
    Reason.UNWRITABLE: "corpus",
}
"""Where a recording was refused; all other reasons show while it is normalised."""


class CurationError(RuntimeError):
    """The corpus is not fit for use; the message names the recordings and the remedy."""


@dataclass(frozen=True)
class Refused:
    """A recording that goes into quarantine, and what was seen."""

    recording: Recording
    reason: Reason
    detail: str
    said: str = ""
    """By others, who may quote its name."""

    def row(self, id: str) -> manifest.Row:
        """Its row of `quarantine.csv`, under its opaque id."""
        return {
            "recording": id,
            "stage": STAGES.get(self.reason, "normalise"),
            "reason": str(self.reason),
            "detail": self.detail,
            "raw_bytes": self.recording.raw_bytes,
        }


def refused(recording: Recording, error: Exception, memory_mib: int) -> Refused:
    """The refusal that an exception stands for, whatever it is.

    Args:
        memory_mib: what the recording's reader was allowed.
    """
    match error:
        case Unusable():
            return Refused(recording, error.reason, error.detail)
        case ChildTimeout():
            return Refused(recording, Reason.TIMEOUT, str(error))
        case ChildOutOfMemory():
            detail = f"out of memory, {memory_mib} MiB allowed"
            return Refused(recording, Reason.OUT_OF_MEMORY, detail, str(error))
        case ChildCrashed():
            how, _, words = str(error).partition(": ")
            return Refused(recording, Reason.CRASHED, how, words)
        case PermissionError():
            return Refused(recording, Reason.NO_ACCESS, of_the_system(error), str(error))
    return Refused(recording, Reason.FAILED, of_the_system(error), str(error))


def unreadable(one: Unreadable, id: str) -> manifest.Row:
    """The row of `quarantine.csv` of what could not even be looked into."""
    return {
        "recording": id,
        "stage": "probe",
        "reason": str(one.reason),
        "detail": one.why,
        "raw_bytes": one.raw_bytes,
    }


def of_the_system(error: Exception) -> str:
    """An error's type, and what the system's own list says of its number."""
    number = error.errno if isinstance(error, OSError) else None
    kind = type(error).__name__
    return f"{kind}: {os.strerror(number)}" if number is not None else kind


def judge(found: Sequence[manifest.Row], inputs: int, most: float, folder: Path) -> None:
    """Pass a share of refusals, rows of the quarantine in `folder`, of at most `most`.

    Raises:
        CurationError: there are more, and the first of them with their reasons.
    """
    if len(found) <= most * inputs:
        return
    named = sorted(found, key=lambda row: row["recording"])[:NAMED_IN_ERROR]
    lines = [f"  {row['recording']}: {row['reason']}: {row['detail']}" for row in named]
    more = [f"  and {len(found) - len(named)} more"] if len(found) > len(named) else []
    raise CurationError(
        "\n".join(
            [
                f"{len(found)} of {inputs} recordings are in quarantine, more than the share of "
                f"{most:g} that curate.max_quarantined allows:",
                *lines,
                *more,
                f"All of them with their reasons: {folder / manifest.QUARANTINE}; "
                f"`unisurg recordings --corpus {folder}` tells their names. "
                "Repair or remove them, or raise curate.max_quarantined.",
            ]
        )
    )
