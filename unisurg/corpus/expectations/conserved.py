"""Are the seconds of every video accounted for after every stage, and does what was refused stay
refused?"""

from __future__ import annotations

import pandas as pd

from unisurg.corpus.expectations.expected import Between, Suite, none_of
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.intervals import Interval, Span, State, from_rows, of_state, violation
from unisurg.corpus.seconds import lasts_s

STAGES = ("clean", "dedup", "leak", "corpus")
"""Those that write intervals, in their order."""
TOLERANCE = 1e-6
COVERED = none_of("violation", "the seconds of all states are those of the video")
UNSEEN = (
    Between("outside_s", 0, TOLERANCE, "no second outside the body is kept"),
    Between("page_s", 0, TOLERANCE, "no second of a page of text is kept"),
)
GONE = Between("taken_back_s", -TOLERANCE, TOLERANCE, "what was refused is never taken back")
Painted = dict[str, tuple[Interval, ...]]


def conserved_suites(places: Places, videos: pd.DataFrame) -> list[Suite]:
    """A suite per stage: its intervals cover every video, and it keeps no second that the stage
    before it did not; the first keeps none that lies outside the body or shows a page of text."""
    lasts = dict(zip(videos["video_id"], lasts_s(videos), strict=True))
    unseen = [_spans(places.read(table)) for table in ("deid/outside", "deid/pages")]
    suites, before = list[Suite](), dict[str, list[Span]]()
    for stage in STAGES:
        painted = painted_of(places.read(f"{stage}/intervals"))
        kept = {video: _kept(intervals) for video, intervals in painted.items()}
        known = sorted(lasts.keys() | painted.keys())
        rows = pd.DataFrame({"video_id": pd.Series(known, dtype=str)})
        rows["violation"] = [_violation(painted.get(v, ()), lasts.get(v)) for v in known]
        if stage == STAGES[0]:
            rules: tuple[Between, ...] = UNSEEN
            for rule, cut in zip(UNSEEN, unseen, strict=True):
                rows[rule.column] = [_shared(kept.get(v, []), cut.get(v, [])) for v in known]
        else:
            rules = (GONE,)
            rows[GONE.column] = [_beyond(kept.get(v, []), before.get(v, [])) for v in known]
        suites.append(Suite(f"{stage}/intervals", rows, ("video_id",), (COVERED, *rules)))
        before = kept
    return suites


def painted_of(intervals: pd.DataFrame) -> Painted:
    """Video -> its intervals, by ascending time; those of no known state are none."""
    groups = intervals[intervals["state"].isin(list(State))].groupby("video_id")
    return {str(video): from_rows(of.to_dict("records")) for video, of in groups}


def _spans(rows: pd.DataFrame) -> dict[str, list[Span]]:
    groups = rows.sort_values("start_s").groupby("video_id")
    return {str(v): list(zip(of["start_s"], of["end_s"], strict=True)) for v, of in groups}


def _violation(intervals: tuple[Interval, ...], lasts: float | None) -> str:
    return "no such video" if lasts is None else violation(intervals, lasts)


def _kept(intervals: tuple[Interval, ...]) -> list[Span]:
    """Pieces of `keep`, those that touch as one: stages may name parts of a piece apart."""
    spans: list[Span] = []
    for piece in of_state(intervals, State.KEEP):
        touches = spans and spans[-1][1] == piece.start_s
        spans.append((spans.pop()[0] if touches else piece.start_s, piece.end_s))
    return spans


def _shared(some: list[Span], others: list[Span]) -> float:
    """Seconds that lie in both."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in some for c, d in others)


def _beyond(some: list[Span], others: list[Span]) -> float:
    """Seconds of some that lie in none of the others."""
    return sum(b - a for a, b in some) - _shared(some, others)
