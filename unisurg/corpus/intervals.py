"""The seconds of one video, each with what became of it: nothing is deleted, it is painted.

A video is the half-open interval [0, duration_s). It starts as one interval of `keep`; every step
that refuses seconds paints them with a state and a reason. What is painted stays painted (the first
reason wins), so what is left of `keep` does not depend on the order of the steps, only the reasons
of seconds that several steps refuse do. However often one paints, the intervals cover the video
exactly: the conservation law of section 4.3 of the curation reference.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

Span = tuple[float, float]
"""[start, end) in seconds since the first frame."""


class State(StrEnum):
    """What became of some seconds of a video."""

    KEEP = "keep"
    BLACK = "black"
    FROZEN = "frozen"
    """The picture stands still."""
    BLUR = "blur"
    OOB = "oob"
    """The camera is out of the body."""
    NONSURGICAL = "nonsurgical"
    """A title card, a page of text, or a still picture between two cuts."""
    DUPLICATE = "duplicate"
    """The same seconds are kept from another video."""
    LEAK = "leak"
    """The same operation is in a validation or test set of a benchmark."""
    UNDECODABLE = "undecodable"
    """No frame could be decoded near these seconds."""
    SHORT = "short"
    """Fit for use, but too little in one piece."""
    REFUSED = "refused"
    """The video was not de-identified, so nothing of it may be used."""


@dataclass(frozen=True)
class Interval:
    """[start_s, end_s) of a video, its state, why, and the step that said so."""

    start_s: float
    end_s: float
    state: State
    reason: str
    stage: str

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


def whole(duration_s: float) -> tuple[Interval, ...]:
    """All of a video as `keep`; of one that lasts 0 s, no interval.

    Raises:
        ValueError: a duration that is negative or not finite.
    """
    if not (math.isfinite(duration_s) and duration_s >= 0):
        raise ValueError(f"a video cannot last {duration_s} s; probe it again")
    return (Interval(0.0, float(duration_s), State.KEEP, "", ""),) if duration_s else ()


def paint(
    intervals: Sequence[Interval], spans: Iterable[Span], state: State, reason: str, stage: str
) -> tuple[Interval, ...]:
    """Give `state` to what is `keep` in any of the spans; the rest is as it was.

    Spans may overlap, come in any order and reach beyond the video; empty ones paint nothing.

    Args:
        intervals: of one video, by ascending time.
        spans: [start, end) in seconds.
        state: anything but `keep`: what was refused is never taken back.
        reason: what was seen, in words.
        stage: the step that paints.

    Raises:
        ValueError: painting with `keep`, or a span with an end that is no number.
    """
    if state is State.KEEP:
        raise ValueError("`keep` is what is left, it cannot be painted; start again from whole()")
    wanted = _united(spans)
    painted: list[Interval] = []
    for interval in intervals:
        if interval.state is State.KEEP:
            painted.extend(_cut(interval, wanted, Interval(0.0, 0.0, state, reason, stage)))
        else:
            painted.append(interval)
    return merged(painted)


def merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Neighbours that touch and say the same (state, reason, stage) become one."""
    result: list[Interval] = []
    for interval in intervals:
        if result and _continues(result[-1], interval):
            result[-1] = replace(result[-1], end_s=interval.end_s)
        else:
            result.append(interval)
    return tuple(result)


def of_state(intervals: Iterable[Interval], state: State) -> tuple[Interval, ...]:
    """The intervals in one state, in their order."""
    return tuple(interval for interval in intervals if interval.state is state)


def seconds_by_state(intervals: Iterable[Interval]) -> dict[State, float]:
    """Total seconds of every state that occurs; they sum to the duration of the video."""
    parts: dict[State, list[float]] = {}
    for interval in intervals:
        parts.setdefault(interval.state, []).append(interval.seconds)
    return {state: math.fsum(seconds) for state, seconds in sorted(parts.items())}


def conserved(intervals: Sequence[Interval], duration_s: float) -> bool:
    """Whether the intervals cover [0, duration_s] exactly: no gap, no overlap, nothing beyond."""
    return not violation(intervals, duration_s)


def violation(intervals: Sequence[Interval], duration_s: float) -> str:
    """The first place where the conservation law is broken, in words; "" where it holds."""
    reached = 0.0
    for interval in intervals:
        if not interval.start_s < interval.end_s:
            return f"empty or reversed interval at {interval.start_s} s"
        if interval.start_s != reached:
            kind = "gap" if interval.start_s > reached else "overlap"
            return f"{kind} between {reached} s and {interval.start_s} s"
        reached = interval.end_s
    if reached != duration_s:
        return f"intervals end at {reached} s, the video at {duration_s} s"
    return ""


def to_rows(video_id: str, intervals: Iterable[Interval]) -> list[dict[str, Any]]:
    """Rows of the table `intervals`."""
    return [
        {
            "video_id": video_id,
            "start_s": interval.start_s,
            "end_s": interval.end_s,
            "state": str(interval.state),
            "reason": interval.reason,
            "stage": interval.stage,
        }
        for interval in intervals
    ]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Interval, ...]:
    """The intervals of one video, by ascending time, from its rows of the table `intervals`."""
    found = (
        Interval(r["start_s"], r["end_s"], State(r["state"]), r["reason"], r["stage"]) for r in rows
    )
    return tuple(sorted(found, key=lambda interval: interval.start_s))


def _united(spans: Iterable[Span]) -> list[Span]:
    """The same instants as disjoint spans by ascending time."""
    united: list[Span] = []
    for start, end in sorted(_checked(spans)):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def _checked(spans: Iterable[Span]) -> Iterator[Span]:
    for start, end in spans:
        if math.isnan(start) or math.isnan(end):
            raise ValueError(f"a span [{start}, {end}) has no place in time")
        if start < end:
            yield float(start), float(end)


def _cut(keep: Interval, wanted: Sequence[Span], label: Interval) -> Iterator[Interval]:
    """The parts of `keep`: inside the wanted spans with the label's words, outside as it was."""
    reached = keep.start_s
    first = bisect_right(wanted, reached, key=lambda span: span[1])
    for start, end in wanted[first:]:
        if start >= keep.end_s:
            break
        start, end = max(start, reached), min(end, keep.end_s)
        if reached < start:
            yield replace(keep, start_s=reached, end_s=start)
        yield replace(label, start_s=start, end_s=end)
        reached = end
    if reached < keep.end_s:
        yield replace(keep, start_s=reached)


def _continues(before: Interval, after: Interval) -> bool:
    return before.end_s == after.start_s and (before.state, before.reason, before.stage) == (
        after.state,
        after.reason,
        after.stage,
    )
