"""What became of seconds and of recordings, in words and in colours that a stranger understands."""

from __future__ import annotations

from dataclasses import dataclass

from unisurg.corpus.facts import Reason
from unisurg.corpus.intervals import State
from unisurg.report.palette import CATEGORIES, PRETRAINED


@dataclass(frozen=True)
class Told:
    """A state of seconds: its short name, what it means, the colour it is drawn in."""

    name: str
    meaning: str
    colour: str


BLUE, CYAN, GREEN, YELLOW, RED, PURPLE, GREY = CATEGORIES
STATES: dict[State, Told] = {
    State.REFUSED: Told(
        "refused", "of recordings that were not de-identified, or not written clean", "#3b3f4a"
    ),
    State.OOB: Told("outside the body", "filmed outside the body, by the detector", RED),
    State.UNDECODABLE: Told("undecodable", "no picture could be decoded", "#8d5524"),
    State.NONSURGICAL: Told(
        "not surgical", "a title card or a still picture between two cuts", YELLOW
    ),
    State.BLACK: Told("black", "the picture is dark", GREY),
    State.FROZEN: Told("frozen", "the picture stands still; its first showing is kept", CYAN),
    State.BLUR: Told(
        "blurred", "out of focus for longer than smoke or a fast move lasts", "#b6d7a8"
    ),
    State.DUPLICATE: Told("duplicate", "the same footage is kept from another recording", PURPLE),
    State.LEAK: Told("leak", "of an operation that a benchmark validates or tests on", "#d9822b"),
    State.SHORT: Told("too short", "fit for use, but too little in one piece", GREEN),
    State.KEEP: Told("kept", "clean clips for pretraining", PRETRAINED),
}
"""In the order in which seconds are taken away; what is kept stands last."""

REASONS: dict[Reason, str] = {
    Reason.EMPTY: "the file has no bytes",
    Reason.UNREADABLE: "no known container, or no picture could be decoded",
    Reason.NO_ACCESS: "the file or folder could not be opened",
    Reason.UNSAFE: "an archive that unpacks to far too much, or a name that leads out of it",
    Reason.NO_VIDEO_STREAM: "no moving pictures in it, as in a file of sound",
    Reason.NOT_A_SEQUENCE: "pictures that neither numbers in their names nor times order",
    Reason.DUPLICATE: "the same bytes as another recording",
    Reason.TOO_SHORT: "shorter than the least length that is read",
    Reason.DAMAGED: "less than half of it could be decoded",
    Reason.TIMEOUT: "reading took longer than the limit",
    Reason.OUT_OF_MEMORY: "reading needed more memory than the limit",
    Reason.CRASHED: "the process that read it died",
    Reason.VERIFY_FAILED: "its clip did not read back as it was written",
    Reason.NOT_DEIDENTIFIED: "nobody vouches for it, and it could not be looked at whole",
    Reason.UNWRITABLE: "its clean clips could not be written",
    Reason.FAILED: "another error while reading or writing",
}
