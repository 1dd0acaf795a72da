"""Evidence about one video -> passed or refused. Nothing passes for want of evidence.

A video passes in one of two ways: its source says who de-identified it, or text was looked for on
every median and an out-of-body detector ran on every frame. A step that failed, or did only part
of its work, refuses the video in either case; so does one of which nothing is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.deid.outside import Detector, OutsideRules, Span, outside_spans
from unisurg.corpus.deid.overlays import Rectangle, checked, within_bound
from unisurg.corpus.deid.pages import cut_out, is_page
from unisurg.corpus.deid.text import Found, Kind, Spread, TextReader, united

T = TypeVar("T")
NOBODY = frozenset({"", "-", "?", "false", "n/a", "no", "nobody", "none", "null", "unknown"})
"""What a source may say that names nobody, in small letters."""


class State(StrEnum):
    """`deid_state` of the videos table."""

    PROVIDER = "provider"
    DETECTOR = "detector"
    REFUSED = "refused"


class Progress(StrEnum):
    """How far a step came."""

    MISSING = "missing"
    """Nothing is recorded of it."""
    SKIPPED = "skipped"
    """Left out on purpose; only a provider's word makes up for that."""
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class Step:
    """What is known of a step: it looked at `seen` of `wanted` pictures."""

    progress: Progress = Progress.MISSING
    seen: int = 0
    wanted: int = 0
    detail: str = ""

    @property
    def whole(self) -> bool:
        return self.progress is Progress.DONE and self.seen == self.wanted > 0


@dataclass(frozen=True)
class Evidence:
    """All that the verdict on a video rests on."""

    provider: str | None = None
    """Who de-identified it, as its source says; None where it does not."""
    text: Step = field(default_factory=Step)
    """Reading of the medians."""
    paint: Step = field(default_factory=Step)
    """Rectangles of catalogue and reading, held against the bound."""
    outside: Step = field(default_factory=Step)
    """Out-of-body detection on the frames of the grid."""
    doubt: str = ""
    """Why the source's word does not count for this video; empty where it does."""


REMEDIES = {
    "text": "install rapidocr, and let it read every median",
    "paint": "correct the source's overlays, or the bound on the painted share",
    "outside": "configure an out-of-body detector (docs/deidentification.md), and let it see every "
    "frame; or name in the source who de-identified it (deid_by_provider)",
}


RENAME = (
    "restore the name that its data set gives it; or, where it is a recording of your own, put it "
    "into a folder with a row in your sources.yaml (docs/sources.md)"
)


@dataclass(frozen=True)
class Verdict:
    """Whether a video may pass, why, and what to do where it may not."""

    state: State
    reason: str
    remedy: str = ""

    @property
    def passed(self) -> bool:
        return self.state is not State.REFUSED


def decide(evidence: Evidence) -> Verdict:
    """The one place in which a video is let through (curation reference 4.1, stage 4)."""
    provider = None if evidence.doubt else _named(evidence.provider)
    steps = {"text": evidence.text, "paint": evidence.paint, "outside": evidence.outside}
    for name, step in steps.items():
        excused = provider is not None and step.progress is Progress.SKIPPED
        if not (step.whole or excused):
            return _refusal(name, step, evidence.doubt)
    if provider is not None:
        return Verdict(State.PROVIDER, f"de-identified by {provider}, as its source says")
    n_pictures, n_frames = evidence.text.seen, evidence.outside.seen
    return Verdict(State.DETECTOR, f"read {n_pictures} pictures, saw {n_frames} frames")


def _refusal(name: str, step: Step, doubt: str) -> Verdict:
    reason, remedy = f"{name}: {_shortfall(step)}", REMEDIES[name]
    if not doubt:
        return Verdict(State.REFUSED, reason, remedy)
    return Verdict(State.REFUSED, f"{reason}; {doubt}", f"{RENAME}; or {remedy}")


@dataclass(frozen=True)
class DeidRules:
    """Bounds of the decision, beside those of its steps."""

    paint: Literal["all", "personal"]
    """Which text is painted: all of it, or what looks like personal data."""
    most_painted: float
    """A video of which more than this share 0..1 would be black is refused; a single picture of
    which text covers more is a page, and its time is cut out."""
    outside: OutsideRules


@dataclass(frozen=True)
class Examined:
    """What was found in one video, and the verdict. A refused video's findings are incomplete."""

    verdict: Verdict
    rectangles: tuple[Rectangle, ...]
    """To be painted black on every frame."""
    found: tuple[Found, ...]
    oob_p: NDArray[np.float32]
    """(N,) out-of-body probability of each frame of the grid; NaN = not run."""
    outside: tuple[Span, ...]
    """To be cut out, in seconds."""
    pages: tuple[Span, ...] = ()
    """Likewise: pictures that are mostly text may be shown there."""


def examine(
    *,
    provider: str | None,
    doubt: str,
    overlays: Iterable[tuple[float, float, float, float]],
    medians: Iterable[NDArray[np.uint8]],
    spans_s: Sequence[Span],
    frames: Iterable[NDArray[np.uint8]],
    n_frames: int,
    grid_s: float,
    duration_s: float,
    reader: TextReader | None,
    detector: Detector | None,
    rules: DeidRules,
    spreads: Sequence[Spread] | None = None,
) -> Examined:
    """Run the steps on one video, and judge. Never raises for what happens in a step.

    Args:
        doubt: why the provider's word does not count for this video, or empty.
        overlays: the source's catalogue, x, y, w, h as shares of the picture.
        medians: pictures (h, w, 3) uint8; single frames that are to be read as well count among
            them.
        spans_s: for each picture that there should be, the seconds in which what it shows may be
            seen: what is cut out where it is a page of text.
        frames: the grid's frames (H, W, 3) uint8 as decoded, of which there should be `n_frames`;
            not touched where no detector is given.
        spreads: where known, the deviation over time (h, w) beside each median.
        reader, detector: None is "not configured"; a provider's word makes up for it.
    """
    read, text = _attempt(
        partial(reader.read, medians, spreads) if reader else None, len, len(spans_s)
    )
    burned_in = [on_one for on_one in read or () if not is_page(on_one, rules.most_painted)]
    found = united(one for on_one in burned_in for one in on_one)
    wanted = [one for one in found if rules.paint == "all" or one.kind is Kind.PERSONAL]
    rectangles, paint = _attempt(
        lambda: _bounded([*overlays, *(one.rectangle for one in wanted)], rules.most_painted),
        lambda _: 1,
        1,
    )
    oob_p, outside = _attempt(partial(detector, frames) if detector else None, len, n_frames)
    spans: list[Span] | None = None
    if detector is not None and oob_p is not None and outside.whole:
        spans, cut = _attempt(
            lambda: outside_spans(
                oob_p, grid_s, duration_s, detector.card.threshold, rules.outside
            ),
            lambda _: n_frames,
            n_frames,
        )
        outside = outside if cut.whole else cut
    return Examined(
        decide(Evidence(provider, text, paint, outside, doubt)),
        rectangles or (),
        tuple(found),
        np.full(n_frames, np.nan, np.float32) if oob_p is None or not outside.whole else oob_p,
        tuple(spans or ()),
        tuple(cut_out(read, spans_s, rules.most_painted)) if text.whole and read else (),
    )


def _bounded(
    rectangles: Iterable[tuple[float, float, float, float]], most_share: float
) -> tuple[Rectangle, ...]:
    found = checked(rectangles)
    within_bound(found, most_share)
    return found


def _attempt(
    work: Callable[[], T] | None, seen: Callable[[Any], int], wanted: int
) -> tuple[T | None, Step]:
    """A step's result and record. No work is a step left out; whatever it raises is a failure."""
    if work is None:
        return None, Step(Progress.SKIPPED, 0, wanted, "not configured")
    try:
        result = work()
        return result, Step(Progress.DONE, seen(result), wanted)
    except Exception as error:
        return None, Step(Progress.FAILED, 0, wanted, told(error))


QUOTED = re.compile(r"""(['"])/[^'"\n]*?([^/'"\n]+)/?\1""")
BARE = re.compile(r"""(?<![\w/.])/(?:[^\s/'",;:()]+/)*([^\s/'",;:()]+)""")


def told(error: Exception) -> str:
    """Type and text of an error for a table, paths by their last name alone: where the data lies is
    nobody's business who reads the table, and the same findings are to give the same bytes."""
    text = f"{type(error).__name__}: {error}"
    return BARE.sub(r"\1", QUOTED.sub(r"\1\2\1", text))


def _named(provider: Any) -> str | None:
    """Who it is, or None where the words name nobody."""
    if not isinstance(provider, str) or provider.strip().lower() in NOBODY:
        return None
    return provider.strip()


def _shortfall(step: Step) -> str:
    if step.progress is Progress.DONE:
        return f"saw {step.seen} of {step.wanted} pictures"
    return f"{step.progress}: {step.detail}" if step.detail else str(step.progress)
